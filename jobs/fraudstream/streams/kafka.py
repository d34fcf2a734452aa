"""Reading and writing topics with Spark's Kafka source and sink."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from fraudstream.config import Kafka

# What the reader of change events needs of a record.
RECORD_COLUMNS = ("key", "value", "topic", "partition", "offset", "timestamp", "headers")
# A consumer of Spark's keeps no group: these belong to a stream alone and mean nothing to a batch read.
_STREAM_ONLY = ("maxOffsetsPerTrigger", "minOffsetsPerTrigger", "maxTriggerDelay")


def read_stream(spark: SparkSession, kafka: Kafka, topic: str) -> DataFrame:
    """The topic's records from its beginning (or from the query's checkpoint), committed ones only."""
    reader = spark.readStream.format("kafka").options(**kafka.options).options(**kafka.source)
    return (
        reader.option("kafka.bootstrap.servers", kafka.bootstrap_servers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("failOnDataLoss", "true")
        .option("includeHeaders", "true")
        .load()
        .select(*RECORD_COLUMNS)
    )


def read_range(
    spark: SparkSession, kafka: Kafka, topic: str, start: Mapping[str, int], end: Mapping[str, int]
) -> DataFrame:
    """The records of `topic` with start <= offset < end, per partition number (as text)."""
    source = {key: value for key, value in kafka.source.items() if key not in _STREAM_ONLY}
    reader = spark.read.format("kafka").options(**kafka.options).options(**source)
    return (
        reader.option("kafka.bootstrap.servers", kafka.bootstrap_servers)
        .option("subscribe", topic)
        .option("startingOffsets", json.dumps({topic: dict(start)}))
        .option("endingOffsets", json.dumps({topic: dict(end)}))
        .option("includeHeaders", "true")
        .load()
        .select(*RECORD_COLUMNS)
    )


def sink_options(kafka: Kafka, topic: str) -> dict[str, str]:
    """Options of Spark's Kafka sink for `topic`."""
    return {**kafka.options, **kafka.sink, "kafka.bootstrap.servers": kafka.bootstrap_servers, "topic": topic}
