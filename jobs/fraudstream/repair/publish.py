"""Messages that a repair puts into a topic: alerts that are missing there, and quarantined records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from confluent_kafka import Producer

from fraudstream.audit import known
from fraudstream.audit.bounds import Topic
from fraudstream.audit.finding import Position
from fraudstream.audit.records import REPLAYED
from fraudstream.cdc.envelope import UnreadableMessage, read_change_event
from fraudstream.check.topic import Record, read_topic
from fraudstream.clients import librdkafka
from fraudstream.config import Pipeline
from fraudstream.errors import StackError

_SECONDS = 60


class Outgoing(NamedTuple):
    """A message for a topic; its key decides on the partition, as for Spark's sink, unless one is given."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int = -1
    headers: tuple[tuple[str, bytes], ...] = ()


def publish(pipeline: Pipeline, messages: Iterable[Outgoing]) -> None:
    """Send the messages; all of them are confirmed when it returns. Raises StackError otherwise."""
    kafka = pipeline.kafka
    producer = Producer({
        **librdkafka(kafka.client_options), "bootstrap.servers": kafka.bootstrap_servers, "enable.idempotence": True,
        "partitioner": "murmur2_random",  # Java's: copies of an alert lie in the partition of the first
    })  # fmt: skip
    refused: list[str] = []

    def delivered(error: object, _: object) -> None:
        if error is not None:
            refused.append(str(error))

    for each in messages:
        headers: list[tuple[str, str | bytes | None]] | None = [*each.headers] or None
        producer.produce(each.topic, each.value, each.key, each.partition, on_delivery=delivered, headers=headers)
        producer.poll(0)
    left = producer.flush(_SECONDS)
    if left or refused:
        said = refused[0] if refused else "no answer"
        raise StackError(f"Kafka did not take {left + len(refused)} messages ({said}); try again.")


def readable_again(pipeline: Pipeline, quarantined: Mapping[Position, bytes | None]) -> list[Outgoing]:
    """The quarantined records (position -> value) that can be read now and have not been put back, as messages with
    the same bytes, in their order, whose header says where they come from."""
    kafka, topic = pipeline.kafka, pipeline.kafka.transactions_topic
    if not quarantined:
        return []
    start: dict[int, int] = {}
    for partition, offset in quarantined:
        start[partition] = min(offset, start.get(partition, offset))
    found: dict[Position, Record] = {}
    done: set[str] = set()
    for record in read_topic(kafka.bootstrap_servers, topic, kafka.client_options, start):
        done |= {value.decode() for name, value in record.headers if name == REPLAYED}
        if (record.partition, record.offset) in quarantined:
            found[record.partition, record.offset] = record
    messages = []
    for at, record in sorted(found.items()):
        origin = f"{topic}-{at[0]}-{at[1]}"
        if origin not in done and _is_readable(record.value, pipeline.max_message_bytes):
            headers = (*record.headers, (REPLAYED, origin.encode()))
            messages.append(Outgoing(topic, record.key, record.value, record.partition, headers))
    return messages


def beyond_topic(pipeline: Pipeline, quarantined: Mapping[Position, bytes | None], topic: Topic) -> int:
    """How many of the quarantined records can be read now and have not been put back, but lie before the topic's first
    offsets. The table has not their headers, and half of a key change would come back as a row of its own."""
    repairs = known.repairs(pipeline.lake)
    done = {at for each in repairs if each["kind"] == "quarantine" for at in each["positions"]}
    gone = [at for at in quarantined if at[1] < topic.low.get(at[0], 0) and at not in done]
    return sum(_is_readable(quarantined[at], pipeline.max_message_bytes) for at in gone)


def _is_readable(value: bytes | None, max_bytes: int) -> bool:
    """What headers say makes no message readable or unreadable."""
    try:
        read_change_event(value, max_bytes=max_bytes)
    except UnreadableMessage:
        return False
    return True
