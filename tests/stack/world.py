"""A pipeline of a test's own on the shared stack: its own connector, slot, topics, lake and checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
from confluent_kafka.admin import NewTopic
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from fraudstream.check.oracle import Verdict, arrivals, judge_topic
from fraudstream.check.settings import settings_for
from fraudstream.check.topic import Record, read_topic
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.stack import kafka
from fraudstream.stack.connect import CONNECTORS, delete_connector, put_connector
from fraudstream.stack.settings import StackSettings
from fraudstream.streams import progress, queries

OURS = CONNECTORS / "transactions.json"
EXERCISE = CONNECTORS / "exercise.json"
ROW = "insert into transactions (user_id, amount, card_type, merchant_id, created_at) values"
NOON = "timestamp '2026-03-01 12:00:00'"
RULES = """
anomaly: {severity: high}
velocity: {severity: high}
high_amount: {severity: medium}
"""


@dataclass(frozen=True)
class World:
    """One test's pipeline."""

    name: str
    settings: StackSettings
    session: SparkSession
    pipeline: Pipeline
    rules: tuple[Rule, ...]
    connector: Mapping[str, Any]

    def sql(self, *statements: str) -> None:
        """Run each statement as the application, in a transaction of its own."""
        with connection(self.settings) as database:
            for statement in statements:
                database.cursor().execute(statement)
                database.commit()

    def capture(self) -> None:
        """Register the connector and wait until it streams."""
        put_connector(self.settings, self.connector)
        # Connect says RUNNING before the task has its slot: a test that ended here would leave the slot behind.
        reading = "select 1 from pg_replication_slots where slot_name = %s and active"
        limit = time.monotonic() + 60
        while not _execute(self.settings, reading, self.connector["config"]["slot.name"]):
            assert time.monotonic() < limit, "nobody reads the slot"
            time.sleep(0.05)

    def records(self) -> list[Record]:
        """All records of the transactions topic."""
        return committed(self.settings, self.pipeline.kafka.transactions_topic)

    def wait_for(self, captured: Callable[[list[dict[str, Any]]], bool], seconds: float = 60) -> None:
        """Wait until the topic's envelopes fulfil the condition."""
        limit = time.monotonic() + seconds
        while True:
            found = topic_values(self.settings, self.pipeline.kafka.transactions_topic)
            if captured(found):
                return
            assert time.monotonic() < limit, f"not captured after {seconds} s; the last of {len(found)}: {found[-1:]}"
            time.sleep(0.2)

    def wait_for_row(self, transaction_id: int, op: str = "c") -> None:
        """Wait until the change of that row, and so all committed before it, is in the topic."""
        self.wait_for(
            lambda found: any(e.get("op") == op and (e["after"] or e["before"])["id"] == transaction_id for e in found)
        )

    def judge(self, rules: Sequence[Rule] | None = None) -> None:
        """Run the rules, the mirror and the archive until they have caught up with the topic."""
        session = self.session.newSession()  # listeners belong to a session: this one's end with it
        running = queries.start_rules(session, rules or self.rules, self.pipeline, until_caught_up=True)
        mirror = queries.start_mirror(session, self.pipeline, until_caught_up=True)
        for query in running:
            query.awaitTermination()
        # A query that catches up ends with what was in its topic when it started: the archive's after the rules' end.
        queries.start_archive(session, self.pipeline, until_caught_up=True).awaitTermination()
        mirror.awaitTermination()

    def run_rules(self) -> None:
        """Run the rules alone until they have caught up: for what neither lake nor archive tells."""
        for query in queries.start_rules(self.session.newSession(), self.rules, self.pipeline, until_caught_up=True):
            query.awaitTermination()

    def run_mirror(self) -> None:
        """Run the mirror alone until it has caught up: for what neither rules nor archive tell."""
        queries.start_mirror(self.session.newSession(), self.pipeline, until_caught_up=True).awaitTermination()

    def verdict(self, rule: str) -> Verdict:
        """What the oracle makes of the topic."""
        entry = next(each for each in self.rules if each.name == rule)
        found = arrivals(self.records(), self.pipeline.max_message_bytes)
        return judge_topic(found, settings_for(entry.rule, entry.parameters))

    def alerts_in_kafka(self) -> list[tuple[str, int]]:
        """(rule, transaction id) of every message of the alerts topic."""
        values = topic_values(self.settings, self.pipeline.kafka.alerts_topic)
        return [(value["rule"], value["transaction_id"]) for value in values]

    def alerts_in_delta(self) -> list[tuple[str, int]]:
        """(rule, transaction id) of every row of lake/alerts."""
        rows = table_rows(self.pipeline.table("alerts"))
        return [(row["rule"], row["transaction_id"]) for row in rows]

    def mirror(self) -> dict[int, tuple[Any, ...]]:
        """The rows of lake/transactions that are not deleted, by id."""
        columns = ("user_id", "amount", "card_type", "merchant_id")
        rows = table_rows(self.pipeline.table("transactions"))
        return {row["id"]: tuple(row[name] for name in columns) for row in rows if not row["deleted"]}

    def postgres(self) -> dict[int, tuple[Any, ...]]:
        """The rows of the transactions table, by id; an amount of NaN as null."""
        with connection(self.settings) as database, database.cursor() as cursor:
            cursor.execute("select id, user_id, nullif(amount, 'NaN'), card_type, merchant_id from transactions")
            return {row[0]: row[1:] for row in cursor}

    def parts(self, query: str) -> dict[str, int]:
        """Sums of the query's committed batches: read and the parts of the conservation law."""
        lines = list(progress.read_lines(self.pipeline.progress, query))
        return {name: sum(line[name] for line in lines) for name in ("read", *progress.PARTS)}

    def assert_exact(self) -> dict[str, int]:
        """Oracle, Kafka and Delta hold the same alerts, the mirror equals PostgreSQL, every query's parts add up. The
        number of alerts per rule."""
        read = len(self.records())
        kafka, delta = self.alerts_in_kafka(), self.alerts_in_delta()
        assert len(delta) == len(set(delta)), "an alert stands twice in Delta"
        for rule in self.rules:
            expected = {(rule.name, alert.transaction_id) for alert in self.verdict(rule.name).alerts}
            assert {alert for alert in kafka if alert[0] == rule.name} == expected
            assert {alert for alert in delta if alert[0] == rule.name} == expected
        for query in (*(rule.name for rule in self.rules), queries.MIRROR):
            parts = self.parts(query)
            assert parts["read"] == read == sum(parts[name] for name in progress.PARTS), (query, parts)
        assert self.mirror() == self.postgres()
        return {rule.name: sum(alert[0] == rule.name for alert in delta) for rule in self.rules}


