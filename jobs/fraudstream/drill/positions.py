"""How far queries have come in the topics that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from fraudstream.check.topic import consumer_settings
from fraudstream.clients import AT_THE_END
from fraudstream.config import Pipeline
from fraudstream.stack import kafka
from fraudstream.stack.settings import StackSettings
from fraudstream.streams import progress

_MARKERS = 50


def ends(settings: StackSettings, topic: str) -> dict[str, int]:
    """{partition: offset behind its last record, committed or not} of a topic."""
    client = kafka.admin(settings)  # the answer does not come to a client that is gone
    numbers = client.list_topics(topic, timeout=10).topics[topic].partitions
    parts = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}
    found = client.list_offsets(parts, request_timeout=10)
    return {str(part.partition): future.result().offset for part, future in found.items()}


def standing(settings: StackSettings, pipeline: Pipeline, queries: Sequence[str]) -> str:
    """Where each query and the topic of the transactions stand, in words. What lies behind the last stable offset is
    of a transaction that is open."""
    topic = pipeline.kafka.transactions_topic
    options = consumer_settings(settings.bootstrap, pipeline.kafka.client_options)
    consumer = Consumer({**options, "log_level": 0}, logger=kafka.quiet_logger())
    try:
        written = ends(settings, topic)
        parts = [TopicPartition(topic, int(part)) for part in written]
        stable = {str(part.partition): consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts}
        told = f"{topic} ends at {written}, stable up to {stable}"
    except KafkaException as error:
        told = f"the broker does not tell the ends of {topic} ({error})"
    finally:
        consumer.close()
    return ", ".join([told, *(f"{query} at {progress.position(pipeline.checkpoint(query))}" for query in queries)])


def is_behind(settings: StackSettings, pipeline: Pipeline, query: str, topic: str, wanted: Mapping[str, int]) -> bool:
    """Whether the query has not committed all records below the `wanted` offsets of its topic."""
    position = progress.position(pipeline.checkpoint(query))
    left = {part: (position.get(part, 0), end) for part, end in wanted.items() if position.get(part, 0) < end}
    # A real-time query stops behind the last record, before the marker that ends its transaction.
    return any(
        end - begin > _MARKERS or _has_record(settings, pipeline, topic, part, begin)
        for part, (begin, end) in left.items()
    )


def _has_record(settings: StackSettings, pipeline: Pipeline, topic: str, partition: str, begin: int) -> bool:
    """Whether a committed record stands in the partition at `begin` or behind it."""
    options = consumer_settings(settings.bootstrap, pipeline.kafka.client_options)
    consumer = Consumer({**options, **AT_THE_END, "log_level": 0}, logger=kafka.quiet_logger())
    try:
        consumer.assign([TopicPartition(topic, int(partition), begin)])
        message = consumer.poll(10)
        return message is None or message.error() is None
    finally:
        consumer.close()
