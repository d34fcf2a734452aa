"""The rules of the library against loops written from docs/semantics.md alone, over histories cut into any batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.rulebook.payload import NULL
from unit.histories import NOON, SECOND, alerting, row, rule_of

Row = tuple[int, int, int, int | None]  # user, cents, seconds, merchant
LATENESS = 600


def within(earlier: list[Row], now: Row, seconds: int) -> list[Row]:
    newest = max(each[2] for each in [*earlier, now])
    return [
        each
        for each in earlier
        if now[2] - seconds < each[2] <= now[2] and each[2] > newest - seconds - LATENESS
    ]  # fmt: skip


def card_testing(earlier: list[Row], now: Row) -> bool:
    tests = [each for each in within(earlier, now, 60) if each[1] <= 200]
    return len(tests) >= 2 and now[1] > 300


def repeated_amount(earlier: list[Row], now: Row) -> bool:
    alike = [each for each in within(earlier, now, 60) if each[1] == now[1] and each[3] == now[3] is not None]
    return len(alike) + 1 >= 3 and now[1] > 100


def dormant_burst(earlier: list[Row], now: Row) -> bool:
    if len(earlier) < 3:
        return False
    before, first, second = earlier[-3:]
    return first[2] - before[2] >= 3600 and now[2] - first[2] <= 60 and first[1] + second[1] + now[1] > 500


def many_merchants(earlier: list[Row], now: Row) -> bool:
    seen = {each[3] for each in within(earlier, now, 60)} - {None}
    return (now[3] is None or now[3] not in seen) and len(seen) + 1 >= 3


def spending_limit(earlier: list[Row], now: Row) -> bool:
    before = sum(each[1] for each in within(earlier, now, 60))
    return before <= 700 < before + now[1]


RULES: dict[str, tuple[str, Callable[[list[Row], Row], bool]]] = {
    "card_testing": ("{window: 60s, small: 2, at_least: 2, amount_over: 3}", card_testing),
    "repeated_amount": ("{window: 60s, times: 3, amount_over: 1}", repeated_amount),
    "dormant_burst": ("{payments: 3, window: 60s, dormant: 1h, sum_over: 5}", dormant_burst),
    "many_merchants": ("{window: 60s, merchants: 3}", many_merchants),
    "spending_limit": ("{window: 60s, limit: 7}", spending_limit),
}
times = st.sampled_from([0, 1, 30, 59, 60, 61, 90, 119, 120, 121, 659, 660, 661, 3600, 3601, 3630, 3660, 3661, 7260])
rows = st.tuples(
    st.integers(1, 2), st.sampled_from([100, 101, 200, 201, 300, 301, -100]), times, st.sampled_from([1, 2, 3, 4, None])
)
orderly = st.lists(rows, max_size=30).map(lambda found: sorted(found, key=lambda each: each[2]))


@pytest.mark.parametrize("name", RULES)
@given(
    history=st.one_of(orderly, st.lists(rows, max_size=30)), cuts=st.lists(st.integers(0, 30), max_size=4)
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_a_rule_alerts_where_its_definition_says_so(name, history, cuts):
    parameters, holds = RULES[name]
    earlier: dict[int, list[Row]] = defaultdict(list)
    expected = []
    for number, each in enumerate(history):
        if holds(earlier[each[0]], each):
            expected.append(number)
        earlier[each[0]].append(each)
    placed = [
        row(number, user=user, cents=cents, created_at=NOON + at * SECOND, merchant_id=NULL if shop is None else shop)
        for number, (user, cents, at, shop) in enumerate(history)
    ]
    assert sorted(alerting(rule_of(f"{name}: {{parameters: {parameters}}}"), placed, cuts)) == expected
