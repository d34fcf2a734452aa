"""Reading and writing topics with Spark's Kafka source and sink."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from fraudstream.cdc.columns import RECORD_COLUMNS
from fraudstream.config import Kafka
from fraudstream.errors import FraudstreamError

BEGINNING = -2  # the offset of a partition's first record, which need not be 0
_POLL_SECONDS = 0.5
# Options for micro-batches: their size is refused by a real-time query, and what keeps them short makes it poll idly.
_OF_BATCHES = ("maxOffsetsPerTrigger", "minOffsetsPerTrigger", "maxTriggerDelay", "kafka.fetch.max.wait.ms")


def read_stream(
    spark: SparkSession, kafka: Kafka, topic: str, *, start: Mapping[str, int] | None = None, real_time: bool = False
) -> DataFrame:
    """The topic's records from its beginning or `start` (or from the query's checkpoint), committed ones only."""
    source = _unbatched(kafka.source) if real_time else kafka.source
    reader = spark.readStream.format("kafka").options(**kafka.options).options(**source)
    return (
        reader.option("kafka.bootstrap.servers", kafka.bootstrap_servers)
        .option("subscribe", topic)
        .option("startingOffsets", json.dumps({topic: dict(start)}) if start else "earliest")
        .option("failOnDataLoss", "true")
        .option("includeHeaders", "true")
        .load()
        .select(*RECORD_COLUMNS)
    )


def read_range(
    spark: SparkSession, kafka: Kafka, topic: str, start: Mapping[str, int], end: Mapping[str, int]
) -> DataFrame:
    """The records of `topic` with start <= offset < end, per partition number (as text): of those in `end`, from the
    partition's beginning where `start` does not say."""
    begin = {partition: start.get(partition, BEGINNING) for partition in end}
    reader = spark.read.format("kafka").options(**kafka.options).options(**_unbatched(kafka.source))
    return (
        reader.option("kafka.bootstrap.servers", kafka.bootstrap_servers)
        .option("assign", json.dumps({topic: [int(partition) for partition in end]}))
        .option("startingOffsets", json.dumps({topic: begin}))
        .option("endingOffsets", json.dumps({topic: dict(end)}))
        .option("includeHeaders", "true")
        .load()
        .select(*RECORD_COLUMNS)
    )


def wait_for_topic(spark: SparkSession, kafka: Kafka, topic: str) -> None:
    """Return once `topic` exists; an empty database's topic is made with its first change. Says so while it waits.

    Raises FraudstreamError when no broker answers.
    """
    waiting = False
    while not has_topic(spark, kafka, topic):
        if not waiting:
            print(f"waiting for topic {topic}: nothing has been written to it yet", file=sys.stderr, flush=True)
        waiting = True
        time.sleep(_POLL_SECONDS)


def has_topic(spark: SparkSession, kafka: Kafka, topic: str) -> bool:
    """Whether `topic` exists. Raises FraudstreamError when no broker answers."""
    properties = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "default.api.timeout.ms": "10000",
        "request.timeout.ms": "10000",
    }
    properties |= {key.removeprefix("kafka."): value for key, value in kafka.options.items()}
    admin: Any = spark._jvm.org.apache.kafka.clients.admin.AdminClient.create(properties)  # type: ignore[union-attr]
    try:
        return bool(admin.listTopics().names().get().contains(topic))
    except Py4JJavaError as error:
        raise FraudstreamError(
            f"Kafka at {kafka.bootstrap_servers} does not answer ({error.java_exception.getMessage()}); start it "
            "(make up), or correct kafka.bootstrap_servers in conf/pipeline.yaml."
        ) from error
    finally:
        admin.close()


def _unbatched(source: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in source.items() if key not in _OF_BATCHES}


def sink_options(kafka: Kafka) -> dict[str, str]:
    """Options of Spark's Kafka sink for rows (topic, key, value)."""
    return {**kafka.options, **kafka.sink, "kafka.bootstrap.servers": kafka.bootstrap_servers}
