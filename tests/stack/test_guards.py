"""What would lose or double silently stops with its name, on the real components; and what the runbook says helps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic
from deltalake import DeltaTable
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.audit.run import Options, audit
from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.settings import settings_for
from fraudstream.errors import GuardError, Runbook
from fraudstream.health.facts import gather
from fraudstream.health.findings import findings
from fraudstream.health.limits import load_limits
from fraudstream.repair.run import Workshop, repair
from fraudstream.stack import connect, guard, kafka, offsets, postgres
from fraudstream.streams import queries
from stack.world import World, rows, world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
ROWS = "insert into transactions (user_id, amount) select 1 + n % 3, 10 from generate_series(1, {}) as n"


@pytest.fixture
def a_world(stack, spark, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with world(stack, spark, tmp_path, request.node.name.removeprefix("test_")[:30]) as made:
        yield made


def refused(action: Callable[[], object], runbook: Runbook) -> str:
    with pytest.raises(GuardError) as refusal:
        action()
    assert refusal.value.runbook == runbook, refusal.value
    return str(refusal.value)


def test_a_table_without_a_replica_identity_is_not_captured(a_world: World):
    with postgres.cursor(a_world.settings) as cursor:
        for identity in ("DEFAULT", "NOTHING"):
            cursor.execute(f"ALTER TABLE transactions REPLICA IDENTITY {identity}")
            try:
                said = refused(a_world.capture, "replica-identity")
            finally:
                cursor.execute("ALTER TABLE transactions REPLICA IDENTITY FULL")
            assert "public.transactions" in said
    assert a_world.connector["name"] not in connect.connectors(a_world.settings)
    a_world.capture()


def test_a_connector_that_would_give_a_users_changes_no_order_is_not_registered(a_world: World):
    settings, name = a_world.settings, a_world.connector["name"]
    topic, config = a_world.pipeline.kafka.transactions_topic, a_world.connector["config"]

    def keyed_by(key: str) -> Callable[[], object]:
        changed = {**config, "message.key.columns": f"public.transactions:{key}"}
        return lambda: connect.put_connector(settings, {"name": name, "config": changed})

    refused(keyed_by("id"), "topic-key")
    client = kafka.admin(settings)  # the answer does not come to a client that is gone
    client.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    without = {key: value for key, value in config.items() if key != "topic.creation.default.partitions"}
    said = refused(
        lambda: connect.put_connector(settings, {"name": name, "config": without | {"message.key.columns": ""}}),
        "topic-key",
    )
    assert f"topic {topic} has, or would be made with, 2 partitions" in said
    assert name not in connect.connectors(settings)
    a_world.capture()
    a_world.sql(ROWS.format(3))
    a_world.wait_for_row(3)
    refused(keyed_by("merchant_id"), "topic-key")
    assert connect.connectors(settings)[name]["message.key.columns"] == "public.transactions:user_id"


def test_a_slot_that_was_moved_or_dropped_or_an_earlier_database_stops_capture_until_it_is_said_how_to_go_on(
    a_world: World,
):
    settings, name = a_world.settings, a_world.connector["name"]
    slot = a_world.connector["config"]["slot.name"]
    a_world.capture()
    a_world.sql(ROWS.format(30))
    a_world.wait_for_row(30)
    a_world.run_mirror()

    def stop() -> None:
        connect.stop_connector(settings, name)

    stop()
    a_world.sql(ROWS.format(5))
    with postgres.cursor(settings) as cursor:
        cursor.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_insert_lsn())", (slot,))
    refused(a_world.capture, "slot-ahead")
    assert len(a_world.records()) == 30
    connect.put_connector(settings, a_world.connector, moved="slot-ahead")
    a_world.sql(ROWS.format(1))
    a_world.wait_for_row(36)
    assert len(a_world.records()) == 31, "the five rows of the gap are not there: that is what was accepted"

    stop()
    postgres.drop_slot(settings, slot)
    a_world.sql(ROWS.format(1), "delete from transactions where id = 1")
    assert offsets.stored_lsn(settings, name)
    refused(a_world.capture, "slot-lost")
    connect.renew_slot(settings, name, a_world.connector["config"])
    a_world.wait_for(lambda found: sum(envelope["op"] == "r" for envelope in found) == 36)
    a_world.judge()
    missing, ghosts = a_world.postgres().keys() - a_world.mirror().keys(), a_world.mirror().keys() - a_world.postgres()
    assert (missing, ghosts) == (set(), {1}), "a snapshot cannot tell of a delete"

    stop()
    beyond = guard.end_lsn(settings) + 2**30  # as if the database had been set back behind it
    offsets.store_lsn(settings, name, a_world.connector["config"]["topic.prefix"], beyond)
    refused(a_world.capture, "database-restored")
    connect.renew_slot(settings, name, a_world.connector["config"])
    a_world.wait_for(lambda found: sum(envelope["op"] == "r" for envelope in found) == 36 + 36)
    a_world.capture()


def test_a_topic_made_anew_and_a_checkpoint_that_is_gone_stop_the_queries_until_they_are_reset(a_world: World):
    a_world.capture()
    a_world.sql(ROWS.format(20))
    a_world.wait_for_row(20)
    a_world.judge()
    for query in ("anomaly", queries.MIRROR, queries.ARCHIVE):
        shutil.rmtree(a_world.pipeline.checkpoint(query))
    for start in (start_rules, queries_of("start_mirror"), queries_of("start_archive")):
        refused(lambda start=start: start(a_world), "checkpoint-gone")
    for query in ("anomaly", queries.MIRROR, queries.ARCHIVE):
        queries.reset(a_world.session, a_world.pipeline, query)
    a_world.judge()
    a_world.assert_exact()

    topic, admin = a_world.pipeline.kafka.transactions_topic, kafka.admin(a_world.settings)
    connect.stop_connector(a_world.settings, a_world.connector["name"])
    admin.delete_topics([topic])[topic].result(30)
    partitions = a_world.settings.topic_partitions
    while topic in admin.list_topics(timeout=10).topics:
        pass
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
    a_world.capture()
    a_world.sql(ROWS.format(60))
    a_world.wait_for_row(80)
    before = (a_world.mirror(), a_world.alerts_in_kafka())
    for start in (start_rules, queries_of("start_mirror")):
        refused(lambda start=start: start(a_world), "topic-replaced")
    assert (a_world.mirror(), a_world.alerts_in_kafka()) == before
    changes = DeltaTable(a_world.pipeline.table("transaction_changes")).version()
    asked = (a_world.pipeline, a_world.rules, a_world.settings)
    refused(lambda: audit(*asked, Options()), "topic-replaced")
    refused(lambda: repair(Workshop(*asked, lambda: a_world.session, lambda _: None), Options()), "topic-replaced")
    assert DeltaTable(a_world.pipeline.table("transaction_changes")).version() == changes, "the old topic's only record"
    found = findings(gather(a_world.settings, a_world.pipeline), load_limits())
    assert ("topic-replaced", queries.MIRROR) in {(each.name, each.part) for each in found}


def test_a_rule_that_starts_over_knows_what_the_lake_tells_where_the_topic_has_lost_its_beginning(a_world: World):
    a_world.capture()
    a_world.sql(rows(1, *["10"] * 20), rows(2, *["20"] * 20), "update transactions set card_type = 'X' where id = 7")
    a_world.wait_for_row(7, "u")
    a_world.judge()
    first = a_world.records()
    cut(a_world)
    a_world.sql(rows(1, "10", "600", start=9000), rows(2, "20", "20", "700", start=9000))
    a_world.wait_for_row(45)
    for query in (*(rule.name for rule in a_world.rules), queries.ARCHIVE):
        queries.reset(a_world.session, a_world.pipeline, query)
    refused(lambda: queries.reset(a_world.session, a_world.pipeline, queries.MIRROR), "history-gone")
    a_world.judge()

    last = a_world.records()
    assert {(each.partition, each.offset) for each in first}.isdisjoint((each.partition, each.offset) for each in last)
    entry = next(rule for rule in a_world.rules if rule.name == "anomaly")
    found = arrivals([*first, *last], a_world.pipeline.max_message_bytes)
    expected = [alert.transaction_id for alert in judge_topic(found, settings_for(entry.rule, entry.parameters)).alerts]
    assert expected == [42, 45], "both by the histories of what the topic has lost"
    for alerts in (a_world.alerts_in_kafka(), a_world.alerts_in_delta()):
        assert sorted(number for rule, number in alerts if rule == "anomaly") == expected
    assert a_world.mirror() == a_world.postgres()

    for table in queries.TABLES:
        Path(a_world.pipeline.table(table)).rename(f"{a_world.pipeline.table(table)}_kept")
    queries.reset(a_world.session, a_world.pipeline, queries.MIRROR)
    a_world.run_mirror()  # it begins at the first records that are left
    queries.reset(a_world.session, a_world.pipeline, "anomaly")
    refused(lambda: start_rules(a_world), "history-gone")
    queries.forget(a_world.session, a_world.pipeline, "anomaly")
    for query in start_rules(a_world):
        query.awaitTermination()
    assert a_world.parts("anomaly")["read"] == len(last) == 5


def cut(world: World) -> None:
    """Delete all records that the transactions topic has."""
    records, topic = world.records(), world.pipeline.kafka.transactions_topic
    numbers = {record.partition for record in records}
    ends = [
        TopicPartition(topic, number, 1 + max(r.offset for r in records if r.partition == number)) for number in numbers
    ]
    admin = kafka.admin(world.settings)  # the answer does not come to a client that is gone
    for deleted in admin.delete_records(ends).values():
        deleted.result(30)


def start_rules(world: World) -> list[StreamingQuery]:
    return queries.start_rules(world.session.newSession(), world.rules, world.pipeline, until_caught_up=True)


def queries_of(name: str) -> Callable[[World], object]:
    return lambda world: getattr(queries, name)(world.session.newSession(), world.pipeline, until_caught_up=True)
