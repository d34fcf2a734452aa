"""A rule as a streaming query: change events in, alerts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.state import GroupState, GroupStateTimeout

from fraudstream import alerts
from fraudstream.cdc.columns import change_events
from fraudstream.config import Pipeline
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import Fold, fold
from fraudstream.rulebook.payload import NULL
from fraudstream.rulebook.sql import alert_columns
from fraudstream.streams.buckets import bucket_of

ENTRIES = ("judge", "history", "unjudged", "unreadable", "ignored")
COUNTS = ("judged", "history", "redelivered", "superseded")
# One message of the output; a row without a key carries the counts of one bucket's part of the batch.
_FOLDED = "key string, value string, " + ", ".join(f"{count} long" for count in COUNTS)
_STATE = "histories binary"
# Arrow gives nullable integers to pandas as floats; payload.NULL stands for null instead.
_NULLABLE = ("merchant_id", "lsn", "tx_id", "committed_ms", "captured_ms")
_INPUT = ("partition", "offset", "entry", "id", "user_id", "cents", "created_at", "card_type", *_NULLABLE)


def rule_messages(records: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """Alerts of `rule` over Kafka `records`, as messages (key, value). Counted on the way: `observe` metrics "input"
    (one count per entry) and, for a rule with state, "fold" (COUNTS and alerts)."""
    events = rule_events(records, rule, pipeline)
    counted = events.observe("input", F.count(F.lit(1)).alias("read"), *(_count_of(entry) for entry in ENTRIES))
    return _stateless_messages(counted, rule) if rule.stateless else _stateful_messages(counted, rule, pipeline)


def rule_events(records: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """The change events as the rule takes them: with `snapshot: judge`, a rule without state judges rows of a snapshot
    too (for one with state the fold does: it must know them from inserts, which supersede them)."""
    events = change_events(records, pipeline.max_message_bytes)
    if rule.snapshot == "join" or not rule.stateless:
        return events
    return events.withColumn("entry", F.when(F.col("entry") == "history", "judge").otherwise(F.col("entry")))


def _count_of(entry: str) -> Column:
    return F.count_if(F.col("entry") == entry).alias(entry)


def _stateless_messages(events: DataFrame, rule: Rule) -> DataFrame:
    columns = alert_columns(rule)
    return events.where((F.col("entry") == "judge") & columns.when).select(
        columns.key.alias("key"), columns.value.alias("value")
    )


def _stateful_messages(events: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    folded = folded_batch(events, rule, pipeline)
    totals = [F.sum(count).alias(count) for count in COUNTS]
    return (
        folded.observe("fold", F.count("key").alias("alerts"), *totals).where("key is not null").select("key", "value")
    )


def folded_batch(events: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """Messages and counts (_FOLDED) of the rule over the events' buckets, each with its kept rows as state."""
    function = bucket_function(rule, pipeline.kafka.transactions_topic)
    rows = bucketed_rows(events, rule, pipeline).groupBy("bucket")
    return rows.applyInPandasWithState(function, _FOLDED, _STATE, "update", GroupStateTimeout.NoTimeout)


def bucketed_rows(events: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """What `batch_columns` takes of the events that may enter a history, with their bucket."""
    nullable = [F.coalesce(name, F.lit(NULL)).alias(name) for name in _NULLABLE]
    return events.where(F.col("entry").isin("judge", "history")).select(
        bucket_of(rule.key, pipeline.state.buckets, pipeline.state.partitions).alias("bucket"),
        *(name for name in _INPUT if name not in _NULLABLE),
        *nullable,
    )


def bucket_function(
    rule: Rule, topic: str
) -> Callable[[tuple[Any, ...], Iterator[pd.DataFrame], GroupState], Iterator[pd.DataFrame]]:
    """The state function of one bucket: folds a micro-batch's rows into the bucket's histories."""

    def fold_bucket(key: tuple[Any, ...], parts: Iterator[pd.DataFrame], state: GroupState) -> Iterator[pd.DataFrame]:
        frames = list(parts)
        frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        result = fold(rule, state.get[0] if state.exists else None, batch_columns(frame), topic)
        state.update((result.state,))
        yield _output(result)

    return fold_bucket


def batch_columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns that `fold` takes, from rows of change events."""
    columns = {name: frame[name].to_numpy() for name in _INPUT if name != "entry"}
    columns["judge"] = (frame["entry"] == "judge").to_numpy()
    return columns


def _output(result: Fold) -> pd.DataFrame:
    messages = [alerts.message(payload) for payload in result.alerts]
    counts = [getattr(result, name) for name in COUNTS]
    rows = [(None, None, *counts), *((key, value, 0, 0, 0, 0) for key, value in messages)]
    return pd.DataFrame(rows, columns=["key", "value", *COUNTS])
