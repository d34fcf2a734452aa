"""How far a query is behind its topic: in offsets, and in the age of the first record that it has not processed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from fraudstream.check.topic import consumer_settings
from fraudstream.clients import AT_THE_END
from fraudstream.config import Pipeline
from fraudstream.stack.kafka import quiet_logger

UNKNOWN: dict[str, Any] = {"lag_records": None, "lag_s": None}
_SECONDS = 5.0


def lags(
    pipeline: Pipeline, topics: Mapping[str, Mapping[str, Any]], queries: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """lag_records and lag_s of each query that has a position. Offsets count transaction markers too, so a query that
    is behind by nothing but those has lag_s 0; one whose first record does not come within the bound has lag_s None."""
    behind = {
        name: {place: each["position"].get(place, start) for place, start in topics[each["topic"]]["starts"].items()}
        for name, each in queries.items()
        if each["topic"] in topics and each["position"]
    }
    offsets = {name: _offsets(topics[queries[name]["topic"]]["ends"], places) for name, places in behind.items()}
    waiting = {
        (queries[name]["topic"], partition, places[partition])
        for name, places in behind.items()
        for partition, count in offsets[name].items()
        if count
    }
    ages = _ages(pipeline, waiting)
    return {
        name: {
            "lag_records": sum(offsets[name].values()),
            "lag_s": _oldest(
                [ages.get((queries[name]["topic"], number, places[number])) for number, n in offsets[name].items() if n]
            ),
        }
        for name, places in behind.items()
    }


def _offsets(ends: Mapping[int, int], position: Mapping[int, int]) -> dict[int, int]:
    return {partition: max(0, ends[partition] - offset) for partition, offset in position.items()}


def _oldest(ages: list[float | None]) -> float | None:
    return None if None in ages else max((age for age in ages if age is not None), default=0.0)


def _ages(pipeline: Pipeline, places: set[tuple[str, int, int]]) -> dict[tuple[str, int, int], float]:
    """Seconds since the first record at or after each (topic, partition, offset); 0 where there is none."""
    if not places:
        return {}
    settings = {**consumer_settings(pipeline.kafka.bootstrap_servers, pipeline.kafka.client_options), **AT_THE_END}
    consumer = Consumer({**settings, "fetch.message.max.bytes": 65536, "log_level": 0}, logger=quiet_logger())
    found, limit = {}, time.monotonic() + _SECONDS
    try:
        for topic, partition, offset in sorted(places):
            consumer.assign([TopicPartition(topic, partition, offset)])
            message = consumer.poll(max(0.1, limit - time.monotonic()))
            error = message.error() if message else None
            if message and error is None:
                found[topic, partition, offset] = max(0.0, time.time() - message.timestamp()[1] / 1000)
            elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                found[topic, partition, offset] = 0.0
    finally:
        consumer.close()
    return found
