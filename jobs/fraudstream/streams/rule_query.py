"""A rule as a streaming query: change events in, alerts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.state import GroupState, GroupStateTimeout

from fraudstream import alerts
from fraudstream.cdc.columns import OTHER, change_events, connector_events
from fraudstream.config import Pipeline
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import Fold
from fraudstream.rulebook.sql import alert_columns
from fraudstream.rulebook.versions import Version, fold_versions, unpack_states
from fraudstream.streams import state_value
from fraudstream.streams.buckets import bucket_of
from fraudstream.streams.changes import CORRECTION, in_halves, with_corrections
from fraudstream.streams.frames import frame_columns, read_frame
from fraudstream.streams.worker import spare_the_collector

ENTRIES = ("judge", "history", "unjudged", "unreadable", "ignored")
# What became of a bucket's rows: of those that enter a history, and of messages that only the fold's Python could read.
COUNTS = ("judged", "history", "redelivered", "superseded", "unjudged", "unreadable", "ignored")
_COUNTS_OF_CORRECTIONS = ("corrected", "not_kept", "uncorrected")
_MESSAGE = ("topic", "key", "value")
Seeds = Mapping[int, Mapping[int, bytes]]  # epoch -> bucket -> state
BucketFunction = Callable[[tuple[Any, ...], Iterator[pd.DataFrame], GroupState], Iterator[pd.DataFrame]]
ReadFrame = Callable[[pd.DataFrame], tuple[Batch, Mapping[str, int]]]


def rule_messages(
    records: DataFrame,
    rule: Rule,
    pipeline: Pipeline,
    seeds: Seeds | None = None,
    versions: Sequence[Version] = (),
) -> DataFrame:
    """Alerts of `rule` over Kafka `records`, as messages (topic, key, value). Counted on the way: `observe` metrics
    "input" (one count per entry) and, for a rule with state, "fold" (counts_of and alerts).

    `versions` are the recorded ones that judge the records, the last of them `rule`; without them the rule judges all.
    A bucket without state of an epoch starts from its seed (seed.seed_states of what lies in front of the records).
    """
    judging = tuple(versions) or (Version(rule, {}),)
    counted = versioned_events(records, judging, pipeline).observe("input", *entry_counts())
    if rule.stateless:
        return _stateless_messages(counted, judging, pipeline)
    return _stateful_messages(counted, judging, pipeline, seeds or {})


def topic_of(rule: Rule, pipeline: Pipeline) -> str:
    """The topic of the rule's alerts: a shadow rule's stand apart from the others."""
    return pipeline.kafka.shadow_topic if rule.status == "shadow" else pipeline.kafka.alerts_topic


def versioned_events(records: DataFrame, versions: Sequence[Version], pipeline: Pipeline) -> DataFrame:
    """`rule_events` as the versions take them: what a rule without state does with a record depends on its version, and
    before the first one began it judges nothing."""
    rule = versions[-1].rule
    if not rule.stateless or (len(versions) == 1 and not versions[0].since):
        return rule_events(records, rule, pipeline)
    events = change_events(records, pipeline.max_message_bytes, pipeline.mask)
    is_early = (F.col("entry") == "judge") & ~_begun(versions[0])
    events = events.withColumn("entry", F.when(is_early, "history").otherwise(F.col("entry")))
    judging = [_in_force(versions, place) for place, each in enumerate(versions) if each.rule.snapshot == "judge"]
    if not judging:
        return events
    is_judged = (F.col("entry") == "history") & reduce(lambda left, right: left | right, judging)
    return events.withColumn("entry", F.when(is_judged, "judge").otherwise(F.col("entry")))


def rule_events(records: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """The change events as the rule takes them: with `snapshot: judge`, a rule without state judges rows of a snapshot
    too (for one with state the fold does: it must know them from inserts, which supersede them). One with corrections
    takes its changes as entries of their own; in every form, since a delete of another form would not tell its user."""
    if rule.corrections == "on":
        return with_corrections(change_events(records, pipeline.max_message_bytes, pipeline.mask))
    if not rule.stateless:
        return connector_events(records, pipeline.max_message_bytes, pipeline.mask)
    events = change_events(records, pipeline.max_message_bytes, pipeline.mask)
    if rule.snapshot == "join":
        return events
    return events.withColumn("entry", F.when(F.col("entry") == "history", "judge").otherwise(F.col("entry")))


def _begun(version: Version) -> Column:
    """Whether the version had begun at the record; a partition that it does not name begins with it."""
    begin = F.lit(0)
    for partition, offset in version.since.items():
        begin = F.when(F.col("partition") == partition, F.lit(offset)).otherwise(begin)
    return F.col("offset") >= begin


def _in_force(versions: Sequence[Version], place: int) -> Column:
    """Whether the version judges the record."""
    begun = _begun(versions[place])
    return begun if place + 1 == len(versions) else begun & ~_begun(versions[place + 1])


def entry_counts() -> list[Column]:
    """Aggregates over change events: `read`, and one per entry; messages that the fold reads are in none."""
    counted = (F.count_if(F.col("entry") == entry).alias(entry) for entry in ENTRIES)
    return [F.count(F.lit(1)).alias("read"), *counted]


def _stateless_messages(events: DataFrame, versions: Sequence[Version], pipeline: Pipeline) -> DataFrame:
    if len(versions) == 1:
        columns = alert_columns(versions[0].rule)
        topic = F.lit(topic_of(versions[0].rule, pipeline))
        found = events.where((F.col("entry") == "judge") & columns.when)
        return found.select(topic.alias("topic"), columns.key.alias("key"), columns.value.alias("value"))
    message = F.lit(None).cast("struct<topic: string, key: string, value: string>")
    for place, version in enumerate(versions):
        columns = alert_columns(version.rule)
        topic = F.lit(topic_of(version.rule, pipeline))
        own = F.struct(topic.alias("topic"), columns.key.alias("key"), columns.value.alias("value"))
        message = F.when(_in_force(versions, place) & columns.when, own).otherwise(message)
    judged = events.where("entry = 'judge'").select(message.alias("message"))
    return judged.where("message is not null").select("message.*")


def _stateful_messages(events: DataFrame, versions: Sequence[Version], pipeline: Pipeline, seeds: Seeds) -> DataFrame:
    rule = versions[-1].rule
    rows = bucketed_rows(events, rule, pipeline)
    return folded_messages(rows, bucket_function(versions, pipeline, seeds), rule)


def folded_messages(rows: DataFrame, function: BucketFunction, rule: Rule) -> DataFrame:
    """The messages that the function of `bucket_function` makes of the buckets' rows, and the metrics "fold"."""
    # One message of the output; a row without a key carries the counts of one bucket's part of the batch.
    columns = ", ".join([*(f"{name} string" for name in _MESSAGE), *(f"{count} long" for count in counts_of(rule))])
    folded = rows.groupBy("bucket").applyInPandasWithState(
        function, columns, state_value.SCHEMA, "update", GroupStateTimeout.NoTimeout
    )
    totals = [F.sum(count).alias(count) for count in counts_of(rule)]
    return folded.observe("fold", F.count("key").alias("alerts"), *totals).where("key is not null").select(*_MESSAGE)


