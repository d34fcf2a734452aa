"""The transactions topic when rules start: a sample of its records, for the guards of fraudstream.cdc.topic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pyspark.sql import SparkSession

from fraudstream.cdc.topic import Sample, check_samples
from fraudstream.config import Kafka
from fraudstream.streams.kafka import admin_client, consumer, described, has_topic

# Records looked at on either end of each partition: more than one batch of the exercise's transactions would tell.
SAMPLE = 50
_POLL_MS, _SECONDS = 200, 10.0


def check_topic(spark: SparkSession, kafka: Kafka, key: str | None) -> None:
    """Sample the transactions topic and raise GuardError if rules must not start on it.

    `key` is the rules' key, or None if no rule keeps state: the order of messages then does not matter.
    """
    offsets = _offsets(spark, kafka, kafka.transactions_topic)
    samples: list[Sample] = []
    # By a consumer, not by Spark jobs: 1.6 s of a start instead of 5.2.
    with consumer(spark, kafka, SAMPLE) as client:
        for number, (begin, end) in offsets.items():
            for start, stop in _ends(begin, end):
                samples += _sampled(spark, client, kafka.transactions_topic, number, start, stop)
    check_samples(kafka.transactions_topic, len(offsets), samples, key)


def topic_begins(spark: SparkSession, kafka: Kafka, topic: str) -> dict[int, int]:
    """{partition: offset of its first record} of a topic now. Raises GuardError if there is none."""
    return {number: begin for number, (begin, _) in _offsets(spark, kafka, topic).items()}


def cut_at(spark: SparkSession, kafka: Kafka, topic: str) -> dict[int, int]:
    """Where a topic begins, if it has lost its first records; empty if it has not, or is not there."""
    begins = topic_begins(spark, kafka, topic) if has_topic(spark, kafka, topic) else {}
    return begins if any(begins.values()) else {}


def topic_ends(spark: SparkSession, kafka: Kafka) -> dict[int, int]:
    """{partition: offset behind its last record} of the transactions topic now. Raises GuardError if there is none."""
    return {number: end for number, (_, end) in _offsets(spark, kafka, kafka.transactions_topic).items()}


def _ends(begin: int, end: int) -> list[tuple[int, int]]:
    """The offset ranges of a partition's first and last records."""
    if end - begin <= 2 * SAMPLE:
        return [(begin, end)] if begin < end else []
    return [(begin, begin + SAMPLE), (end - SAMPLE, end)]


def _sampled(spark: SparkSession, client: Any, topic: str, number: int, start: int, end: int) -> Iterator[Sample]:
    """The partition's records from `start` to before `end`; of an end that is not committed yet, those in front of it
    that are there within some seconds."""
    jvm: Any = spark._jvm
    part, wait = jvm.org.apache.kafka.common.TopicPartition(topic, number), jvm.java.time.Duration.ofMillis(_POLL_MS)
    client.assign([part])
    client.seek(part, start)
    limit = time.monotonic() + _SECONDS
    while client.position(part) < end and time.monotonic() < limit:
        for record in client.poll(wait).records(part):
            if record.offset() < end:
                yield Sample(number, record.key(), record.value(), _headers(record.headers()))


def _offsets(spark: SparkSession, kafka: Kafka, topic: str) -> dict[int, tuple[int, int]]:
    """First and end offset of each partition of a topic, by Spark's own Kafka client."""
    with admin_client(spark, kafka) as admin:
        return _listed(spark, admin, kafka, topic)


def _listed(spark: SparkSession, admin: Any, kafka: Kafka, topic: str) -> dict[int, tuple[int, int]]:
    jvm: Any = spark._jvm
    numbers = [part.partition() for part in described(spark, admin, kafka, topic).partitions()]
    spec = jvm.org.apache.kafka.clients.admin.OffsetSpec
    ends: list[dict[int, int]] = []
    for wanted in (spec.earliest(), spec.latest()):
        asked = jvm.java.util.HashMap()
        parts = {number: jvm.org.apache.kafka.common.TopicPartition(topic, number) for number in numbers}
        for part in parts.values():
            asked.put(part, wanted)
        answer = admin.listOffsets(asked).all().get()
        ends.append({number: int(answer.get(part).offset()) for number, part in parts.items()})
    return {number: (ends[0][number], ends[1][number]) for number in numbers}


def _headers(headers: Any) -> list[tuple[str, bytes]]:
    return [(header.key(), bytes(header.value() or b"")) for header in headers.toArray()]
