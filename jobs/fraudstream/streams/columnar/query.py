"""Which rules read by the columnar source, and how their queries ask it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from fraudstream.config import Pipeline
from fraudstream.errors import ConfigError
from fraudstream.rulebook.catalog import Rule
from fraudstream.streams.columnar.packing import takes_packed_rows
from fraudstream.streams.columnar.source import NAME, ColumnarSource
from fraudstream.wire.client import client_of

# What the source would have to ignore, and a query relies on.
_UNKNOWN = ("minoffsetspertrigger", "maxtriggerdelay", "startingtimestamp", "startingoffsetsbytimestamp")
_ISOLATION = ("read_committed", "read_uncommitted")


def is_columnar(rule: Rule, pipeline: Pipeline) -> bool:
    """Whether the rule's query reads by the columnar source: if it is configured, for rules that take packed rows."""
    return pipeline.kafka.reader == "columnar" and takes_packed_rows(rule)


def made_with_reader(rule: Rule, pipeline: Pipeline) -> dict[str, str]:
    """What a checkpoint says of its source; nothing of Spark's own, as before there was another."""
    return {"reader": "columnar"} if is_columnar(rule, pipeline) else {}


def read_packed(spark: SparkSession, pipeline: Pipeline, rule: Rule, start: Mapping[str, int]) -> DataFrame:
    """The topic's packed rows from its beginning or `start` (or from the query's checkpoint). Raises ConfigError for
    options that the source does not know."""
    kafka, mask = pipeline.kafka, pipeline.mask
    for name, value in kafka.source.items():
        if name.lower() in _UNKNOWN:
            raise ConfigError(f"kafka.source: {name} is not known to reader: columnar; take it out.")
        if name == "kafka.isolation.level" and value not in _ISOLATION:
            raise ConfigError(f"kafka.source: {name} is {value!r}; it must be {' or '.join(_ISOLATION)}.")
    options = {
        **kafka.client_options, **kafka.source, "kafka.bootstrap.servers": kafka.bootstrap_servers,
        "subscribe": kafka.transactions_topic, "largestBatch": str(kafka.largest_batch),
        "key": rule.key, "maxBytes": str(pipeline.max_message_bytes),
        "buckets": str(pipeline.state.buckets), "partitions": str(pipeline.state.partitions),
        "maskingKeyFile": mask.key_file if mask else "", "maskingKey": mask.fingerprint if mask else "",
    }  # fmt: skip
    # A query begins where its checkpoint says, whatever kafka.source names.
    options["startingOffsets"] = json.dumps({kafka.transactions_topic: dict(start)}) if start else "earliest"
    client_of(options)  # raises what it does not know before the query starts
    # Spark refuses a name that it finds in the active session, which may be another one that has registered it.
    spark._jvm.SparkSession.setActiveSession(spark._jsparkSession)  # type: ignore[union-attr]
    spark.dataSource.register(ColumnarSource)
    return spark.readStream.format(NAME).options(**options).load()
