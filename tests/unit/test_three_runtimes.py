"""Every rule, over arbitrary topics: the stream's fold in any micro-batches, the batch over what the mirror keeps of
them, and the oracle say the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.lake import changes_of, table_of
from fraudstream import alerts as wire
from fraudstream.backtest.runtime import COUNTS, judge
from fraudstream.backtest.source import History, history_of_changes
from fraudstream.check.corrected import judge_corrected
from fraudstream.check.oracle import Arrival, arrivals, judge_topic
from fraudstream.check.payload import wrong_fields
from fraudstream.check.settings import DEFINED, settings_for
from fraudstream.rulebook.catalog import Rule, known_rules
from fraudstream.rulebook.corrections import Change
from fraudstream.rulebook.fold import fold
from fraudstream.streams.tables import CHANGES
from unit.corrections import MAX_BYTES, TOPIC, Message, columns, image, message, rows_of
from unit.histories import rule_of

LABELS = Path(__file__).parents[1] / "fixtures" / "labels.csv"
# Parameters at which short topics alert often.
PARAMETERS = {
    "anomaly": "history: 4, minimum: 2, floor: 5",
    "velocity": "more_than: 2, amount_over: 20",
    "high_amount": "over: 20",
    "card_testing": "window: 60s, at_least: 2, small: 5, amount_over: 10",
    "repeated_amount": "window: 60s, times: 2, amount_over: 1",
    "dormant_burst": "payments: 2, dormant: 1h, window: 60s, sum_over: 1",
    "many_merchants": "window: 60s, merchants: 3",
    "spending_limit": "window: 60s, limit: 20",
    "compromised_merchant": f"window: 1h, at_least: 1, share_over: 0.3, labels: {LABELS}",
}
OFF = [f"{name}: {{parameters: {{{values}}}}}" for name, values in PARAMETERS.items()]
ON = [entry.replace("{parameters", "{corrections: on, parameters") for entry in OFF if "merchant: {" not in entry]
SNAPSHOT = [entry.replace("{", "{snapshot: judge, ", 1) for entry in (OFF[0], OFF[3], ON[3])]
ENTRIES = [*OFF, *ON, *SNAPSHOT]

operations = st.sampled_from(["c"] * 6 + ["r", "u", "u", "d", "leave", "join", "moved", "blind", "copy", "copy"])
amounts = st.sampled_from([100, 100, 400, 500, 500, 1001, 2001, 2001, 3 * 10**9, None])
times = st.sampled_from([0, 0, 1, 10, 59, 60, 61, 90, 120, 659, 660, 661, 3599, 3600, 3661, 3720])
events = st.tuples(
    operations, st.integers(1, 2), st.integers(1, 12), amounts, times, st.sampled_from([1, 2, 3, 4, None])
)


def topic_of(history: Sequence[tuple[str, int, int, int | None, int, int | None]]) -> list[Message]:
    topic: list[Message] = []
    for place, (op, user, number, cents, time, merchant) in enumerate(history):
        row = image(user, number, cents, time, merchant)
        if op == "copy":
            copied = topic[number % len(topic)] if topic else message(place, "c", row, None, 10 * place)
            topic.append(Message(place, copied.value, copied.headers))
        elif op in ("c", "r", "d", "leave", "join"):
            topic.append(message(place, op, row, None, 10 * place))
        else:
            before = image(3 - user if op == "moved" else user, number, 100, time, merchant)
            topic.append(message(place, "u", row, None if op == "blind" else before, 10 * place))
    return topic


def streamed(rule: Rule, read: Sequence[Arrival], cuts: Sequence[int]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The fold in micro-batches that begin at the cuts."""
    borders = sorted({0, len(read), *(cut % (len(read) + 1) for cut in cuts)})
    state, found, counts = None, [], dict.fromkeys(COUNTS, 0)
    for start, end in pairwise(borders):
        rows = [row for arrival in read[start:end] for row in rows_of(arrival)]
        if rule.corrections == "off":
            rows = [row for row in rows if row["change"] == Change.ENTER]
        if rows:
            result = fold(rule, state, columns(rows), TOPIC)
            state = result.state
            found += result.alerts
            counts = {name: count + getattr(result, name) for name, count in counts.items()}
    return found, counts


