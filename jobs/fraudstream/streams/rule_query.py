"""Rules as a streaming query: change events in, alerts out. A rule has a query of its own, or shares one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.state import GroupState, GroupStateTimeout

from fraudstream import alerts
from fraudstream.cdc.columns import change_events
from fraudstream.cdc.matching import ENTRIES
from fraudstream.config import Pipeline
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import Fold
from fraudstream.rulebook.sql import alert_columns
from fraudstream.rulebook.versions import Version, fold_versions, unpack_states
from fraudstream.streams import state_value
from fraudstream.streams.bases import FolderBases
from fraudstream.streams.buckets import bucket_of
from fraudstream.streams.changes import CORRECTION, in_halves, with_corrections
from fraudstream.streams.columnar.pack import unpack
from fraudstream.streams.columnar.packing import Packing, takes_packed_rows
from fraudstream.streams.columnar.records import packed_records
from fraudstream.streams.frames import frame_columns, read_frame
from fraudstream.streams.progress import metric_of
from fraudstream.streams.worker import prepare_worker

COUNTS = ("judged", "history", "redelivered", "superseded")
"""What became of the rows that enter a history."""
_COUNTS_OF_CORRECTIONS = ("corrected", "not_kept", "uncorrected")
_MESSAGE = ("topic", "key", "value")
Seeds = Mapping[int, Mapping[int, bytes]]  # epoch -> bucket -> state
BucketFunction = Callable[[tuple[Any, ...], Iterator[pd.DataFrame], GroupState], Iterator[pd.DataFrame]]
ReadFrame = Callable[[pd.DataFrame], Batch]


@dataclass(frozen=True)
class Judge:
    """A rule as a query judges by it."""

    rule: Rule
    versions: tuple[Version, ...] = ()
    """The recorded ones that judge the query's records, the last of them `rule`; none: the rule judges all."""
    seeds: Seeds = field(default_factory=dict)
    """What a bucket without state of an epoch starts from: seed.seed_states of what lies in front of the records."""
    bases: FolderBases | None = None
    """Where states may keep their rows; none: they have them themselves."""

    @property
    def judging(self) -> tuple[Version, ...]:
        """The versions, at least one."""
        return self.versions or (Version(self.rule, {}),)


def rule_messages(records: DataFrame, judges: Sequence[Judge], pipeline: Pipeline) -> DataFrame:
    """Alerts of the rules over Kafka `records`, as messages (topic, key, value). Several have state, the same key and
    no corrections. Counted on the way: `observe` metrics "input" (one count per entry) and, for rules with state,
    "fold" (metric_of each of counts_of and alerts)."""
    rule, versions = judges[0].rule, judges[0].judging
    if takes_packed_rows(rule):
        return packed_messages(packed_records(records, _packing_of(rule, pipeline)), judges, pipeline)
    counted = versioned_events(records, versions, pipeline).observe("input", *entry_counts())
    if rule.stateless:
        return _stateless_messages(counted, versions, pipeline)
    rows = bucketed_rows(counted, rule, pipeline)
    return _folded_messages(rows, judges, pipeline, read_frame)


def packed_messages(packed: DataFrame, judges: Sequence[Judge], pipeline: Pipeline) -> DataFrame:
    """As `rule_messages`, over packed rows (columnar.packing.SCHEMA)."""
    sums = [F.sum(name).alias(name) for name in ("read", *ENTRIES)]
    rows = packed.observe("input", *sums).where("bucket is not null").select("bucket", "packed")
    return _folded_messages(rows, judges, pipeline, _read_packed)


def _read_packed(frame: pd.DataFrame) -> Batch:
    return unpack([bytes(value) for value in frame["packed"]])


