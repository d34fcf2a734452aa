"""Masked runs find what plain ones find, of masked users, and keep no id of a user anywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from delta.tables import DeltaTable
from pyspark.sql.streaming.query import StreamingQuery

from fixtures.masks import KEY, key_file, masked_by_hand
from fraudstream.cdc.columns import connector_events
from fraudstream.config import load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams.archive import alert_rows, archive_batch
from fraudstream.streams.mirror import mirror_batch
from fraudstream.streams.rule_query import Judge, rule_messages
from fraudstream.streams.state_value import of_text
from golden.topics import TOPIC, Message, corrected_goldens, goldens, messages_of, pour
from spark.streams import records, stream, write_batches

pytestmark = pytest.mark.spark
RULES = """
anomaly: {}
high_amount: {}
corrected: {rule: anomaly, corrections: on}
"""
SPY = 1234567890
# The user to be looked for: in three forms of message, updated, deleted and moved to another user.
OWN = """
  c 1..3 u1   10.00 +0/120
  c 4    u1  600.00 +360
  c 5    u1 5000.00 +480 shape=flat
  c 6    u1 6000.00 +490 form=precise shape=wrapped
  u 4    u1  700.00 +360 was=600.00
  move 3 u1>u2 10.00 +240 p0>p1
  d 2    u1   10.00 +120
"""
IDS = [(b'"user_id": %d' % old, b'"user_id": %d' % new) for old, new in ((90001, SPY), (90002, SPY - 1))]


@pytest.fixture(scope="module")
def topic() -> list[Any]:
    """The files of all orders, shapes and forms, and the user's own messages behind them."""
    files = [golden for golden in goldens() if golden.number in (28, 32)]
    files += [golden for golden in corrected_goldens() if golden.name[:2] == "52"]
    return pour([*files, SimpleNamespace(messages=[with_ids(each) for each in messages_of(OWN, 90)])])


def with_ids(message: Message) -> Message:
    def changed(text: bytes | None) -> bytes | None:
        return text and text.replace(*IDS[0]).replace(*IDS[1])

    headers = tuple((name, changed(text)) for name, text in message.headers)
    return replace(message, key=changed(message.key), value=changed(message.value), headers=headers)


class World:
    """What a run of rules, mirror and archive over the topic leaves behind."""

    def __init__(self, spark, folder: Path, topic, key: str) -> None:
        plain = load_pipeline()
        self.spark, self.folder = spark, folder
        self.pipeline = replace(
            plain, kafka=replace(plain.kafka, transactions_topic=TOPIC), lake=str(folder / "kept" / "lake"),
            checkpoints=str(folder / "kept" / "checkpoints"), progress=str(folder / "kept" / "progress"),
            masking_key_file=key,
        )  # fmt: skip
        (folder / "rules.yaml").write_text(RULES)
        self.rules = load_rules(folder / "rules.yaml")
        write_batches(spark, folder / "input", TOPIC, [topic])
        self.alerts: list[dict[str, Any]] = []
        events = connector_events(
            records(spark, TOPIC, topic), self.pipeline.max_message_bytes, self.pipeline.mask
        )  # fmt: skip
        mirror_batch(spark, self.pipeline, "one")(events, 0)
        values: list[str] = []
        started = [
            self.start(
                rule.name, rule_messages(self.records(), [Judge(rule)], self.pipeline),
                lambda batch, _: values.extend([row.value for row in batch.collect()]),
            )
            for rule in self.rules
        ]  # fmt: skip
        for query in started:
            query.awaitTermination()
        self.alerts = sorted(map(json.loads, values), key=lambda each: (each["rule"], each["offset"], str(each)))
        messages = [SimpleNamespace(key=None, value=text.encode(), partition=0, offset=number, headers=())
                    for number, text in enumerate(values)]  # fmt: skip
        if key:
            archive_batch(spark, self.pipeline)(alert_rows(records(spark, "fraud.alerts", messages)), 0)

    def records(self):
        return stream(self.spark, self.folder / "input")

    def start(self, name: str, frame, function) -> StreamingQuery:
        writer = frame.writeStream.outputMode("update").foreachBatch(function).trigger(availableNow=True)
        return writer.option("checkpointLocation", self.pipeline.checkpoint(name)).start()

    def rows(self, table: str) -> list[dict[str, Any]]:
        found = DeltaTable.forPath(self.spark, self.pipeline.table(table)).toDF().collect()
        return sorted((row.asDict() for row in found), key=str)

    def places_of(self, ids: list[int]) -> list[str]:
        """The files and states in which one of the ids stands, as text or as bytes of an integer."""
        texts = {str(path): path.read_bytes() for path in (self.folder / "kept").rglob("*") if path.is_file()}
        for path in [path for path in texts if path.endswith(".parquet")]:
            texts[path] += str(pq.read_table(path).to_pylist()).encode()
        marks = [mark for each in ids for mark in (b"%d" % each, each.to_bytes(8, "little"), each.to_bytes(8, "big"))]
        found = {name for name, text in texts.items() if any(mark in text for mark in marks)}
        for rule in self.rules:
            if not rule.stateless:
                store = self.spark.read.format("statestore").load(self.pipeline.checkpoint(rule.name))
                states = store.selectExpr("value.groupState.histories as state").collect()
                text = b"".join(of_text(row.state) for row in states)
                if any(mark in text for each in ids for mark in (b"%d" % each, each.to_bytes(4, "little"))):
                    found.add(f"state of {rule.name}")  # a state has numbers as short as they can be
        return sorted(found)


