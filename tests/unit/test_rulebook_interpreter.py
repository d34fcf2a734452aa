"""Any rule: columns in any batches give what the interpreter gives one transaction at a time."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.interpreter import Paid, holds, seen, value
from fraudstream.rulebook.transaction import Transaction, points
from unit.histories import NOON, SECOND, alerting, row

TX = Transaction()
numbers = st.sampled_from([0, 1, 2, -3, 7, 500, Decimal("0.5"), Decimal("-2.25"), Fraction(1, 3)])
windows = st.one_of(
    st.integers(1, 6).map(TX.previous), st.sampled_from(["1s", "30s", "60s", "5m"]).map(TX.within)
)  # fmt: skip
aggregates = st.tuples(windows, st.sampled_from(["count", "sum", "mean", "min", "max"])).map(
    lambda pair: pair[0].count() if pair[1] == "count" else getattr(pair[0], pair[1])("amount")
)
tables = st.dictionaries(st.sampled_from(["VISA", "AMEX", "MC"]), numbers, max_size=3).map(TX.card_points)


def arithmetic(operands):
    operator = st.sampled_from([lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b])
    return st.tuples(operator, operands, operands).map(lambda parts: parts[0](parts[1], parts[2]))


expressions = st.recursive(
    st.one_of(st.just(TX.amount), aggregates, tables, numbers.map(e.expression)), arithmetic, max_leaves=4
)
relations = st.sampled_from([lambda a, b: a > b, lambda a, b: a >= b, lambda a, b: a < b, lambda a, b: a <= b])
comparisons = st.tuples(relations, expressions, expressions).map(lambda parts: parts[0](parts[1], parts[2]))
deviations = st.tuples(relations, windows, numbers, numbers).map(
    lambda parts: parts[0](TX.amount, parts[1].mean("amount") + parts[2] * parts[1].std("amount") + parts[3])
)
scores = st.tuples(relations, comparisons, numbers, numbers).map(
    lambda parts: parts[0](points(parts[1], parts[2]) + points(TX.amount > 5, 2), parts[3])
)
members = st.one_of(st.just(TX.card_type.is_in("VISA", "MC")), st.just(TX.merchant_id.is_in(2, 3)))
conditions = st.recursive(
    st.one_of(comparisons, deviations, scores, members),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda condition: ~condition),
    ),
    max_leaves=3,
)
rows = st.builds(
    lambda user, cents, at, card, merchant: {
        "user": user, "cents": cents, "at": at, "card_type": card, "merchant_id": merchant,
    },
    st.integers(1, 3),
    st.one_of(st.integers(-300, 1500), st.sampled_from([10**14, -(10**14), 50000])),
    st.sampled_from([0, 1, 29, 30, 31, 59, 60, 61, 299, 300, 630, 660, 661, 901]),
    st.sampled_from(["VISA", "AMEX", None]),
    st.integers(1, 4),
)  # fmt: skip


def rule_with(condition: e.Condition) -> Rule:
    rule = Rule(
        name="any", rule="any", severity="low", status="live", trigger="micro-batch", snapshot="join", parameters={},
        version="0", key="user_id",
    )  # fmt: skip
    rule.__dict__["alert"] = TX.alert(when=condition, reason="any", evidence={})
    return rule


@given(
    condition=conditions, history=st.lists(rows, min_size=1, max_size=25), cuts=st.lists(st.integers(0, 30), max_size=4)
)
@settings(max_examples=400, deadline=None)
def test_columns_decide_like_one_transaction_at_a_time(condition, history, cuts):
    earlier = defaultdict(list)
    expected = []
    for number, each in enumerate(history):
        now = Paid(each["cents"], NOON + each["at"] * SECOND, each["card_type"], each["merchant_id"])
        if holds(condition, now, earlier[each["user"]]):
            expected.append(number)
        earlier[each["user"]].append(now)
    found = alerting(rule_with(condition), [row(number, **each) for number, each in enumerate(history)], cuts)
    assert sorted(found) == expected


def paid(cents: int, at: float = 0, **more) -> Paid:
    return Paid(cents, NOON + round(at * SECOND), **more)


def test_the_interpreter_sees_the_windows_of_the_definitions():
    earlier = [paid(1, 0), paid(2, 0.000001), paid(3, 60), paid(4, 61)]
    assert [each.cents for each in seen(TX.within("60s"), paid(9, 60), earlier)] == [2, 3]
    assert [each.cents for each in seen(TX.previous(2), paid(9, 60), earlier)] == [3, 4]
    late = [paid(1, 0), paid(2, 1), paid(3, 660)]
    assert [each.cents for each in seen(TX.within("60s"), paid(9, 5), late)] == [2]


def test_the_interpreter_reckons_exactly_and_knows_null():
    past, now = TX.previous(3), paid(70000, card_type="AMEX")
    earlier = [paid(100), paid(20000), paid(20000), paid(20100)]
    assert value(past.mean("amount"), now, earlier) == Fraction(60100, 300)
    assert value(past.mean("amount"), now, []) is None
    assert value(TX.amount / past.sum("amount"), now, []) is None
    assert value(TX.card_points({"AMEX": 5}) - 1, now, []) == 4
    assert holds(TX.amount > 3 * past.mean("amount"), now, earlier)
    assert not holds(TX.amount > past.mean("amount"), now, [])
    assert holds(~(TX.amount > past.mean("amount")), now, [])


def test_the_interpreter_decides_a_tie_of_sigmas():
    past, earlier = TX.previous(4), [paid(40000), paid(40000), paid(60000), paid(60000)]
    limit = past.mean("amount") + 3 * past.std("amount")
    assert not holds(TX.amount > limit, paid(80000), earlier)
    assert holds(TX.amount >= limit, paid(80000), earlier)
    assert holds(TX.amount > limit, paid(80001), earlier)
