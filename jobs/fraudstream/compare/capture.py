"""The comparison's connector: docker/connect/transactions.json, tuned as it is, on the comparison's own tables."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any

import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from fraudstream.compare import database
from fraudstream.compare.grid import Pace
from fraudstream.errors import FraudstreamError, StackError
from fraudstream.stack import connect, guard, kafka
from fraudstream.stack.settings import StackSettings

PREFIX = "compare"
_OURS = connect.CONNECTORS / "transactions.json"


_UNHURRIED = {
    "poll.interval.ms": "500", "transaction.boundary": "interval", "transaction.boundary.interval.ms": "1000",
}  # fmt: skip


def connector(name: str = PREFIX, slot: str = database.SLOT, tables: str = r"public\.compare_cell.*",
              snapshot: str = "no_data") -> dict[str, Any]:  # fmt: skip
    """The connector of the comparison. Its messages are keyed by the tables' primary key."""
    found = json.loads(_OURS.read_text(encoding="utf-8"))
    config = found["config"] | {
        "topic.prefix": name, "slot.name": slot, "publication.name": database.PUBLICATION,
        "table.include.list": tables, "snapshot.mode": snapshot,
    }  # fmt: skip
    for name_of_setting in ("message.key.columns", "signal.data.collection"):
        config.pop(name_of_setting)
    return {"name": name, "config": config}


def topic_of(table: str, prefix: str = PREFIX) -> str:
    """The topic of a table."""
    return f"{prefix}.public.{table}"


def set_pace(settings: StackSettings, pace: Pace) -> None:
    """Give the connector another pace and wait until its new task reads the slot; without effect where it has it."""
    found = connector()
    if pace != "quick":
        found["config"] |= _UNHURRIED
    name, config = connect.read_connector(settings, found)
    if connect.connectors(settings).get(name) != {**config, "name": name}:
        _register(settings, found)


def start(settings: StackSettings) -> float:
    """Register the connector and wait until it reads its slot: what is committed from then on is captured. Returns
    seconds."""
    began = time.monotonic()
    _register(settings, connector())
    return time.monotonic() - began


def _register(settings: StackSettings, found: Mapping[str, Any], seconds: float = 60) -> None:
    before, limit = database.slot_reader(settings), time.monotonic() + seconds
    connect.put_connector(settings, found)
    while database.slot_reader(settings) in (None, before):
        if time.monotonic() > limit:
            state = connect.connector_status(settings, PREFIX)
            raise FraudstreamError(f"the connector does not read its slot after {seconds:.0f} s: {state}.")
        time.sleep(0.1)


def create_topic(settings: StackSettings, topic: str) -> None:
    """Make a topic as the connector would with the first change."""
    client = kafka.admin(settings)
    client.create_topics([NewTopic(topic, settings.topic_partitions, 1)])[topic].result(30)


def await_decoded(settings: StackSettings, slot: str = database.SLOT, seconds: float = 60) -> None:
    """Return once the slot has passed the end of the log: until then the walsender is busy with what was written."""
    end, limit = database.wal_position(settings), time.monotonic() + seconds
    while (guard.confirmed_lsn(settings, slot, "mydb") or 0) < end:
        if time.monotonic() > limit:
            state = connect.connector_status(settings, PREFIX)
            raise FraudstreamError(f"the connector does not reach the end of the log in {seconds:.0f} s: {state}.")
        time.sleep(0.1)


def remove(settings: StackSettings) -> None:
    """Delete the connectors, topics, slots, tables and publication of the comparison, as far as they answer."""
    with contextlib.suppress(StackError):
        for name in connect.connectors(settings):
            if name.startswith(PREFIX):
                connect.delete_connector(settings, name)
    with contextlib.suppress(KafkaException):
        remove_topics(settings)
    with contextlib.suppress(psycopg2.OperationalError):  # not answering: its folder is deleted with the stack
        database.drop_all(settings)


def remove_topics(settings: StackSettings) -> None:
    """Delete the comparison's topics."""
    client = kafka.admin(settings)
    names = [
        name
        for name in client.list_topics(timeout=10).topics
        if name.removeprefix("__debezium-heartbeat.").startswith(PREFIX)
    ]
    for future in (client.delete_topics(names) if names else {}).values():
        future.result(30)
