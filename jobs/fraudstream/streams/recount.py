"""Counting a committed batch again whose report was lost when its driver died."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.config import Pipeline
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.versions import Version, fold_versions
from fraudstream.streams import record, state_value
from fraudstream.streams.bases import bases_of
from fraudstream.streams.frames import read_frame
from fraudstream.streams.kafka import read_range
from fraudstream.streams.progress import batch_offsets, by_number, parts_of, start_of
from fraudstream.streams.rule_query import (
    bucketed_rows,
    counts_of,
    entry_counts,
    fold_counts,
    rule_values,
    states_of,
    versioned_events,
)
from fraudstream.streams.seed import stored_seeds


def recount(spark: SparkSession, rule: Rule, pipeline: Pipeline, batch: int) -> dict[str, int]:
    """The parts of the conservation law for committed `batch` of the rule's query: its offset range is read again and,
    for a rule with state, folded again onto the state before it. Nothing is written."""
    checkpoint = pipeline.checkpoint(rule.name)
    topic = pipeline.kafka.transactions_topic
    end = batch_offsets(checkpoint, batch)
    before = batch_offsets(checkpoint, batch - 1) or start_of(checkpoint)
    versions = record.versions(pipeline.lake, rule.name, by_number(before)) or (Version(rule, {}),)
    events = versioned_events(read_range(spark, pipeline.kafka, topic, before, end), versions, pipeline)
    entries = events.agg(*entry_counts()).collect()[0].asDict()
    folded = None if rule.stateless else _fold_counts(spark, events, versions, pipeline, batch)
    return parts_of(entries, folded)


def _fold_counts(
    spark: SparkSession, events: DataFrame, versions: Sequence[Version], pipeline: Pipeline, batch: int
) -> dict[str, int]:
    rule, checkpoint = versions[-1].rule, pipeline.checkpoint(versions[-1].rule.name)
    seeds, names = stored_seeds(checkpoint, versions), counts_of(rule)
    bases = replace(bases_of(spark, checkpoint, rule.name), is_read_only=True)
    sharing = pipeline.judged_by(rule.name)
    place, count = sharing.index(rule.name), len(sharing)
    topic = pipeline.kafka.transactions_topic

    def counts_of_bucket(rows: pd.DataFrame, states: pd.DataFrame) -> pd.DataFrame:
        if not len(rows):
            return pd.DataFrame(columns=list(names))
        value = rule_values(states["histories"].iloc[0] if len(states) else None, count)[place]
        bucket = int(rows["bucket"].iloc[0])
        before = states_of(value, bucket, seeds)
        outcome = fold_versions(versions, before, read_frame(rows), topic, bases.of(bucket).of)
        return pd.DataFrame([fold_counts(outcome.fold, names)], columns=list(names))

    rows = bucketed_rows(events, rule, pipeline).groupBy("bucket")
    states = _states_before(spark, checkpoint, batch).groupBy("bucket")
    counts = rows.cogroup(states).applyInPandas(counts_of_bucket, ", ".join(f"{name} long" for name in names))
    total: dict[str, Any] = counts.agg(*(F.sum(name).alias(name) for name in names)).collect()[0].asDict()
    return {name: int(value or 0) for name, value in total.items()}


def _states_before(spark: SparkSession, checkpoint: str, batch: int) -> DataFrame:
    if batch == 0:
        return spark.createDataFrame([], f"bucket int, {state_value.SCHEMA}")
    store = spark.read.format("statestore").option("batchId", batch - 1).load(checkpoint)
    return store.select("key.bucket", F.col("value.groupState.histories").alias("histories"))
