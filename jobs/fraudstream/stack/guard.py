"""Refuses to start capture where changes would be skipped without an error: the slot is ahead of the stored offset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from fraudstream.errors import GuardError, StackError
from fraudstream.stack import postgres
from fraudstream.stack.kafka import quiet_logger
from fraudstream.stack.settings import StackSettings

_LSN_FIELDS = ("lsn_commit", "lsn_proc", "lsn")


def require_slot_not_ahead(settings: StackSettings, name: str, config: Mapping[str, Any]) -> None:
    """Raises GuardError when connector `name` has stored an offset and its slot was moved past it: PostgreSQL would
    go on from the slot's position and the changes between the two would be missing without an error."""
    stored = stored_lsn(settings, name)
    if stored is None:
        return
    slot, database = config.get("slot.name", "debezium"), str(config.get("database.dbname"))
    with postgres.cursor(settings, database) as cursor:
        cursor.execute(
            "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots"
            " WHERE slot_name = %s AND database = %s",
            (slot, database),
        )
        row = cursor.fetchone()
    if row and row[0] is not None and int(row[0]) > stored:
        raise GuardError(
            f"Connector {name} is not started: slot {slot} stands at {lsn_text(int(row[0]))}, ahead of the connector's "
            f"stored offset {lsn_text(stored)}, and the changes between them would be missing without an error. "
            f"Compare the lake with PostgreSQL, then start from a new snapshot: `make purge`, or drop slot {slot} and "
            "delete the connector's offsets."
        )


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
        {"bootstrap.servers": settings.bootstrap, "group.id": "fraudstream-guard", "enable.auto.commit": False,
         "enable.partition.eof": True, "isolation.level": "read_committed", "log_level": 0},
        logger=quiet_logger(),
    )  # fmt: skip
    try:
        if topic not in consumer.list_topics(timeout=10).topics:
            return
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while (message := consumer.poll(30)) is not None:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None:
                break
            key, value = message.key(), message.value()
            yield _decoded(key), json.loads(value) if value else None
        raise StackError(f"topic {topic} cannot be read to its end within 30 s; see `make status`.")
    finally:
        consumer.close()


def _decoded(key: bytes | str | None) -> Any:
    """Connect's own keys are plain text in the topic of configurations, JSON in that of offsets."""
    text = key.decode() if isinstance(key, bytes) else key or ""
    try:
        return json.loads(text)
    except ValueError:
        return text
