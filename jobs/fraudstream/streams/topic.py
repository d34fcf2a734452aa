"""The transactions topic when rules start: a sample of its records, for the guards of fraudstream.cdc.topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession

from fraudstream.cdc.topic import Sample, check_samples
from fraudstream.config import Kafka
from fraudstream.streams.kafka import admin_client, described, read_range

# Records looked at on either end of each partition: more than one batch of the exercise's transactions would tell.
SAMPLE = 50


def check_topic(spark: SparkSession, kafka: Kafka, key: str | None) -> None:
    """Sample the transactions topic and raise GuardError if rules must not start on it.

    `key` is the rules' key, or None if no rule keeps state: the order of messages then does not matter.
    """
    offsets = _offsets(spark, kafka)
    topic = kafka.transactions_topic
    samples: list[Sample] = []
    for start, end in _ends(offsets):
        rows = read_range(spark, kafka, topic, start, end).select("partition", "key", "value", "headers").collect()
        samples += [Sample(r.partition, _bytes(r.key), _bytes(r.value), _headers(r.headers)) for r in rows]
    check_samples(topic, len(offsets), samples, key)


def topic_begins(spark: SparkSession, kafka: Kafka) -> dict[int, int]:
    """{partition: offset of its first record} of the transactions topic now. Raises GuardError if there is none."""
    return {number: begin for number, (begin, _) in _offsets(spark, kafka).items()}


def topic_ends(spark: SparkSession, kafka: Kafka) -> dict[int, int]:
    """{partition: offset behind its last record} of the transactions topic now. Raises GuardError if there is none."""
    return {number: end for number, (_, end) in _offsets(spark, kafka).items()}


def _ends(offsets: Mapping[int, tuple[int, int]]) -> list[tuple[dict[str, int], dict[str, int]]]:
    """Offset ranges (start, end by partition) of the first and of the last records."""
    if not offsets or all(first == end for first, end in offsets.values()):
        return []
    first = {str(number): (low, min(high, low + SAMPLE)) for number, (low, high) in offsets.items()}
    last = {str(number): (max(low, high - SAMPLE), high) for number, (low, high) in offsets.items()}
    return [
        ({number: start for number, (start, _) in part.items()}, {number: end for number, (_, end) in part.items()})
        for part in (first, last)
    ]


def _offsets(spark: SparkSession, kafka: Kafka) -> dict[int, tuple[int, int]]:
    """First and end offset of each partition of the transactions topic, by Spark's own Kafka client."""
    with admin_client(spark, kafka) as admin:
        return _listed(spark, admin, kafka)


def _listed(spark: SparkSession, admin: Any, kafka: Kafka) -> dict[int, tuple[int, int]]:
    jvm: Any = spark._jvm
    topic = kafka.transactions_topic
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


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def _headers(headers: Any) -> list[tuple[str, bytes]]:
    return [(header.key, bytes(header.value or b"")) for header in headers or ()]
