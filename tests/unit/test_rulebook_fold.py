"""The fold against an obvious per-event reference, over histories cut into arbitrary micro-batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraudstream.rulebook import past
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.rulebook.fold import fold

SECOND = 1_000_000
NOON = 1_772_366_400 * SECOND
TOPIC = "topic"
COUNTS = ("judged", "history", "redelivered", "superseded")


def rule(text: str, folder: Path) -> Rule:
    path = folder / "rules.yaml"
    path.write_text(text)
    return load_rules(path)[0]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rule]:
    folder = tmp_path_factory.mktemp("rules")
    return {
        "mean": rule("anomaly: {parameters: {history: 4, minimum: 2, floor: 5}}", folder),
        "sigma": rule("anomaly: {parameters: {history: 4, minimum: 2, floor: 5, factor: 1.5, method: sigma}}", folder),
        "velocity": rule("velocity: {parameters: {more_than: 2, amount_over: 20}}", folder),
    }


def columns(rows: list[dict]) -> dict[str, np.ndarray]:
    plain = {name: np.array([row[name] for row in rows], dtype=np.int64) for name in rows[0] if name != "judge"}
    ones = np.ones(len(rows), dtype=np.int64)
    extra = dict.fromkeys(("partition", "merchant_id", "lsn", "tx_id", "committed_ms", "captured_ms"), ones)
    judge = np.array([row["judge"] for row in rows], dtype=bool)
    return {**plain, **extra, "judge": judge, "card_type": np.array(["VISA"] * len(rows), dtype=object)}


class MemoryBases:
    """Bases in a dictionary."""

    def __init__(self, most: int = 1000) -> None:
        self.kept: dict[str, bytes] = {}
        self.most = most

    def is_due(self, kept: int, arriving: int) -> bool:
        return arriving <= self.most

    def read(self, name: str) -> memoryview:
        return memoryview(self.kept[name])

    def write(self, folds: int, value: bytes) -> str:
        name = f"{folds} {len(self.kept)}"
        self.kept[name] = value
        return name

    def delete(self, replaced: Sequence[tuple[int, str]], folds: int) -> list[tuple[int, str]]:
        for _, name in replaced:
            del self.kept[name]
        return []


@pytest.fixture(params=["whole", "never full", "soon full", "often full", "now and then"])
def bases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], MemoryBases | None]:
    """Makes what a fold is handed over: nothing, or bases from the second batch on, with logs that are full late or
    soon."""
    if request.param == "whole":
        return lambda: None
    full = {"never full": 0, "soon full": 1, "often full": 10**6, "now and then": 10**6}[request.param]
    monkeypatch.setattr(past, "FULL_LOG", full)
    return MemoryBases if request.param != "now and then" else lambda: MemoryBases(most=5)


def folded(
    rule: Rule, rows: list[dict], cuts: list[int], bases: MemoryBases | None = None
) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """(offset, id) of the alerts, and the counts."""
    state, alerts, counts = None, [], dict.fromkeys(COUNTS, 0)
    borders = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    for start, end in pairwise(borders):
        result = fold(rule, state, columns(rows[start:end]), TOPIC, bases)
        state = result.state
        alerts += [(alert["offset"], alert["transaction_id"]) for alert in result.alerts]
        for name in COUNTS:
            counts[name] += getattr(result, name)
    return sorted(alerts), counts


def expected(name: str, rows: list[dict]) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """The definitions of docs/semantics.md, one row after the other."""
    entered = defaultdict(list)
    alerts, counts = [], dict.fromkeys(COUNTS, 0)
    for row in rows:
        mine = entered[row["user_id"]]
        newest = max((each["created_at"] for each in mine), default=-(2**62))
        kept = mine[-64:]
        if name == "velocity":
            kept = kept + [each for each in mine if each["created_at"] > newest - 660 * SECOND]
        if row["id"] in {each["id"] for each in kept}:
            counts["redelivered"] += 1
            continue
        if not row["judge"] and any(each["judge"] for each in mine):
            counts["superseded"] += 1
            continue
        if row["judge"] and alerts_on(name, mine, row):
            alerts.append((row["offset"], row["id"]))
        counts["judged" if row["judge"] else "history"] += 1
        mine.append(row)
    return sorted(alerts), counts


def alerts_on(name: str, earlier: list[dict], row: dict) -> bool:
    cents = row["cents"]
    if name == "velocity":
        newest = max([row["created_at"], *(each["created_at"] for each in earlier)])
        seen = [
            each
            for each in earlier
            if row["created_at"] - 60 * SECOND < each["created_at"] <= row["created_at"]
            and each["created_at"] > newest - 660 * SECOND
        ]
        return (40 if 1 + len(seen) > 2 else 0) + (50 if cents > 2000 else 0) > 70
    past = [each["cents"] for each in earlier][-4:]
    if len(past) < 2 or cents <= 500:
        return False
    mean = Fraction(sum(past), len(past))
    if name == "mean":
        return cents > 3 * mean
    variance = sum((each - mean) ** 2 for each in past) / len(past)
    return cents > mean and (cents - mean) ** 2 > Fraction(9, 4) * variance


times = st.one_of(
    st.integers(0, 8).map(lambda n: n * 30), st.sampled_from([59, 60, 61, 119, 659, 660, 661, 719, 720, 721])
)
amounts = st.one_of(
    st.sampled_from([-100, 0, 1, 100, 200, 300, 499, 500, 501, 600, 900, 1000, 1500, 2000, 2001, 3000]),
    st.sampled_from([10**10 - 1, -(10**10) + 1, 3 * 10**9]),
)
events = st.tuples(st.integers(1, 3), st.integers(1, 12), amounts, times, st.sampled_from([True, True, True, False]))


@pytest.mark.parametrize("name", ["mean", "sigma", "velocity"])
@given(history=st.lists(events, min_size=1, max_size=40), cuts=st.lists(st.integers(0, 100), max_size=6))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cut_into_batches_gives_what_the_definitions_give(rules, bases, name, history, cuts):
    rows = [
        {"offset": place, "user_id": user, "id": 100 * user + number, "cents": cents, "judge": judge,
         "created_at": NOON + time * SECOND}
        for place, (user, number, cents, time, judge) in enumerate(history)
    ]  # fmt: skip
    assert folded(rules[name], rows, cuts, bases()) == expected(name, rows)


@pytest.mark.parametrize("name", ["mean", "velocity"])
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 400), max_size=5))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redeliveries_round_the_64th_row_and_the_time_horizon_are_exact(rules, bases, name, seed, cuts):
    random = np.random.default_rng(seed)
    rows, number = [], 0
    for place in range(300):
        if number > 60 and random.random() < 0.3:
            back = int(random.choice([1, 62, 63, 64, 65, 66, 70]))
            row = dict(rows[max(0, len(rows) - back)], offset=place)
        else:
            number += 1
            row = {"offset": place, "user_id": 1, "id": number, "cents": int(random.integers(1, 4000)), "judge": True,
                   "created_at": NOON + int(random.integers(0, 30) + place * 12) * SECOND}  # fmt: skip
        rows.append(row)
    found = folded(rules[name], rows, cuts, bases())
    assert found == expected(name, rows)
    assert found[1]["redelivered"] > 0