def mirrored(topic: Sequence[Message]) -> History:
    """What a rule takes of lake/transaction_changes, as the queries in fraudstream.changes say."""
    rows = [
        row
        for row in changes_of(topic, TOPIC)
        if row["entry"] in ("judge", "history")
        or (row["op"] in ("u", "d") and row["entry"] == "ignored")
        or (row["op"] == "c" and row["moved"])
    ]
    return history_of_changes(table_of(CHANGES, rows), TOPIC, "memory")


def as_text(messages: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in messages)


@cache
def rule_with(entry: str) -> Rule:
    return rule_of(entry)


def check(entry: str, topic: list[Message], cuts: Sequence[int]) -> int:
    """The number of alerts, which all three have to find, field by field, with the same counts."""
    rule, read = rule_with(entry), list(arrivals(topic, MAX_BYTES))
    batch = judge(rule, mirrored(topic))
    oracle = (judge_corrected if rule.corrections == "on" else judge_topic)(
        read, settings_for(rule.rule, rule.parameters), judge_snapshot=rule.snapshot == "judge"
    )
    wanted = {(each.arrival.offset, each.transaction_id, each.arrival.row.user_id): each for each in oracle.alerts}
    found = {(each["offset"], each["transaction_id"], each["user_id"]): each for each in batch.messages}
    if rule.stateless:  # each copy of a change is judged again, and a batch keeps the first alert of them
        assert {place[1] for place in found} == {place[1] for place in wanted}
        assert found.keys() <= wanted.keys()
    else:
        messages, counts = streamed(rule, read, cuts)
        assert as_text(messages) == as_text(batch.messages)
        assert counts == batch.counts
        assert found.keys() == wanted.keys()
        parts = {**oracle.parts, **oracle.ignored}
        assert counts == {name: parts.get(name, 0) for name in COUNTS}
    for place, each in found.items():
        wrong = wrong_fields(
            wanted[place], wire.message(each)[1].encode(), rule=rule.name, version=rule.version,
            severity=rule.severity, topic=TOPIC, corrections=rule.corrections == "on",
        )  # fmt: skip
        assert wrong == {}
    return len(found)


@pytest.mark.parametrize("entry", ENTRIES)
@given(
    history=st.lists(events, min_size=1, max_size=40),
    ascending=st.booleans(),
    cuts=st.lists(st.integers(0, 100), max_size=6),
)
@settings(max_examples=50, deadline=None)
def test_any_topic_gives_the_same_in_all_three(entry, history, ascending, cuts):
    if ascending:
        by_time = sorted(each[4] for each in history)
        history = [(*each[:4], time, each[5]) for each, time in zip(history, by_time, strict=True)]
    check(entry, topic_of(history), cuts)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_long_topic_alerts_often_and_gives_the_same_in_all_three(entry):
    random = np.random.default_rng(4)
    kinds = ["c"] * 12 + ["r", "u", "d", "moved", "copy", "join"]
    history, number, time = [], 0, 0
    for _ in range(600):
        op = str(random.choice(kinds))
        number += op == "c"
        time += int(random.choice([0, 1, 10, 25, 60, 4000], p=[0.3, 0.2, 0.25, 0.15, 0.05, 0.05]))
        which = number if op == "c" else max(1, number - int(random.choice([0, 1, 3, 63, 64, 65, 70])))
        late = int(random.choice([0, 0, 0, 0, 30, 700]))
        cents = int(random.choice([100, 400, 500, 500, 2001, 9000]))
        history.append((op, int(random.integers(1, 3)), which, cents, time - late, int(random.integers(1, 5))))
    assert check(entry, topic_of(history), random.integers(0, 600, 7).tolist()) >= 10


def test_every_rule_that_the_oracle_defines_is_compared_and_has_a_file():
    # A rule of one's own needs no definition: the check says then that it did not check it.
    assert set(PARAMETERS) == set(DEFINED) <= set(known_rules())