@pytest.fixture(scope="module")
def plain(spark, topic, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(spark, tmp_path_factory.mktemp("plain"), topic, "")


@pytest.fixture(scope="module")
def masked(spark, topic, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("masked")
    return World(spark, folder, topic, str(key_file(folder)))


def as_masked(row: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in ("user_id", "before_user_id") if row.get(name) is not None]
    return {**row, **{name: masked_by_hand(row[name]) for name in names}}


def test_the_alerts_are_those_of_a_plain_run_with_masked_users(plain: World, masked: World):
    per_rule = {rule.name: sum(alert["rule"] == rule.name for alert in plain.alerts) for rule in plain.rules}
    assert all(per_rule.values()), per_rule
    assert {SPY} < {alert["user_id"] for alert in plain.alerts}
    assert masked.alerts == [as_masked(alert) for alert in plain.alerts]


@pytest.mark.parametrize("table", ["transaction_changes", "transactions"])
def test_the_mirror_is_that_of_a_plain_run_with_masked_users(plain: World, masked: World, table: str):
    expected = sorted((as_masked(row) for row in plain.rows(table)), key=str)
    assert len(expected) > 20
    assert masked.rows(table) == expected


def test_archived_alerts_have_masked_users(plain: World, masked: World):
    archived = {row["alert_id"]: row["user_id"] for row in masked.rows("alerts")}
    assert archived == {alert["alert_id"]: masked_by_hand(alert["user_id"]) for alert in plain.alerts}


def test_an_id_of_a_user_stands_nowhere_and_neither_does_the_key(plain: World, masked: World):
    where = " ".join(plain.places_of([SPY]))
    for place in ("lake/transactions/", "lake/transaction_changes/", *(
        f"state of {rule.name}" for rule in plain.rules if not rule.stateless
    )):  # fmt: skip
        assert place in where
    assert masked.places_of([SPY, SPY - 1]) == []
    for path in (masked.folder / "kept").rglob("*"):
        if path.is_file():
            assert KEY not in path.read_bytes()
            assert KEY.hex().encode() not in path.read_bytes()


def test_no_plan_has_the_key(masked: World):
    for rule in masked.rules:
        shown = rule_messages(masked.records(), [Judge(rule)], masked.pipeline)._jdf.queryExecution().toString()
        # Of a rule with state the function that packs the messages masks too.
        assert ("MapInArrow packed(" if rule.corrections == "off" and not rule.stateless else "masked(user_id") in shown
        assert KEY.hex() not in shown


def test_without_a_key_the_plan_has_no_function_of_python(plain: World):
    shown = connector_events(plain.records())._jdf.queryExecution().toString()
    assert "masked(" not in shown
    assert "Python" not in shown
