"""The batch runtime against the golden topics, and against a judge of one transaction at a time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.lake import changes_of, write_table
from fraudstream import alerts
from fraudstream.backtest.runtime import judge, parts
from fraudstream.backtest.source import History, history_of_lake
from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.settings import settings_for
from fraudstream.errors import FraudstreamError
from fraudstream.input.world import Size
from fraudstream.input.world_files import make_world
from fraudstream.rulebook.catalog import load_rules
from fraudstream.rulebook.exact import NULL
from fraudstream.rulebook.interpreter import Paid, holds
from fraudstream.rulebook.labels import Labels
from fraudstream.streams.tables import CHANGES
from golden.topics import RULES, TOPIC, corrected_goldens, goldens
from unit.corrections import MAX_BYTES, rule_of
from unit.histories import rule_of as rule_with

CASES = [(golden, name) for golden in goldens() for name in golden.alerts]
LIBRARY = (
    "anomaly", "velocity", "high_amount", "card_testing", "repeated_amount", "dormant_burst", "many_merchants",
    "spending_limit", "compromised_merchant",
)  # fmt: skip


def history_of(messages: Any, folder: Path) -> History:
    write_table(folder / "transaction_changes", CHANGES, changes_of(messages, TOPIC))
    return history_of_lake(str(folder))


@pytest.mark.parametrize(("golden", "name"), CASES, ids=[f"{golden.name}-{name}" for golden, name in CASES])
def test_the_lake_gives_the_alerts_worked_out_by_hand(golden, name, tmp_path: Path):
    rule = rule_of(golden, name, tmp_path, corrections="off")
    history = history_of(golden.messages, tmp_path)
    found = judge(rule, history)
    assert sorted(message["transaction_id"] for message in found.messages) == sorted(set(golden.alerts[name]))
    assert all(message["alert_id"] == alerts.alert_id(name, rule.version, message["transaction_id"])
               for message in found.messages)  # fmt: skip
    expected = golden.counts[name]
    assert (found.counts["judged"], found.counts["history"]) == (expected["judged"], expected["history"])
    for dropped in ("redelivered", "superseded"):
        assert found.counts[dropped] == expected["ignored"].get(dropped, 0)
    # Every message that the mirror keeps is there: read is what enters and what is left out.
    assert history.read == len(changes_of(golden.messages))


@pytest.mark.parametrize(("golden", "name"), [case for case in CASES if case[1] in RULES],
                         ids=lambda each: getattr(each, "name", each))  # fmt: skip
def test_the_lake_gives_the_alerts_of_the_oracle(golden, name, tmp_path: Path):
    rule = rule_of(golden, name, tmp_path, corrections="off")
    oracle = judge_topic(
        arrivals(golden.messages, MAX_BYTES), settings_for(name, golden.parameters.get(name, {}))
    ).alerts
    found = judge(rule, history_of(golden.messages, tmp_path))
    assert {message["transaction_id"] for message in found.messages} == {each.transaction_id for each in oracle}


@pytest.mark.parametrize("golden", corrected_goldens(), ids=lambda golden: golden.name)
@pytest.mark.parametrize("name", RULES)
def test_with_corrections_the_lake_gives_the_messages_worked_out_by_hand(golden, name, tmp_path: Path):
    rule = rule_of(golden, name, tmp_path)
    found = judge(rule, history_of(golden.messages, tmp_path))
    told = [(message["transaction_id"], message["status"], message["revision"]) for message in found.messages]
    assert sorted(told) == sorted(golden.alerts[name])
    expected = {**golden.counts[name], **golden.counts[name]["ignored"]}
    assert found.counts == {count: expected.get(count, 0) for count in found.counts}
    last = {number: status for number, status, _ in golden.alerts[name]}
    assert set(found.standing) == {number for number, status in last.items() if status != "withdrawn"}


def batch_of(rows: list[Paid]) -> dict[str, np.ndarray]:
    count = len(rows)
    batch: dict[str, np.ndarray] = {
        "id": np.array([row.id for row in rows], dtype=np.int64),
        "user_id": np.array([row.user_id for row in rows], dtype=np.int64),
        "cents": np.array([row.cents for row in rows], dtype=np.int64),
        "created_at": np.array([row.created_at for row in rows], dtype=np.int64),
        "merchant_id": np.array([NULL if row.merchant_id is None else row.merchant_id for row in rows], dtype=np.int64),
        "card_type": np.array([row.card_type for row in rows], dtype=object),
        "offset": np.arange(count), "partition": np.zeros(count, dtype=np.int64), "judge": np.ones(count, dtype=bool),
    }  # fmt: skip
    return batch | dict.fromkeys(("lsn", "tx_id", "committed_ms", "captured_ms"), np.full(count, NULL))


def one_by_one(rule, rows: list[Paid]) -> list[int]:
    """Ids of the transactions that alert, each judged by the interpreter against those before it."""
    earlier, found = defaultdict(list), []
    for row in rows:
        mine = earlier[getattr(row, rule.key)]
        if holds(rule.alert.when, row, mine):
            found.append(row.id)
        mine.append(row)
    return found


@pytest.fixture(scope="module")
def world() -> tuple[list[Paid], Labels]:
    """The world of a few users, with late times here and there, and the labels of its frauds."""
    made = make_world(Size(customers=25, terminals=30, days=45, radius=60.0), 11)
    rows = made.rows
    late = np.random.default_rng(1).random(len(rows)) < 0.02
    times = 1_600_000_000_000_000 + rows["at"] - late * 700_000_000
    cents = np.where(rows["cents"] > 20_000, rows["cents"] * 20, rows["cents"])
    paid = [
        Paid(int(cents[n]), int(times[n]), ("VISA", "AMEX", None)[n % 3], int(row["merchant_id"]) % 12,
             int(row["user_id"]), n + 1)
        for n, row in enumerate(rows)
    ]  # fmt: skip
    frauds = np.flatnonzero(rows["kind"]).tolist()
    return paid, Labels(tuple(n + 1 for n in frauds), tuple(paid[n].created_at + 86_400_000_000 for n in frauds))


# Parameters at which the small world alerts often enough for each rule.
EASY = {
    "anomaly": "{history: 10, floor: 50, factor: 2}",
    "velocity": "{window: 1h, more_than: 2, amount_over: 20}",
    "high_amount": "{over: 120}",
    "card_testing": "{window: 2h, at_least: 2, small: 12, amount_over: 20}",
    "repeated_amount": "{window: 7d, times: 2, amount_over: 0}",
    "dormant_burst": "{payments: 2, window: 8h, dormant: 20h, sum_over: 20}",
    "many_merchants": "{window: 4h, merchants: 4}",
    "spending_limit": "{window: 24h, limit: 300}",
    "compromised_merchant": "{window: 14d, at_least: 2, share_over: 0.05}",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_a_rule_finds_in_a_batch_what_it_finds_one_transaction_at_a_time(world, name):
    rows, labels = world
    rule = rule_with(f"{name}: {{parameters: {EASY[name]}}}")
    if name == "compromised_merchant":
        rule = replace(rule, parameters={**rule.parameters, "labels": labels})
    expected = one_by_one(rule, rows)
    if name != "repeated_amount":  # which this world has too little of
        assert len(expected) >= 20
    history = History("world", "t", batch_of(rows))
    for rows_at_once in (10**9, 500, 97):
        found = judge(rule, history, rows_at_once)
        assert [message["transaction_id"] for message in found.messages] == expected
        assert found.counts["judged"] == len(rows)


def test_all_rules_of_the_library_are_compared():
    assert {path.stem for path in Path(load_rules.__code__.co_filename).parents[1].glob("rules/[a-z]*.py")} == set(
        LIBRARY
    )


@given(
    keys=st.lists(st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1)), max_size=60),
    rows_at_once=st.integers(1, 30),
)
@settings(deadline=None)
def test_parts_keep_the_rows_of_a_key_together_and_in_order(keys, rows_at_once):
    batch = {"user_id": np.array(keys, dtype=np.int64), "id": np.arange(len(keys))}
    found = list(parts(batch, "user_id", rows_at_once))
    assert sorted(np.concatenate([part["id"] for part in found]).tolist()) == list(range(len(keys)))
    for part in found:
        assert part["id"].tolist() == sorted(part["id"].tolist())
    owners = [set(part["user_id"].tolist()) for part in found]
    assert sum(map(len, owners)) == len(set(keys))


def test_a_merchants_rows_in_two_partitions_have_no_order(tmp_path: Path):
    golden = next(golden for golden in goldens() if golden.name == "30_two_partitions")
    history = history_of(golden.messages, tmp_path)
    assert len(set(history.batch["partition"].tolist())) == 2
    with pytest.raises(FraudstreamError, match="several partitions of the topic, which have no order"):
        judge(rule_with("compromised_merchant: {}"), history)


def test_a_lake_without_transactions_or_with_two_topics_is_refused(tmp_path: Path):
    write_table(tmp_path / "transaction_changes", CHANGES, [])
    with pytest.raises(FraudstreamError, match="has no transactions yet"):
        history_of_lake(str(tmp_path))
    messages = goldens()[0].messages
    for topic in ("one", "two"):
        write_table(tmp_path / "transaction_changes", CHANGES, changes_of(messages, topic))
    with pytest.raises(FraudstreamError, match="changes of 2 topics"):
        history_of_lake(str(tmp_path))
