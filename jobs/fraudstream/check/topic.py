"""A whole topic as a plain consumer sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition

from fraudstream.clients import AT_THE_END, librdkafka
from fraudstream.errors import StackError

_BATCH = 10_000
_WAIT_S = 0.02  # for a batch that is not full
_PATIENCE_S = 60.0


class Record(NamedTuple):
    """A record of a topic; `timestamp` in ms."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


def read_topic(
    bootstrap: str, topic: str, options: Mapping[str, str] | None = None, start: Mapping[int, int] | None = None
) -> Iterator[Record]:
    """All committed records of the topic from its beginning (or `start`, by partition) to its end now, by offset within
    each partition.

    `options` are Spark's Kafka options ("kafka.security.protocol" ...), passed on. Raises StackError if the topic is
    not there or the broker stops answering.
    """
    consumer = Consumer({**consumer_settings(bootstrap, options), **AT_THE_END})
    try:
        partitions = partitions_of(consumer, topic)
        begin = start or {}
        consumer.assign([TopicPartition(topic, partition, begin.get(partition, 0)) for partition in partitions])
        yield from _to_the_end(consumer, topic, set(partitions))
    finally:
        consumer.close()


def consumer_settings(bootstrap: str, options: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A consumer of its own that commits no offsets, reads committed records and reports a partition's end."""
    return {
        **librdkafka(options or {}),
        "bootstrap.servers": bootstrap,
        "group.id": "fraudstream-check",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.message.max.bytes": 16_777_216,
    }


def partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """The topic's partition numbers. Raises StackError if there is no such topic."""
    found = consumer.list_topics(topic, timeout=30).topics[topic]
    if found.error is not None or not found.partitions:
        raise StackError(
            f"topic {topic}: {found.error or 'has no partitions'}; check that the stack is up (make status)."
        )
    return sorted(found.partitions)


def record_of(message: Any) -> Record:
    """A confluent-kafka message as a Record."""
    headers = tuple((name, value or b"") for name, value in message.headers() or ())
    timestamp = message.timestamp()[1]
    return Record(message.partition(), message.offset(), message.key(), message.value(), headers, timestamp)


def _to_the_end(consumer: Consumer, topic: str, unfinished: set[int]) -> Iterator[Record]:
    heard = time.monotonic()
    while unfinished:
        for message in consumer.consume(_BATCH, timeout=_WAIT_S):
            heard = time.monotonic()
            error: Any = message.error()
            if error is None:
                yield record_of(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
            else:
                raise StackError(f"topic {topic}: {error.str()}; see the broker's log.")
        if time.monotonic() - heard > _PATIENCE_S:
            raise StackError(f"topic {topic}: no answer from the broker for {_PATIENCE_S:.0f} s; see its log.")
