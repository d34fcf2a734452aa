"""Refuses to start capture where changes would be skipped without an error: the slot is ahead of the stored offset."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from fraudstream.errors import GuardError, StackError
from fraudstream.stack import postgres
from fraudstream.stack.kafka import client, quiet_logger
from fraudstream.stack.settings import StackSettings

_LEADER_S = 30.0
_LSN_FIELDS = ("lsn_commit", "lsn_proc", "lsn")


def require_slot(settings: StackSettings, name: str, config: Mapping[str, Any], *, accept_gap: bool = False) -> None:
    """Raises GuardError when connector `name` has stored an offset and its slot is lost, or was moved past the offset
    (unless the gap is accepted): PostgreSQL would go on from the slot's position and the changes between the two would
    be missing without an error."""
    slot, database = slot_of(config)
    # The slot first: of a running connector it follows the stored offset, so this order cannot accuse it falsely.
    confirmed = confirmed_lsn(settings, slot, database)
    stored = stored_lsn(settings, name)
    if stored is None:
        return
    if confirmed is None:
        raise GuardError(
            f"Connector {name} is not started: slot {slot} of database {database} is gone or has lost its log "
            f"(max_slot_wal_keep_size), but the connector has stored {lsn_text(stored)}, so changes are missing. "
            "`make up UP=--renew-slot` makes a new one and reads every row again; `make repair` closes the rest.",
            "slot-lost",
        )
    if confirmed <= stored or accept_gap:
        return
    raise GuardError(
        f"Connector {name} is not started: slot {slot} stands at {lsn_text(confirmed)}, ahead of the connector's "
        f"stored offset {lsn_text(stored)}, and the changes between them would be missing without an error. "
        "Find out who moved the slot; `make up UP=--accept-gap` goes on, and `make repair` brings what is missing.",
        "slot-ahead",
    )


def slot_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """Name and database of a connector's replication slot."""
    return str(config.get("slot.name", "debezium")), str(config.get("database.dbname"))


def require_replica_identity(settings: StackSettings, name: str, config: Mapping[str, Any]) -> None:
    """Raises GuardError when a table that connector `name` is to capture has no replica identity that serves: without
    one its updates and deletes fail in the application, and a message key beside the primary key needs whole rows."""
    tables = [table.strip() for table in str(config.get("table.include.list", "")).split(",")]
    keys = [part.partition(":") for part in str(config.get("message.key.columns", "")).split(";")]
    keyed = {table.strip(): {column.strip() for column in columns.split(",")} for table, _, columns in keys}
    with postgres.cursor(settings, slot_of(config)[1]) as cursor:
        cursor.execute(
            "SELECT n.nspname || '.' || c.relname, c.relreplident,"
            " ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
            " AND a.attnum = ANY (i.indkey) WHERE i.indrelid = c.oid AND i.indisprimary)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname || '.' || c.relname = ANY (%s) ORDER BY 1",
            (tables,),
        )
        found = cursor.fetchall()
    for table, identity, primary in found:
        beside = not keyed.get(table, set()) <= set(primary)
        if identity == "n" or (identity == "d" and not primary) or (identity != "f" and beside):
            needs = "its message key is not of its primary key" if beside else "it has no primary key, or NOTHING"
            raise GuardError(
                f"Connector {name} is not started: {table} has no replica identity that serves ({needs}), so updates "
                f"and deletes would fail or lack the row they change. As its owner: ALTER TABLE {table} REPLICA "
                "IDENTITY FULL.",
                "replica-identity",
            )


def confirmed_lsn(settings: StackSettings, slot: str, database: str) -> int | None:
    """The position up to which PostgreSQL takes a slot's changes for received; None without such a slot, or if it has
    lost the log it needs."""
    with postgres.cursor(settings, "postgres") as cursor:
        cursor.execute(
            "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots"
            " WHERE slot_name = %s AND database = %s AND wal_status <> 'lost'",
            (slot, database),
        )
        row = cursor.fetchone()
    return None if row is None or row[0] is None else int(row[0])


def lsn_text(lsn: int) -> str:
    """A log position as PostgreSQL writes it: 4294967297 -> "1/1"."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def stored_lsn(settings: StackSettings, name: str) -> int | None:
    """The furthest position in the connector's stored offset; None when it has stored none."""
    found: int | None = None
    for key, value in _records(settings, "connect-offsets"):
        if isinstance(key, list) and key[:1] == [name]:
            positions = [int(value[field]) for field in _LSN_FIELDS if value.get(field) is not None] if value else []
            found = max(positions, default=None)
    return found


def stored_connectors(settings: StackSettings) -> dict[str, dict[str, Any]]:
    """Configurations of the connectors that Connect will start by itself, read from its topic."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in _records(settings, "connect-configs"):
        if isinstance(key, str) and key.startswith("connector-"):
            found[key.removeprefix("connector-")] = dict(value["properties"]) if value else {}
    return {name: config for name, config in found.items() if config}


def _records(settings: StackSettings, topic: str) -> Iterator[tuple[Any, Any]]:
    """Key and value (None for a tombstone), from JSON, of all committed records of a one-partition topic."""
    consumer = Consumer(
        {**client(settings), "group.id": "fraudstream-guard", "enable.auto.commit": False,
         "enable.partition.eof": True, "isolation.level": "read_committed", "log_level": 0},
        logger=quiet_logger(),
    )  # fmt: skip
    try:
        if topic not in consumer.list_topics(timeout=10).topics:
            return
        # Up to the end of now: a connector at work goes on appending. The last offset may be a transaction marker,
        # which is no message but brings the position, and at the end the event PARTITION_EOF, past it.
        end = _end_of(consumer, topic)
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while (message := consumer.poll(30)) is not None:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None:
                break
            key, value = message.key(), message.value()
            yield _decoded(key), json.loads(value) if value else None
            if (message.offset() or 0) >= end - 1:
                return
        raise StackError(f"topic {topic} cannot be read to its end within 30 s; see `make status`.")
    finally:
        consumer.close()


def _end_of(consumer: Consumer, topic: str) -> int:
    """The offset behind the last record of a one-partition topic. Right after its start a broker does not lead it yet
    and says so."""
    limit = time.monotonic() + _LEADER_S
    while True:
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
            return int(end)
        except KafkaException:
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)


def _decoded(key: bytes | str | None) -> Any:
    """Connect's own keys are plain text in the topic of configurations, JSON in that of offsets."""
    text = key.decode() if isinstance(key, bytes) else key or ""
    try:
        return json.loads(text)
    except ValueError:
        return text
