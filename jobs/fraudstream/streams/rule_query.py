"""A rule as a streaming query: change events in, alerts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.state import GroupState, GroupStateTimeout

from fraudstream import alerts
from fraudstream.cdc.columns import OTHER, change_events, connector_events
from fraudstream.config import Pipeline
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import Fold, fold
from fraudstream.rulebook.sql import alert_columns
from fraudstream.streams.buckets import bucket_of
from fraudstream.streams.changes import CORRECTION, in_halves, with_corrections
from fraudstream.streams.frames import frame_columns, read_frame

ENTRIES = ("judge", "history", "unjudged", "unreadable", "ignored")
# What became of a bucket's rows: of those that enter a history, and of messages that only the fold's Python could read.
COUNTS = ("judged", "history", "redelivered", "superseded", "unjudged", "unreadable", "ignored")
_COUNTS_OF_CORRECTIONS = ("corrected", "not_kept", "uncorrected")
_STATE = "histories binary"


def rule_messages(
    records: DataFrame, rule: Rule, pipeline: Pipeline, seeds: Mapping[int, bytes] | None = None
) -> DataFrame:
    """Alerts of `rule` over Kafka `records`, as messages (key, value). Counted on the way: `observe` metrics "input"
    (one count per entry) and, for a rule with state, "fold" (counts_of and alerts). A bucket without state starts from
    its seed (seed.seed_states of what lies in front of the records)."""
    events = rule_events(records, rule, pipeline)
    counted = events.observe("input", *entry_counts())
    if rule.stateless:
        return _stateless_messages(counted, rule)
    return _stateful_messages(counted, rule, pipeline, seeds or {})


def rule_events(records: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """The change events as the rule takes them: with `snapshot: judge`, a rule without state judges rows of a snapshot
    too (for one with state the fold does: it must know them from inserts, which supersede them). One with corrections
    takes its changes as entries of their own; in every form, since a delete of another form would not tell its user."""
    if rule.corrections == "on":
        return with_corrections(change_events(records, pipeline.max_message_bytes))
    if not rule.stateless:
        return connector_events(records, pipeline.max_message_bytes)
    events = change_events(records, pipeline.max_message_bytes)
    if rule.snapshot == "join":
        return events
    return events.withColumn("entry", F.when(F.col("entry") == "history", "judge").otherwise(F.col("entry")))


def entry_counts() -> list[Column]:
    """Aggregates over change events: `read`, and one per entry; messages that the fold reads are in none."""
    counted = (F.count_if(F.col("entry") == entry).alias(entry) for entry in ENTRIES)
    return [F.count(F.lit(1)).alias("read"), *counted]


def _stateless_messages(events: DataFrame, rule: Rule) -> DataFrame:
    columns = alert_columns(rule)
    return events.where((F.col("entry") == "judge") & columns.when).select(
        columns.key.alias("key"), columns.value.alias("value")
    )


def _stateful_messages(events: DataFrame, rule: Rule, pipeline: Pipeline, seeds: Mapping[int, bytes]) -> DataFrame:
    function = bucket_function(rule, pipeline, seeds)
    rows = bucketed_rows(events, rule, pipeline).groupBy("bucket")
    # One message of the output; a row without a key carries the counts of one bucket's part of the batch.
    columns = ", ".join(["key string", "value string", *(f"{count} long" for count in counts_of(rule))])
    folded = rows.applyInPandasWithState(function, columns, _STATE, "update", GroupStateTimeout.NoTimeout)
    totals = [F.sum(count).alias(count) for count in counts_of(rule)]
    return (
        folded.observe("fold", F.count("key").alias("alerts"), *totals).where("key is not null").select("key", "value")
    )


def bucketed_rows(events: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """The columns for `read_frame` of the events that may enter a history, with their bucket."""
    bucket = bucket_of(rule.key, pipeline.state.buckets, pipeline.state.partitions).alias("bucket")
    entering = events.where(F.col("entry").isin("judge", "history", OTHER, CORRECTION))
    if rule.corrections == "off":
        return entering.select(bucket, *frame_columns())
    return in_halves(entering).select(bucket, *frame_columns(), F.col("change"))


def bucket_function(
    rule: Rule, pipeline: Pipeline, seeds: Mapping[int, bytes]
) -> Callable[[tuple[Any, ...], Iterator[pd.DataFrame], GroupState], Iterator[pd.DataFrame]]:
    """The state function of one bucket: folds a micro-batch's rows into the bucket's histories."""
    max_bytes, topic = pipeline.max_message_bytes, pipeline.kafka.transactions_topic

    def fold_bucket(key: tuple[Any, ...], parts: Iterator[pd.DataFrame], state: GroupState) -> Iterator[pd.DataFrame]:
        frames = [part for part in parts if len(part)]
        frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        batch, others = read_frame(frame, max_bytes)
        result = fold(rule, state.get[0] if state.exists else seeds.get(key[0]), batch, topic)
        state.update((result.state,))
        yield _output(result, fold_counts(result, others, counts_of(rule)), counts_of(rule))

    return fold_bucket


def counts_of(rule: Rule) -> tuple[str, ...]:
    """What is counted of a rule with state, beside its entries."""
    return COUNTS if rule.corrections == "off" else (*COUNTS, *_COUNTS_OF_CORRECTIONS)


def fold_counts(result: Fold, others: Mapping[str, int], names: tuple[str, ...]) -> list[int]:
    """The named counts of one bucket."""
    return [others[name] if name in others else getattr(result, name) for name in names]


def _output(result: Fold, counts: list[int], names: tuple[str, ...]) -> pd.DataFrame:
    messages = [alerts.message(payload) for payload in result.alerts]
    nothing = [0] * len(names)
    rows = [(None, None, *counts), *((key, value, *nothing) for key, value in messages)]
    return pd.DataFrame(rows, columns=["key", "value", *names])
