"""The fold with corrections against the oracle, over arbitrary topics cut into arbitrary micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream import alerts as wire
from fraudstream.check.corrected import judge_corrected
from fraudstream.check.oracle import arrivals
from fraudstream.check.payload import wrong_fields
from fraudstream.check.settings import settings_for
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.rulebook.fold import fold
from unit.corrections import MAX_BYTES, NAMES_OF_COUNTS, TOPIC, Message, columns, image, message, rows_of

RULES = {
    "mean": "anomaly: {corrections: on, parameters: {history: 4, minimum: 2, floor: 5}}",
    "sigma": "anomaly: {corrections: on, parameters: {history: 4, minimum: 2, floor: 5, factor: 1.5, method: sigma}}",
    "velocity": "velocity: {corrections: on, parameters: {more_than: 2, amount_over: 20}}",
    "amount": "high_amount: {corrections: on, parameters: {over: 20}}",
    "snapshot": "anomaly: {corrections: on, snapshot: judge, parameters: {history: 4, minimum: 2, floor: 5}}",
    "whole": "anomaly: {corrections: on}",
    "often": "velocity: {corrections: on, parameters: {amount_over: 20}}",
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rule]:
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    found = {}
    for name, text in RULES.items():
        path.write_text(text)
        found[name] = load_rules(path)[0]
    return found


def folded(rule: Rule, topic: Sequence[Message], cuts: Sequence[int]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    read = list(arrivals(topic, MAX_BYTES))
    borders = sorted({0, len(read), *(cut % (len(read) + 1) for cut in cuts)})
    state, found, counts = None, [], dict.fromkeys(NAMES_OF_COUNTS, 0)
    for start, end in pairwise(borders):
        rows = [row for arrival in read[start:end] for row in rows_of(arrival)]
        if rows:
            result = fold(rule, state, columns(rows), TOPIC)
            state = result.state
            found += result.alerts
            counts = {name: count + getattr(result, name) for name, count in counts.items()}
    return found, counts


def check(rule: Rule, topic: Sequence[Message], cuts: Sequence[int]) -> int:
    """Number of alerts; the fold's have to be the oracle's, field by field, and all counts too."""
    expected = judge_corrected(
        arrivals(topic, MAX_BYTES), settings_for(rule.rule, rule.parameters), judge_snapshot=rule.snapshot == "judge"
    )
    found, counts = folded(rule, topic, cuts)
    # Here two users may have one id, and an update that moves it then makes a message for each.
    by_change = {(alert["offset"], alert["transaction_id"], alert["user_id"]): alert for alert in found}
    wanted_changes = {
        (alert.arrival.offset, alert.transaction_id, alert.arrival.row.user_id) for alert in expected.alerts
    }
    assert len(by_change) == len(found)
    assert by_change.keys() == wanted_changes
    for alert in expected.alerts:
        _, value = wire.message(by_change[alert.arrival.offset, alert.transaction_id, alert.arrival.row.user_id])
        wrong = wrong_fields(
            alert, value.encode(), rule=rule.name, version=rule.version, severity=rule.severity, topic=TOPIC,
            corrections=True,
        )  # fmt: skip
        assert wrong == {}
    wanted = {**expected.parts, **expected.ignored}
    assert counts == {name: wanted.get(name, 0) for name in NAMES_OF_COUNTS}
    return len(found)


times = st.one_of(st.integers(0, 8).map(lambda n: n * 30), st.sampled_from([59, 60, 61, 659, 660, 661, 720, 721]))
amounts = st.sampled_from([-100, 0, 1, 100, 300, 499, 500, 501, 900, 1500, 2000, 2001, 3000, 3 * 10**9, None])
operations = st.sampled_from(["c", "c", "c", "c", "r", "u", "u", "d", "leave", "join", "blind", "moved", "copy", "old"])
events = st.tuples(operations, st.integers(1, 2), st.integers(1, 9), amounts, times)


def topic_of(history: Sequence[tuple[str, int, int, int | None, int]]) -> list[Message]:
    topic: list[Message] = []
    for place, (op, user, number, cents, time) in enumerate(history):
        row, other = image(user, number, cents, time), image(user, number, 1, time)
        if op == "copy" and topic:
            copied = topic[number % len(topic)]
            topic.append(Message(place, copied.value, copied.headers))
        elif op in ("c", "r", "d", "leave", "join"):
            topic.append(message(place, op, row, None, 10 * place))
        elif op == "moved":
            topic.append(message(place, "u", row, image(3 - user, number, 1, time), 10 * place))
        elif op == "old":
            topic.append(message(place, "u", row, other, 10 * number))
        else:
            topic.append(message(place, "u", row, None if op == "blind" else other, 10 * place))
    return topic


@pytest.mark.parametrize("name", ["mean", "sigma", "velocity", "amount", "snapshot"])
@given(history=st.lists(events, min_size=1, max_size=40), cuts=st.lists(st.integers(0, 100), max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_topic_cut_into_any_batches_gives_what_the_oracle_gives(rules, name, history, cuts):
    check(rules[name], topic_of(history), cuts)


@pytest.mark.parametrize("name", ["whole", "often"])
@pytest.mark.parametrize("seed", range(6))
def test_corrections_round_the_64th_place_and_the_time_horizon_are_exact(rules, name, seed):
    random = np.random.default_rng(seed)
    topic: list[Message] = []
    number, rows, step = 0, {}, (10, 2, 5)[seed % 3]
    for place in range(500):
        if number > 60 and random.random() < 0.4:
            back = int(random.choice([0, 1, 5, 49, 50, 51, 62, 63, 64, 65, 66, 113, 114, 115, 200, 270]))
            which = max(1, number - back)
            op = str(random.choice(["u", "u", "u", "d", "c"]))
        else:
            number += 1
            which, op = number, "c"
        time = int(random.integers(0, 40)) + place * step + int(random.choice([0, 0, 0, 0, 0, 0, -300, 300]))
        cents = int(random.integers(1, 9000)) * int(random.choice([1, 1, 1, 1, 30]))
        row = rows[which] if op == "c" and which in rows else image(1, which, cents, time)
        topic.append(message(place, op, row, rows.get(which), 10 * place))
        rows[which] = row
    cuts = random.integers(0, 500, 6).tolist()
    found = check(rules[name], topic, cuts)
    assert found > 5, found


def test_a_batch_with_many_corrections_of_many_users_is_one_batch(rules):
    random = np.random.default_rng(1)
    history = [("c", int(user), number, 100, number) for number in range(1, 30) for user in (1, 2)]
    kinds = ["c", "u", "u", "d", "moved", "copy"]
    history += [
        (str(random.choice(kinds)), int(random.integers(1, 3)), int(random.integers(1, 40)),
         int(random.integers(1, 4000)), int(random.integers(0, 200)))
        for _ in range(300)
    ]  # fmt: skip
    assert check(rules["mean"], topic_of(history), []) > 20


LIBRARY = {
    "card_testing": "{at_least: 2, small: 5, amount_over: 10}",
    "repeated_amount": "{times: 3, amount_over: 1}",
    "many_merchants": "{merchants: 3}",
    "spending_limit": "{limit: 20}",
    "dormant_burst": "{payments: 2, dormant: 1h, window: 1h, sum_over: 1}",
}
paid = st.tuples(st.sampled_from([100, 400, 500, 1100, 2000]), st.integers(0, 300), st.integers(1, 4))
changes = st.lists(st.tuples(st.integers(0, 20), st.booleans(), paid), max_size=8)


def plain_rule(name: str, corrections: str, folder: Any) -> Rule:
    path = folder / f"{name}_{corrections}.yaml"
    path.write_text(f"{name}: {{corrections: {corrections}, parameters: {LIBRARY[name]}}}")
    return load_rules(path)[0]


@pytest.mark.parametrize("name", LIBRARY)
@given(first=st.lists(paid, min_size=1, max_size=12), changed=changes, last=st.lists(paid, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_what_comes_after_corrections_is_judged_over_the_corrected_history(
    tmp_path_factory, name, first, changed, last
):
    with_corrections, without = (plain_rule(name, each, tmp_path_factory.getbasetemp()) for each in ("on", "off"))

    def row(number: int, cents: int, time: int, merchant: int) -> dict[str, Any]:
        return {**image(1, number, cents, time * (60 if name == "dormant_burst" else 1)), "merchant_id": merchant}

    rows = {number: row(number, *values) for number, values in enumerate(first)}
    topic = [message(number, "c", each, None, number) for number, each in rows.items()]
    for which, is_deleted, values in changed:
        number, place = which % len(first), len(topic)
        # Places count in dormant_burst's windows, empty ones too; in the others' times alone do.
        op = "d" if is_deleted and name != "dormant_burst" else "u"
        new = row(number, *values)
        topic.append(message(place, op, new, new, place))
        rows |= {number: new}
        if op == "d":
            del rows[number]
    plain = [message(number, "c", each, None, number) for number, each in enumerate(rows[n] for n in sorted(rows))]
    for at, values in enumerate(last, start=100):
        for each in (topic, plain):
            each.append(message(len(each), "c", row(at, *values), None, len(each)))
    found = [alert for alert in folded(with_corrections, topic, [])[0] if alert["transaction_id"] >= 100]
    expected = [alert for alert in folded(without, plain, [])[0] if alert["transaction_id"] >= 100]
    shown = ("transaction_id", "evidence", "score", "reason")
    assert [[each[name] for name in shown] for each in found] == [[each[name] for name in shown] for each in expected]
