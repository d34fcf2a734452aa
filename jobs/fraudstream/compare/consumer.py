"""A reader of the change stream: confluent-kafka and the envelope reader, a consumer group of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from fraudstream.cdc.generic import TableChange, read_table_change
from fraudstream.compare.sightings import MARKER_VALUE, Sightings

if TYPE_CHECKING:
    from fraudstream.compare.reader import Commands

_BATCH = 1000
_PATIENCE_S = 0.5


def consume(options: dict[str, Any], commands: Commands, sightings: Sightings) -> Iterator[dict[str, Any]]:
    """Read the topic as it grows; says when the first message has come (or the partitions, with `resume`)."""
    consumer = _consumer(options)
    reached: dict[int, int] = {}
    consumer.subscribe([options["topic"]])
    ready, messages, octets, marker = False, 0, 0, 0
    while not commands.gone:
        batch = _batch(consumer)
        commands.wait(0)  # before the batch is noted: the command to start may have come while waiting for it
        for message in batch:
            error: Any = message.error()
            if error is None:
                reached[message.partition()] = message.offset() + 1
                messages += 1
                octets += len(message.value() or b"")
                noted = sightings if options.get("resume") or commands.start is not None else None
                marker = max(marker, _note(read_table_change(message.value(), message.headers()), noted))
            elif error.code() == KafkaError._PARTITION_EOF:
                reached[message.partition()] = message.offset()
        if not ready and (messages or (options.get("resume") and consumer.assignment())):
            ready = True
            yield {"ready": True}
        # Changes come in the order of their commits: once the marker is here, all before it are in the topic.
        if (
            commands.finish is not None
            and marker >= commands.finish
            and _at_the_end(consumer, options["topic"], reached)
        ):
            break
    yield {"messages": messages, "value_bytes": octets}
    consumer.close()


def _consumer(options: dict[str, Any]) -> Any:
    return Consumer(
        {
            "bootstrap.servers": options["bootstrap"],
            "group.id": options["group"],
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.commit.interval.ms": 1000,
            "topic.metadata.refresh.interval.ms": 1000,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
    )


def _batch(consumer: Any) -> list[Any]:
    """The next message, and with it all that have already come: waiting for a full batch would cost latency."""
    first = consumer.poll(_PATIENCE_S)
    return [] if first is None else [first, *consumer.consume(_BATCH, 0)]


def _note(change: TableChange, sightings: Sightings | None) -> int:
    """Note a change; returns the id of a marker, 0 of any other row."""
    image = change.before if change.op == "d" else change.after
    if image is None:
        return 0
    value = None if change.op == "d" else int(Decimal(image["amount"]) * 100)
    if sightings is not None:
        sightings.add(time.time(), change.op, image["id"], value)
    return int(image["id"]) if value == MARKER_VALUE else 0


def _at_the_end(consumer: Any, topic: str, reached: dict[int, int]) -> bool:
    """Whether what is in the topic now has been read. Transaction markers take offsets too: only the report of a
    partition's end tells that the reader is past them."""
    for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        if reached.get(partition, 0) < end:
            return False
    return True