def bucketed_rows(events: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """The columns for `read_frame` of the events that may enter a history, with their bucket."""
    bucket = bucket_of(rule.key, pipeline.state.buckets, pipeline.state.partitions).alias("bucket")
    entering = events.where(F.col("entry").isin("judge", "history", OTHER, CORRECTION))
    if rule.corrections == "off":
        return entering.select(bucket, *frame_columns())
    return in_halves(entering).select(bucket, *frame_columns(), F.col("change"))


def bucket_function(
    versions: Sequence[Version], pipeline: Pipeline, seeds: Seeds, read: ReadFrame | None = None
) -> BucketFunction:
    """The state function of one bucket: folds a micro-batch's rows into the bucket's histories. `read` makes the fold's
    columns of the rows (default: read_frame, of the columns of bucketed_rows)."""
    max_bytes, mask, topic = pipeline.max_message_bytes, pipeline.mask, pipeline.kafka.transactions_topic
    topics = [topic_of(version.rule, pipeline) for version in versions]
    counts = counts_of(versions[-1].rule)

    def fold_bucket(key: tuple[Any, ...], parts: Iterator[pd.DataFrame], state: GroupState) -> Iterator[pd.DataFrame]:
        spare_the_collector()
        frames = [part for part in parts if len(part)]
        frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        batch, others = read(frame) if read else read_frame(frame, max_bytes, mask)
        states = states_of(state.get[0] if state.exists else None, key[0], seeds)
        outcome = fold_versions(versions, states, batch, topic)
        state.update((state_value.as_text(outcome.fold.state),))
        found_in = [topics[place] for place in outcome.found_by]
        yield _output(outcome.fold, found_in, fold_counts(outcome.fold, others, counts), counts)

    return fold_bucket


def states_of(value: str | None, bucket: int, seeds: Seeds) -> dict[int, bytes]:
    """The bucket's states by epoch: those of its state value (state_value.SCHEMA), else the seeds."""
    states = unpack_states(state_value.of_text(value)) if value else {}
    for epoch, seeded in seeds.items():
        if epoch not in states and bucket in seeded:
            states[epoch] = seeded[bucket]
    return states


def counts_of(rule: Rule) -> tuple[str, ...]:
    """What is counted of a rule with state, beside its entries."""
    return COUNTS if rule.corrections == "off" else (*COUNTS, *_COUNTS_OF_CORRECTIONS)


def fold_counts(result: Fold, others: Mapping[str, int], names: tuple[str, ...]) -> list[int]:
    """The named counts of one bucket."""
    return [others[name] if name in others else getattr(result, name) for name in names]


def _output(result: Fold, topics: list[str], counts: list[int], names: tuple[str, ...]) -> pd.DataFrame:
    messages = [alerts.message(payload) for payload in result.alerts]
    nothing = [0] * len(names)
    found = ((topic, *message, *nothing) for topic, message in zip(topics, messages, strict=True))
    return pd.DataFrame([(None, None, None, *counts), *found], columns=[*_MESSAGE, *names])
