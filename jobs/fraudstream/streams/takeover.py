"""Where a version of a rule takes over from the one before it, and with which history; recorded before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from fraudstream.config import Pipeline
from fraudstream.errors import GuardError
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.sql import alert_columns
from fraudstream.streams import progress, record, state_value
from fraudstream.streams.columnar.query import made_with_reader
from fraudstream.streams.kafka import topic_id
from fraudstream.streams.manifest import claim_checkpoint, masked_with
from fraudstream.streams.seed import (
    beginning_of,
    history,
    seed_states,
    seeds_of,
    store_beginning,
    store_seed,
    told_by_lake,
)
from fraudstream.streams.start_over import hold_rule, require_not_gone
from fraudstream.streams.topic import topic_begins, topic_ends


def take_over(spark: SparkSession, rule: Rule, pipeline: Pipeline, *, late: bool = False) -> bool:
    """Claim the rule's checkpoint and make sure that the rule is the last version of its record; its query must not be
    running. Returns whether it is a version that takes over from another.

    It takes over behind the last batch that was begun: what has not been judged yet, it judges. A rule without a record
    judges the topic from its beginning, or, if it comes `late`, from the topic's present end, with what lies before as
    its history. What the topic has lost of its beginning is history too, as the lake has it. Raises GuardError if the
    checkpoint, the record or the topic is unfit for it, ConfigError for a rule that Spark refuses; nothing is recorded
    then.
    """
    checkpoint = pipeline.checkpoint(rule.name)
    known = record.entries(pipeline.lake, rule.name)
    hold_rule(pipeline, rule.name)
    require_not_gone(pipeline, rule.name, str(record.path_of(pipeline.lake, rule.name)))
    # Without a record (an older one, or it was lost) the checkpoint alone says which version it is of.
    claim_checkpoint(checkpoint, _made_with(spark, rule, pipeline), free=["rule_version"] if known else [])
    _require_record(rule, pipeline, known)
    ends = topic_ends(spark, pipeline.kafka)
    if rule.stateless:
        alert_columns(rule)  # raises what Spark has against it before it is recorded
    if known:
        _require_topic(record.since_of(known[-1]), ends, rule, pipeline)
        _begin_again(spark, rule, pipeline)
        if record.is_of(known[-1], rule):
            return False
        _refuse_corrections(rule)
        since = _border(rule, known[-1], checkpoint, ends)
        record.require_living(pipeline.lake, rule.name, since, progress.by_number(progress.position(checkpoint)))
        if record.next_epoch(known, rule) != known[-1]["epoch"]:
            until = progress.by_number(progress.position(checkpoint))
            _require_history(spark, rule, pipeline, until)
            seed(spark, rule, pipeline, record.next_epoch(known, rule), until)
    else:
        since = ends if late and not progress.begun_batches(checkpoint) else {}
        _begin(spark, rule, pipeline, since)
    record.append(pipeline.lake, rule, since)
    return bool(known)


def _made_with(spark: SparkSession, rule: Rule, pipeline: Pipeline) -> dict[str, str | int]:
    topic = pipeline.kafka.transactions_topic
    sharing = pipeline.judged_by(rule.name)
    made_with: dict[str, str | int] = {
        **({"rule_version": rule.version} if len(sharing) == 1 else {"shared_by": ", ".join(sharing)}),
        "topic": topic, "topic_id": topic_id(spark, pipeline.kafka, topic), **masked_with(pipeline.mask),
    }  # fmt: skip
    if not rule.stateless:
        made_with |= {"buckets": pipeline.state.buckets, "partitions": pipeline.state.partitions}
        made_with |= {"state_format": state_value.FORMAT}
        made_with |= made_with_reader(rule, pipeline)
    if rule.corrections == "on":
        made_with["corrections"] = "on"
    return made_with


def _require_record(rule: Rule, pipeline: Pipeline, known: Sequence[record.Entry]) -> None:
    """A shared query's checkpoint does not say of which versions it is."""
    query = pipeline.query_of(rule.name)
    if query != rule.name and not known and progress.begun_batches(pipeline.checkpoint(query)):
        raise GuardError(
            f"{record.path_of(pipeline.lake, rule.name)}: the record of the rule's versions is gone, but {query} has "
            f"judged by them; put the file back, or start over with --reset {query}.",
            "rule-record",
        )


def _require_topic(since: Mapping[int, int], ends: Mapping[int, int], rule: Rule, pipeline: Pipeline) -> None:
    if any(offset > ends.get(partition, 0) for partition, offset in since.items()):
        raise GuardError(
            f"{record.path_of(pipeline.lake, rule.name)}: the last version begins behind the end of "
            f"{pipeline.kafka.transactions_topic}, so the record is of another topic of that name. Put the topic back, "
            f"or begin anew with --forget {rule.name}.",
            "topic-replaced",
        )


def _refuse_corrections(rule: Rule) -> None:
    if rule.corrections == "on":
        raise GuardError(
            f"{rule.name}: a rule with corrections judges earlier transactions again, so no other version can take "
            f"over from it. Give it another name, or have the whole topic judged anew with --forget {rule.name}.",
            "version-border",
        )