def rows(user: int, *amounts: str, start: int = 0, apart: int = 120) -> str:
    """An insert of one user's amounts, `apart` seconds apart."""
    values = (
        f"({user}, {amount}, 'VISA', 7, {NOON} + interval '{start + apart * place} seconds')"
        for place, amount in enumerate(amounts)
    )
    return f"{ROW} {', '.join(values)}"


@contextmanager
def connection(settings: StackSettings, role: str = "app", database: str = "mydb") -> Iterator[Any]:
    """A database connection that is closed again."""
    opened = psycopg2.connect(settings.dsn(role, database))
    try:
        yield opened
    finally:
        opened.close()


def committed(settings: StackSettings, topic: str) -> list[Record]:
    """All committed records of a topic."""
    return list(read_topic(settings.bootstrap, topic, kafka.client_options(settings)))


def topic_values(settings: StackSettings, topic: str) -> list[dict[str, Any]]:
    """The JSON values of a topic in order; those that are none are left out. Empty where there is no topic."""
    if topic not in kafka.admin(settings).list_topics(timeout=30).topics:
        return []
    values = []
    for record in committed(settings, topic):
        try:
            value = json.loads(record.value or b"")
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            values.append(value)
    return values


def table_rows(path: str) -> list[dict[str, Any]]:
    """The rows of a Delta table, read without Spark."""
    rows: list[dict[str, Any]] = DeltaTable(path).to_pyarrow_table().to_pylist()
    return rows


@contextmanager
def world(
    settings: StackSettings,
    session: SparkSession,
    folder: Path,
    name: str,
    source: Path = OURS,
    *,
    renamed: bool = True,
    reader: str | None = None,
    **changes: str,
) -> Iterator[World]:
    """A fresh world: an empty table, and after the test nothing of it left in the stack. The connector gets the world's
    name unless it is not to be `renamed`; `changes` are settings of it (dots as double underscores). `reader` is the
    pipeline's; that of conf/ if it is not given."""
    connector = json.loads(source.read_text(encoding="utf-8"))
    if renamed:
        connector["name"] = f"world_{name}"
        connector["config"] |= {"topic.prefix": f"world_{name}", "slot.name": f"world_{name}_slot"}
    connector["config"] |= {key.replace("__", "."): value for key, value in changes.items()}
    prefix = connector["config"]["topic.prefix"]
    _execute(settings, "truncate transactions restart identity")
    admin, alerts = kafka.admin(settings), f"fraud.alerts.{prefix}"
    admin.create_topics([NewTopic(alerts, 2, 1)])[alerts].result(30)
    rules = folder / "rules.yaml"
    rules.write_text(RULES, encoding="utf-8")
    plain = load_pipeline()
    pipeline = replace(
        plain,
        kafka=replace(
            plain.kafka,
            transactions_topic=f"{prefix}.public.transactions",
            alerts_topic=alerts,
            reader=reader or plain.kafka.reader,
        ),
        lake=str(folder / "lake"),
        checkpoints=str(folder / "checkpoints"),
        progress=str(folder / "progress"),
    )
    try:
        yield World(name, settings, session, pipeline, load_rules(rules), connector)
    finally:
        delete_connector(settings, connector["name"])
        _drop_slot(settings, connector["config"]["slot.name"])
        if not renamed:
            admin.delete_topics([pipeline.kafka.transactions_topic])[pipeline.kafka.transactions_topic].result(30)


def _execute(settings: StackSettings, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection(settings, "postgres") as database, database.cursor() as cursor:
        database.autocommit = True
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def _drop_slot(settings: StackSettings, slot: str, seconds: float = 30) -> None:
    drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s"
    limit = time.monotonic() + seconds
    while True:
        try:
            _execute(settings, drop, slot)
            return
        except psycopg2.errors.ObjectInUse:  # the deleted connector's task is still ending
            assert time.monotonic() < limit, f"slot {slot} is still held"
            time.sleep(0.2)
