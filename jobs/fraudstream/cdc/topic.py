"""Guards at the start of a rule: may the messages of this topic be judged at all?

A rule with state relies on one partition holding all changes of a user in order (docs/semantics.md, "Order"). A topic
that cannot give that is refused by a sample of its first and last records, with the setting to change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from fraudstream.cdc import shape
from fraudstream.cdc.envelope import UnreadableMessage, read_change_event
from fraudstream.config import Kafka
from fraudstream.errors import GuardError
from fraudstream.streams.kafka import read_range

# Records looked at on either end of each partition: more than one batch of the exercise's transactions would tell.
SAMPLE = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """One record of the topic."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


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


def check_samples(topic: str, partitions: int, samples: Iterable[Sample], key: str | None) -> None:
    """Raise GuardError if `samples` show that the topic of so many `partitions` cannot serve rules keyed by `key`."""
    # Truncates have no key, heartbeats that are routed to the topic one of their own: neither tells of the rows'.
    rows = [sample for sample in samples if _operation(topic, sample) not in ("t", "heartbeat")]
    keys = {key_columns(sample.key) for sample in rows if sample.key is not None}
    if len(keys) > 1:
        raise GuardError(
            f"{topic}: its messages are keyed in {len(keys)} ways ({'; '.join(sorted(map(_named, keys)))}), so two "
            "connectors, or one before and after a change of its key, write it. Delete one connector, or let one write "
            "a topic of its own (topic.prefix)."
        )
    if key is None or partitions == 1 or not rows or keys == {(key,)}:
        return
    found = _named(keys.pop()) if keys else "nothing"
    raise GuardError(
        f"{topic}: it has {partitions} partitions and its messages are keyed by {found}, so a user's changes lie in "
        f"several partitions, without an order. Set the connector's message.key.columns to <schema>.<table>:{key}, or "
        "use a topic of one partition."
    )


def key_columns(key: bytes) -> tuple[str, ...]:
    """The columns that a message key is made of; empty if it is no JSON object (of a JsonConverter)."""
    try:
        found: Any = json.loads(key)
    except (ValueError, RecursionError):
        return ()
    if isinstance(found, dict) and found.keys() == {"schema", "payload"}:
        found = found["payload"]
    return tuple(sorted(found)) if isinstance(found, dict) else ()


def _named(columns: tuple[str, ...]) -> str:
    return ", ".join(columns) or "no column by name (key.converter must be the JsonConverter)"


def _operation(topic: str, sample: Sample) -> str | None:
    """What the message does, None if that cannot be read. Raises GuardError for a row without what rules need."""
    try:
        return read_change_event(sample.value, sample.headers).op
    except UnreadableMessage as unreadable:
        if unreadable.reason == shape.NOT_COMPLETE:
            raise GuardError(
                f"{topic}: its messages are flattened (ExtractNewRecordState) without what rules need. Set the "
                f"transform's add.fields={shape.ADD_FIELDS} and delete.tombstone.handling.mode=rewrite, or leave the "
                "transform out."
            ) from None
        return None


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
    jvm: Any = spark.sparkContext._jvm
    assert jvm is not None
    settings = jvm.java.util.HashMap()
    for name, value in kafka.options.items():
        if name.startswith("kafka."):
            settings.put(name.removeprefix("kafka."), value)
    settings.put("bootstrap.servers", kafka.bootstrap_servers)
    settings.put("default.api.timeout.ms", "20000")
    settings.put("request.timeout.ms", "10000")
    admin = jvm.org.apache.kafka.clients.admin.AdminClient.create(settings)
    try:
        return _listed(jvm, admin, kafka.transactions_topic)
    except Py4JJavaError as error:
        raise GuardError(_unanswered(kafka, str(error.java_exception))) from None
    finally:
        admin.close()


def _listed(jvm: Any, admin: Any, topic: str) -> dict[int, tuple[int, int]]:
    names = jvm.java.util.ArrayList()
    names.add(topic)
    numbers = [part.partition() for part in admin.describeTopics(names).allTopicNames().get().get(topic).partitions()]
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


def _unanswered(kafka: Kafka, error: str) -> str:
    if "UnknownTopicOrPartition" in error:
        return (
            f"{kafka.transactions_topic}: there is no such topic at {kafka.bootstrap_servers}. Start the connector "
            "that writes it, or correct kafka.transactions_topic in conf/pipeline.yaml."
        )
    return f"Kafka at {kafka.bootstrap_servers} does not answer: {error.splitlines()[0]}; see `make status`."


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def _headers(headers: Any) -> list[tuple[str, bytes]]:
    return [(header.key, bytes(header.value or b"")) for header in headers or ()]