def _border(rule: Rule, last: record.Entry, checkpoint: str, ends: Mapping[int, int]) -> dict[int, int]:
    """Where the rule takes over from the last version."""
    # Where the code that began a batch is gone, the new one judges that batch again.
    is_known = record.can_be_had(last, rule.name)
    border = progress.by_number((progress.planned if is_known else progress.position)(checkpoint))
    # In real time alerts run ahead of the checkpoint; and a query that was reset lies before the last version.
    is_ahead = rule.stateless and border and is_known
    since = record.since_of(last)
    is_behind = any(border.get(partition, 0) < offset for partition, offset in since.items())
    # One that begins where the topic has lost its beginning: the last version has judged from there on.
    is_behind |= not progress.begun_batches(checkpoint) and any(border.values()) and border != since
    return dict(ends) if is_ahead or is_behind else border


def _begin(spark: SparkSession, rule: Rule, pipeline: Pipeline, since: Mapping[int, int]) -> None:
    """Prepare the checkpoint of a rule without a record to begin at `since`; empty: at the topic's beginning, with what
    the lake tells of the records that the topic has lost, if it does."""
    checkpoint = pipeline.checkpoint(rule.name)
    begun = progress.begun_batches(checkpoint)
    if not begun:
        shutil.rmtree(seeds_of(checkpoint, rule.name), ignore_errors=True)
        if not _others_begin(rule, pipeline):
            Path(checkpoint, progress.START).unlink(missing_ok=True)
    if since:
        _begin_at(spark, rule, pipeline, since, {0: rule})
    elif not begun and any((start := _beginning(spark, rule, pipeline)).values()):
        _begin_at(spark, rule, pipeline, start, {} if _lacks_history(spark, rule, pipeline, start) else {0: rule})


def _begin_again(spark: SparkSession, rule: Rule, pipeline: Pipeline) -> None:
    """Prepare the new checkpoint of a rule with a record to begin at the first records that the topic still has, as if
    it had judged those before. Raises GuardError where nothing tells all of those."""
    checkpoint = pipeline.checkpoint(rule.name)
    if progress.begun_batches(checkpoint):
        return
    start = _beginning(spark, rule, pipeline)
    if not any(start.values()) or beginning_of(checkpoint, rule.name) == start:
        return
    _require_history(spark, rule, pipeline, start)
    versions = record.versions(pipeline.lake, rule.name, start)
    _begin_at(spark, rule, pipeline, start, {version.epoch: version.rule for version in versions})


def _others_begin(rule: Rule, pipeline: Pipeline) -> bool:
    """Whether a rule that shares the query has seeds for where it begins."""
    checkpoint = pipeline.checkpoint(rule.name)
    sharing = pipeline.judged_by(pipeline.query_of(rule.name))
    return any(beginning_of(checkpoint, other) for other in sharing if other != rule.name)


def _beginning(spark: SparkSession, rule: Rule, pipeline: Pipeline) -> dict[int, int]:
    """Where a query without a batch begins: as its checkpoint says, else at the topic's first records."""
    start = progress.by_number(progress.start_of(pipeline.checkpoint(rule.name)))
    return start or topic_begins(spark, pipeline.kafka, pipeline.kafka.transactions_topic)


def _lacks_history(spark: SparkSession, rule: Rule, pipeline: Pipeline, until: Mapping[int, int]) -> bool:
    """Whether neither the lake nor the topic has all that lies before these offsets, and the rule needs it."""
    if rule.stateless:
        return False
    topic = pipeline.kafka.transactions_topic
    told = told_by_lake(rule, pipeline, topic_id(spark, pipeline.kafka, topic))
    begins = topic_begins(spark, pipeline.kafka, topic)
    lacking = (told.get(number, 0) < min(offset, begins.get(number, 0)) for number, offset in until.items())
    return any(lacking)


def _require_history(spark: SparkSession, rule: Rule, pipeline: Pipeline, until: Mapping[int, int]) -> None:
    if _lacks_history(spark, rule, pipeline, until):
        raise GuardError(
            f"{rule.name}: {pipeline.kafka.transactions_topic} has lost its beginning, and "
            f"{pipeline.table('transaction_changes')} does not tell all that was before {dict(until)}, so histories "
            "would be short and alerts others. Have mirror_transactions catch up if it has read the topic from its "
            f"first record, or begin with the histories that are left: --forget {rule.name}.",
            "history-gone",
        )


def _begin_at(
    spark: SparkSession, rule: Rule, pipeline: Pipeline, start: Mapping[int, int], epochs: Mapping[int, Rule]
) -> None:
    """Keep with a rule's new checkpoint where it begins, and its states of these epochs there."""
    checkpoint = pipeline.checkpoint(rule.name)
    progress.store_start(checkpoint, start)
    for epoch, rule_of_epoch in epochs.items():
        seed(spark, rule_of_epoch, pipeline, epoch, start)
    # Last: without it all is done again.
    store_beginning(checkpoint, rule.name, start)


def seed(spark: SparkSession, rule: Rule, pipeline: Pipeline, epoch: int, until: Mapping[int, int]) -> None:
    """Keep with the rule's checkpoint the state for an epoch that begins at these offsets."""
    if rule.stateless:
        return
    events = history(spark, rule, pipeline, until)
    states = {} if events is None else seed_states(events, rule, pipeline)
    store_seed(pipeline.checkpoint(rule.name), rule.name, epoch, states)