def _packing_of(rule: Rule, pipeline: Pipeline) -> Packing:
    """How records are packed for the rule."""
    state = pipeline.state
    return Packing(rule.key, state.buckets, state.partitions, pipeline.max_message_bytes, pipeline.mask)


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
    takes its changes as entries of their own."""
    if rule.corrections == "on":
        return with_corrections(change_events(records, pipeline.max_message_bytes, pipeline.mask))
    events = change_events(records, pipeline.max_message_bytes, pipeline.mask)
    if not rule.stateless or rule.snapshot == "join":
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
    """Aggregates over change events: `read`, and one per entry."""
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


def _folded_messages(rows: DataFrame, judges: Sequence[Judge], pipeline: Pipeline, read: ReadFrame) -> DataFrame:
    """The messages that `_bucket_function` makes of the buckets' rows, and the metrics "fold"."""
    counts = counts_of(judges[0].rule)
    # One message of the output; a row without a key carries a rule's counts of one bucket's part of the batch.
    columns = ", ".join(["place int", *(f"{name} string" for name in _MESSAGE), *(f"{count} long" for count in counts)])
    folded = rows.groupBy("bucket").applyInPandasWithState(
        _bucket_function(judges, pipeline, read), columns, state_value.SCHEMA, "update", GroupStateTimeout.NoTimeout
    )
    totals = [
        total.alias(metric_of(judge.rule.name, name))
        for place, judge in enumerate(judges)
        for name, total in (
            ("alerts", F.count_if((F.col("place") == place) & F.col("key").isNotNull())),
            *((count, F.sum(F.when(F.col("place") == place, F.col(count)))) for count in counts),
        )
    ]
    return folded.observe("fold", *totals).where("key is not null").select(*_MESSAGE)


def bucketed_rows(events: DataFrame, rule: Rule, pipeline: Pipeline) -> DataFrame:
    """The columns for `read_frame` of the events that may enter a history, with their bucket."""
    bucket = bucket_of(rule.key, pipeline.state.buckets, pipeline.state.partitions).alias("bucket")
    entering = events.where(F.col("entry").isin("judge", "history", CORRECTION))
    if rule.corrections == "off":
        return entering.select(bucket, *frame_columns())
    return in_halves(entering).select(bucket, *frame_columns(), F.col("change"))


def _bucket_function(judges: Sequence[Judge], pipeline: Pipeline, read: ReadFrame) -> BucketFunction:
    """The state function of one bucket: folds a micro-batch's rows, of which `read` makes the fold's columns, into each
    rule's histories of the bucket."""
    topic = pipeline.kafka.transactions_topic
    topics = [[topic_of(version.rule, pipeline) for version in judge.judging] for judge in judges]
    counts = counts_of(judges[0].rule)

    def fold_bucket(key: tuple[Any, ...], parts: Iterator[pd.DataFrame], state: GroupState) -> Iterator[pd.DataFrame]:
        prepare_worker()
        frames = [part for part in parts if len(part)]
        frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        batch = read(frame)
        values = rule_values(state.get[0] if state.exists else None, len(judges))
        after, rows = [], list[tuple[Any, ...]]()
        for place, (judge, value) in enumerate(zip(judges, values, strict=True)):
            bases = judge.bases.of(key[0]).of if judge.bases else None
            outcome = fold_versions(judge.judging, states_of(value, key[0], judge.seeds), batch, topic, bases)
            after.append(outcome.fold.state)
            rows.append((place, None, None, None, *fold_counts(outcome.fold, counts)))
            found_in = [topics[place][number] for number in outcome.found_by]
            rows += _messages(place, outcome.fold, found_in, len(counts))
        state.update((state_value.as_text(state_value.joined(after)),))
        yield pd.DataFrame(rows, columns=["place", *_MESSAGE, *counts])

    return fold_bucket


def rule_values(text: str | None, count: int) -> Sequence[bytes | None]:
    """Each rule's part of a bucket's state value (state_value.SCHEMA); None without one."""
    return state_value.separated(state_value.of_text(text), count) if text else [None] * count


def states_of(value: bytes | None, bucket: int, seeds: Seeds) -> dict[int, bytes]:
    """A rule's states of the bucket by epoch: those of its value, else the seeds."""
    states = unpack_states(value) if value else {}
    for epoch, seeded in seeds.items():
        if epoch not in states and bucket in seeded:
            states[epoch] = seeded[bucket]
    return states


def counts_of(rule: Rule) -> tuple[str, ...]:
    """What is counted of a rule with state, beside its entries."""
    return COUNTS if rule.corrections == "off" else (*COUNTS, *_COUNTS_OF_CORRECTIONS)


def fold_counts(result: Fold, names: tuple[str, ...]) -> list[int]:
    """The named counts of one bucket."""
    return [getattr(result, name) for name in names]


def _messages(place: int, result: Fold, topics: list[str], counts: int) -> Iterator[tuple[Any, ...]]:
    nothing = [0] * counts
    for topic, payload in zip(topics, result.alerts, strict=True):
        yield place, topic, *alerts.message(payload), *nothing
