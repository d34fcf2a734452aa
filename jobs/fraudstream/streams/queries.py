"""Starting the pipeline's streaming queries, each with its own name and checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery
from pyspark.sql.streaming.readwriter import DataStreamWriter

from fraudstream.cdc.columns import connector_events
from fraudstream.config import Pipeline
from fraudstream.errors import GuardError
from fraudstream.rulebook.catalog import Rule
from fraudstream.streams import progress
from fraudstream.streams.archive import alert_rows, archive_batch
from fraudstream.streams.kafka import read_stream, sink_options, wait_for_topic
from fraudstream.streams.manifest import claim_checkpoint, is_new
from fraudstream.streams.mirror import TABLES, mirror_batch
from fraudstream.streams.recount import recount
from fraudstream.streams.rule_query import rule_messages
from fraudstream.streams.topic import check_topic

MIRROR = "mirror_transactions"
ARCHIVE = "archive_alerts"


def start_rules(
    spark: SparkSession, rules: Sequence[Rule], pipeline: Pipeline, *, until_caught_up: bool = False
) -> list[StreamingQuery]:
    """A running query per rule. Raises GuardError before the first one starts if the topic or a checkpoint is unfit."""
    wait_for_topic(spark, pipeline.kafka, pipeline.kafka.transactions_topic)
    keys: list[str | None] = [*sorted({rule.key for rule in rules if not rule.stateless})]
    for key in keys or [None]:
        check_topic(spark, pipeline.kafka, key)
    for rule in rules:
        claim_checkpoint(pipeline.checkpoint(rule.name), _made_with(rule, pipeline))
        _record_missing(spark, rule, pipeline)
    spark.streams.addListener(progress.BatchListener(pipeline.progress, {r.name: not r.stateless for r in rules}))
    return [_start_rule(spark, rule, pipeline, until_caught_up) for rule in rules]


def _made_with(rule: Rule, pipeline: Pipeline) -> dict[str, str | int]:
    made_with: dict[str, str | int] = {"rule_version": rule.version, "topic": pipeline.kafka.transactions_topic}
    if not rule.stateless:
        made_with |= {"buckets": pipeline.state.buckets, "partitions": pipeline.state.partitions}
    if rule.corrections == "on":
        made_with["corrections"] = "on"
    return made_with


def _record_missing(spark: SparkSession, rule: Rule, pipeline: Pipeline) -> None:
    def count_again(batch: int) -> dict[str, int]:
        return recount(spark, rule, pipeline, batch)

    progress.record_missing(pipeline.progress, rule.name, pipeline.checkpoint(rule.name), count_again)


def _start_rule(spark: SparkSession, rule: Rule, pipeline: Pipeline, until_caught_up: bool) -> StreamingQuery:
    real_time = rule.trigger == "real-time" and pipeline.triggers.real_time_enabled and not until_caught_up
    records = read_stream(spark, pipeline.kafka, pipeline.kafka.transactions_topic, real_time=real_time)
    messages = rule_messages(records, rule, pipeline)
    writer = messages.writeStream.format("kafka").options(**sink_options(pipeline.kafka, pipeline.kafka.alerts_topic))
    writer = writer.outputMode("update")
    if until_caught_up:
        writer = writer.trigger(availableNow=True)
    elif real_time:
        writer = writer.trigger(realTime=pipeline.triggers.real_time)  # type: ignore[call-overload]
    else:
        writer = writer.trigger(processingTime=pipeline.triggers.rules)
    return _start(spark, writer, rule.name, pipeline)


def start_archive(spark: SparkSession, pipeline: Pipeline, *, until_caught_up: bool = False) -> StreamingQuery:
    """The query that alone writes lake/alerts."""
    wait_for_topic(spark, pipeline.kafka, pipeline.kafka.alerts_topic)
    claim_checkpoint(pipeline.checkpoint(ARCHIVE), {"topic": pipeline.kafka.alerts_topic})
    rows = alert_rows(read_stream(spark, pipeline.kafka, pipeline.kafka.alerts_topic))
    function = archive_batch(spark, pipeline)
    return _start_batches(spark, rows, function, ARCHIVE, pipeline, pipeline.triggers.archive_alerts, until_caught_up)


def start_mirror(spark: SparkSession, pipeline: Pipeline, *, until_caught_up: bool = False) -> StreamingQuery:
    """The query that alone writes lake/transaction_changes, lake/transactions and lake/quarantine. Raises GuardError
    when its checkpoint is gone but the tables are not: it would append every change a second time."""
    wait_for_topic(spark, pipeline.kafka, pipeline.kafka.transactions_topic)
    checkpoint = pipeline.checkpoint(MIRROR)
    if is_new(checkpoint):
        _refuse_filled_tables(spark, pipeline)
    generation = claim_checkpoint(checkpoint, {"topic": pipeline.kafka.transactions_topic})
    records = read_stream(spark, pipeline.kafka, pipeline.kafka.transactions_topic)
    events = connector_events(records, pipeline.max_message_bytes)
    function = mirror_batch(spark, pipeline, generation)
    return _start_batches(
        spark, events, function, MIRROR, pipeline, pipeline.triggers.mirror_transactions, until_caught_up
    )


def _refuse_filled_tables(spark: SparkSession, pipeline: Pipeline) -> None:
    for table in TABLES:
        path = pipeline.table(table)
        if Path(path, "_delta_log").exists() and not spark.read.format("delta").load(path).isEmpty():
            raise GuardError(
                f"{path} has rows, but the checkpoint {pipeline.checkpoint(MIRROR)} that wrote them is gone; "
                f"going on would append every change again. Put the checkpoint back, or rebuild with --reset {MIRROR}."
            )


def _start_batches(
    spark: SparkSession,
    rows: DataFrame,
    function: Callable[[DataFrame, int], None],
    name: str,
    pipeline: Pipeline,
    interval: str,
    until_caught_up: bool,
) -> StreamingQuery:
    writer = rows.writeStream.foreachBatch(function)
    writer = writer.trigger(availableNow=True) if until_caught_up else writer.trigger(processingTime=interval)
    return _start(spark, writer, name, pipeline)


def _start(spark: SparkSession, writer: DataStreamWriter, name: str, pipeline: Pipeline) -> StreamingQuery:
    # A pool of its own: the mirror's long jobs share the cores with the rules' short ones instead of preceding them.
    # The query's thread inherits it; this thread's later jobs must not queue behind a real-time job's endless tasks.
    spark.sparkContext.setLocalProperty("spark.scheduler.pool", name)
    try:
        return writer.queryName(name).option("checkpointLocation", pipeline.checkpoint(name)).start()
    finally:
        spark.sparkContext.setLocalProperty("spark.scheduler.pool", None)  # type: ignore[arg-type]


def reset(pipeline: Pipeline, query: str) -> None:
    """Forget what the query has done: its checkpoint and progress, and for the mirror its tables. It then starts from
    the beginning of the topic; alerts keep their ids, so nothing is doubled."""
    shutil.rmtree(pipeline.checkpoint(query), ignore_errors=True)
    Path(pipeline.progress, f"{query}.jsonl").unlink(missing_ok=True)
    for table in TABLES if query == MIRROR else ():
        shutil.rmtree(pipeline.table(table), ignore_errors=True)
