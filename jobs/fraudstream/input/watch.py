"""Watching a table's change events as a consumer of one's own."""

from __future__ import annotations

import importlib
import json
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fraudstream.cdc.generic import read_table_change, read_transaction_change
from fraudstream.cli import paint
from fraudstream.errors import FraudstreamError
from fraudstream.input.describe import as_json, told
from fraudstream.stack.settings import DOCKER

_POLL_SECONDS = 0.2
_TRANSACTIONS = ".public.transactions"


def topic_of(table: str, connectors: Path = DOCKER / "connect") -> str:
    """The topic of a table: the prefix of the connector in docker/connect that captures it, and the table's name.

    Raises FraudstreamError naming the tables that are captured.
    """
    known: dict[str, str] = {}
    for path in sorted(connectors.glob("*.json")):
        config = json.loads(path.read_text(encoding="utf-8"))["config"]
        for name in config.get("table.include.list", "").split(","):
            if name:
                known[name] = f"{config['topic.prefix']}.{name}"
    if table not in known:
        raise FraudstreamError(
            f"--table is {table!r}; docker/connect captures {' and '.join(known)}. "
            "Of another connector's table give the topic with --topic."
        )
    return known[table]


def watch(records: Iterable[Any], show: Callable[[str], None], limit: int | None, machine: bool) -> int:
    """Show each record, at most `limit`, for a person or a machine. Returns how many.

    A record that is no change event is shown as unreadable, with the reason.
    """
    shown = 0
    for record in records:
        read = read_transaction_change if record.topic().endswith(_TRANSACTIONS) else read_table_change
        place = {"topic": record.topic(), "partition": record.partition(), "offset": record.offset()}
        where = paint(f"  [{place['partition']}@{place['offset']}]", "dim")
        try:
            change = read(record.value(), record.headers())
            show(as_json(change, place) if machine else told(change) + where)
        except ValueError as error:
            show(json.dumps({"unreadable": str(error), **place}) if machine else f"unreadable: {error}{where}")
        shown += 1
        if shown == limit:
            break
    return shown


def records(
    client: Mapping[str, str], topic: str, beginning: bool, stop: threading.Event, say: Callable[[str], None]
) -> Iterator[Any]:
    """The topic's committed records, read in a consumer group of its own until `stop` is set.

    `client` is the settings of a client of confluent-kafka. A topic that does not exist yet is waited for, and then
    read whole. Raises FraudstreamError when no broker answers or confluent-kafka is missing.
    """
    kafka = _confluent_kafka()
    exists = _exists(client, topic)
    if not exists:
        say(f"no topic {topic} yet: waiting for the table's first change (is its connector registered?)")
    consumer = kafka.Consumer(
        {
            **client,
            "group.id": f"fraudstream-watch-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest" if beginning or not exists else "latest",
            "isolation.level": "read_committed",
            "topic.metadata.refresh.interval.ms": 1000,
            "log_level": 0,
        }
    )
    unreachable = kafka.KafkaError._ALL_BROKERS_DOWN
    try:
        consumer.subscribe([topic], on_assign=lambda *_: say(f"watching {topic}"))
        while not stop.is_set():
            record = consumer.poll(_POLL_SECONDS)
            if record is None:
                continue
            if record.error() is None:
                yield record
            elif record.error().code() == unreachable:
                say(f"no broker answers at {client['bootstrap.servers']} any more; waiting for it")
            elif record.error().code() != kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise FraudstreamError(f"topic {topic}: {record.error().str()}.")
    finally:
        consumer.close()


def _exists(client: Mapping[str, str], topic: str) -> bool:
    admin = importlib.import_module("confluent_kafka.admin").AdminClient({**client, "log_level": 0})
    try:
        return topic in admin.list_topics(timeout=5).topics
    except _confluent_kafka().KafkaException:
        raise FraudstreamError(
            f"no Kafka broker answers at {client['bootstrap.servers']}; start it with `make up`, or name another with "
            "--bootstrap."
        ) from None


def _confluent_kafka() -> Any:
    try:
        return importlib.import_module("confluent_kafka")
    except ImportError:
        raise FraudstreamError(
            f"watching needs the package confluent-kafka: {sys.executable} -m pip install confluent-kafka"
        ) from None
