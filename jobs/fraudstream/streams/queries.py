"""Starting the pipeline's streaming queries, each with its own name and checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery
from pyspark.sql.streaming.readwriter import DataStreamWriter

from fraudstream.cdc.columns import connector_events
from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError, GuardError, with_runbook
from fraudstream.rulebook.catalog import Rule
from fraudstream.streams import progress, record
from fraudstream.streams.archive import alert_rows, archive_batch
from fraudstream.streams.bases import bases_of
from fraudstream.streams.columnar.query import is_columnar, read_packed
from fraudstream.streams.kafka import has_topic, read_stream, sink_options, topic_id, wait_for_topic
from fraudstream.streams.manifest import claim_checkpoint, hold_table, is_new, masked_with
from fraudstream.streams.mirror import TABLES, mirror_batch
from fraudstream.streams.recount import recount
from fraudstream.streams.rule_query import Judge, packed_messages, rule_messages
from fraudstream.streams.seed import stored_seeds
from fraudstream.streams.start_over import require_not_gone, start_over, start_tables_over
from fraudstream.streams.takeover import take_over
from fraudstream.streams.topic import check_topic, topic_begins
from fraudstream.streams.upkeep import BatchFunction, keeping_up

MIRROR = "mirror_transactions"
ARCHIVE = "archive_alerts"
SHADOW_ARCHIVE = "archive_shadow_alerts"


def start_rules(
    spark: SparkSession,
    rules: Sequence[Rule],
    pipeline: Pipeline,
    *,
    until_caught_up: bool = False,
    judged: dict[str, dict[str, bool]] | None = None,
) -> list[StreamingQuery]:
    """The running queries that judge by the rules: one each, unless they share one. Raises GuardError before the first
    one starts if the topic or a checkpoint is unfit.

    Batches are reported of the rules in `judged` (as for progress.BatchListener), where queries may be added."""
    check_rules(spark, rules, pipeline)
    for rule in rules:
        take_over(spark, rule, pipeline)
        record_missing(spark, rule, pipeline)
    of_query = by_query(rules, pipeline)
    judged = {} if judged is None else judged
    judged |= {query: have_state(own) for query, own in of_query.items()}
    spark.streams.addListener(progress.BatchListener(pipeline.progress, judged))
    return [start_query(spark, own, pipeline, until_caught_up=until_caught_up) for own in of_query.values()]


def by_query(rules: Sequence[Rule], pipeline: Pipeline) -> dict[str, list[Rule]]:
    """The rules by the query that judges by them."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        found.setdefault(pipeline.query_of(rule.name), []).append(rule)
    return found


def have_state(rules: Sequence[Rule]) -> dict[str, bool]:
    """Whether each rule has state, by its name."""
    return {rule.name: not rule.stateless for rule in rules}


def check_rules(spark: SparkSession, rules: Sequence[Rule], pipeline: Pipeline) -> None:
    """Wait for the topic, and raise GuardError if the rules must not start on it."""
    wait_for_topic(spark, pipeline.kafka, pipeline.kafka.transactions_topic)
    keys: list[str | None] = [*sorted({rule.key for rule in rules if not rule.stateless})]
    for key in keys or [None]:
        check_topic(spark, pipeline.kafka, key)


def record_missing(spark: SparkSession, rule: Rule, pipeline: Pipeline) -> None:
    """Count the batches again whose report was lost when a driver died."""

    def count_again(batch: int) -> dict[str, int]:
        return recount(spark, rule, pipeline, batch)

    progress.record_missing(pipeline.progress, rule.name, pipeline.checkpoint(rule.name), count_again)


def start_query(
    spark: SparkSession, rules: Sequence[Rule], pipeline: Pipeline, *, until_caught_up: bool = False
) -> StreamingQuery:
    """The running query of a rule, or of all rules that share it, which have taken over (takeover.take_over)."""
    rule, topic = rules[0], pipeline.kafka.transactions_topic
    query, checkpoint = pipeline.query_of(rule.name), pipeline.checkpoint(rule.name)
    places = [*pipeline.judged_by(query)]  # of the rules' states in a state value
    real_time = _is_real_time(rule, pipeline) and not until_caught_up
    if is_columnar(rule, pipeline) and not progress.begun_batches(checkpoint) and not progress.start_of(checkpoint):
        # Spark's own source notes where it began; a source in Python does so with its first committed batch only.
        progress.store_start(checkpoint, topic_begins(spark, pipeline.kafka, topic))
    start = progress.start_of(checkpoint)
    judges = [_judge(spark, each, pipeline) for each in sorted(rules, key=lambda each: places.index(each.name))]
    # The query takes it over when it starts, and its checkpoint keeps it.
    spark.conf.set("spark.sql.shuffle.partitions", str(pipeline.state.partitions))
    if is_columnar(rule, pipeline):
        messages = packed_messages(read_packed(spark, pipeline, rule, start), judges, pipeline)
    else:
        records = read_stream(spark, pipeline.kafka, topic, start=start, real_time=real_time)
        if not real_time:
            # A task of the read costs more than the thousand rows that it reads: with two instead of four (a partition
            # each) a micro-batch of the stateful rules took 20 % less time at 2,000 rows/s on 2 cores.
            records = records.coalesce(pipeline.state.partitions)
        messages = rule_messages(records, judges, pipeline)
    writer = messages.writeStream.format("kafka").options(**sink_options(pipeline.kafka)).outputMode("update")
    if until_caught_up:
        writer = writer.trigger(availableNow=True)
    elif real_time:
        writer = writer.trigger(realTime=pipeline.triggers.real_time)  # type: ignore[call-overload]
    else:
        writer = writer.trigger(processingTime=pipeline.triggers.rules)
    return _start(spark, writer, query, pipeline)


def _is_real_time(rule: Rule, pipeline: Pipeline) -> bool:
    return rule.trigger == "real-time" and pipeline.triggers.real_time_enabled


def behind_rules(
    spark: SparkSession, rules: Sequence[Rule], pipeline: Pipeline, start: Callable[[], StreamingQuery],
    seconds: float = 60.0,
) -> Callable[[], StreamingQuery | None]:  # fmt: skip
    """What starts a query once these rules have begun, or so many seconds from now if one has not; None until then."""
    limit = time.monotonic() + seconds
    return lambda: start() if begun(spark, rules, pipeline) or time.monotonic() > limit else None


def begun(spark: SparkSession, rules: Sequence[Rule], pipeline: Pipeline) -> bool:
    """Whether each query of these rules that runs in micro-batches has had one, or has found nothing to judge, or has
    ended."""
    names = {pipeline.query_of(rule.name) for rule in rules if not _is_real_time(rule, pipeline)}
    return all(query.lastProgress is not None for query in spark.streams.active if query.name in names)


def _judge(spark: SparkSession, rule: Rule, pipeline: Pipeline) -> Judge:
    checkpoint = pipeline.checkpoint(rule.name)
    versions = record.versions(pipeline.lake, rule.name, progress.by_number(progress.position(checkpoint)))
    return Judge(rule, versions, stored_seeds(checkpoint, versions), bases_of(spark, checkpoint, rule.name))


def ready_archive(
    spark: SparkSession, pipeline: Pipeline, *, until_caught_up: bool = False
) -> Callable[[], StreamingQuery]:
    """What starts the archive. Raises GuardError where something stands against it."""
    wait_for_topic(spark, pipeline.kafka, pipeline.kafka.alerts_topic)
    return _ready_archive(spark, pipeline, ARCHIVE, pipeline.kafka.alerts_topic, "alerts", until_caught_up)


def start_archive(spark: SparkSession, pipeline: Pipeline, *, until_caught_up: bool = False) -> StreamingQuery:
    """The query that alone writes lake/alerts."""
    return ready_archive(spark, pipeline, until_caught_up=until_caught_up)()


def start_shadow_archive(
    spark: SparkSession, pipeline: Pipeline, *, until_caught_up: bool = False
) -> StreamingQuery | None:
    """The query that alone writes lake/shadow_alerts; None while no shadow rule has alerted."""
    topic = pipeline.kafka.shadow_topic
    if not has_topic(spark, pipeline.kafka, topic):
        return None
    return _ready_archive(spark, pipeline, SHADOW_ARCHIVE, topic, "shadow_alerts", until_caught_up)()


def _ready_archive(
    spark: SparkSession, pipeline: Pipeline, name: str, topic: str, table: str, until_caught_up: bool
) -> Callable[[], StreamingQuery]:
    require_not_gone(pipeline, name, f"{pipeline.table(table)}/_delta_log")
    claim_checkpoint(pipeline.checkpoint(name), _made_from(spark, pipeline, topic))
    hold_table(pipeline.table(table))

    def start() -> StreamingQuery:
        rows = alert_rows(read_stream(spark, pipeline.kafka, topic))
        function = keeping_up(spark, pipeline, name, [table], archive_batch(spark, pipeline, table))
        return _start_batches(spark, rows, function, name, pipeline, pipeline.triggers.archive_alerts, until_caught_up)

    return start


def ready_mirror(
    spark: SparkSession, pipeline: Pipeline, *, until_caught_up: bool = False
) -> Callable[[], StreamingQuery]:
    """What starts the mirror. Raises GuardError where something stands against it, as when its checkpoint is gone but
    the tables are not: it would append every change a second time."""
    wait_for_topic(spark, pipeline.kafka, pipeline.kafka.transactions_topic)
    topic, checkpoint = pipeline.kafka.transactions_topic, pipeline.checkpoint(MIRROR)
    if is_new(checkpoint):
        _refuse_filled_tables(spark, pipeline)
    require_not_gone(pipeline, MIRROR, pipeline.table("transactions"))
    generation = claim_checkpoint(checkpoint, _made_from(spark, pipeline, topic))
    for table in TABLES:
        hold_table(pipeline.table(table))
    if not progress.begun_batches(checkpoint) and not progress.start_of(checkpoint):
        progress.store_start(
            checkpoint, topic_begins(spark, pipeline.kafka, topic)
        )  # what the tables tell begins there

    def start() -> StreamingQuery:
        records = read_stream(spark, pipeline.kafka, topic, start=progress.start_of(checkpoint))
        events = connector_events(records, pipeline.max_message_bytes, pipeline.mask)
        function = keeping_up(spark, pipeline, MIRROR, [*TABLES], mirror_batch(spark, pipeline, generation))
        interval = pipeline.triggers.mirror_transactions
        return _start_batches(spark, events, function, MIRROR, pipeline, interval, until_caught_up)

    return start


def start_mirror(spark: SparkSession, pipeline: Pipeline, *, until_caught_up: bool = False) -> StreamingQuery:
    """The query that alone writes lake/transaction_changes, lake/transactions and lake/quarantine."""
    return ready_mirror(spark, pipeline, until_caught_up=until_caught_up)()


def _made_from(spark: SparkSession, pipeline: Pipeline, topic: str) -> dict[str, str | int]:
    return {"topic": topic, "topic_id": topic_id(spark, pipeline.kafka, topic), **masked_with(pipeline.mask)}


def _refuse_filled_tables(spark: SparkSession, pipeline: Pipeline) -> None:
    for table in TABLES:
        path = pipeline.table(table)
        if Path(path, "_delta_log").exists() and not spark.read.format("delta").load(path).isEmpty():
            raise GuardError(
                f"{path} has rows, but the checkpoint {pipeline.checkpoint(MIRROR)} that wrote them is gone; "
                f"going on would append every change again. Put the checkpoint back, or rebuild with --reset {MIRROR}.",
                "checkpoint-gone",
            )


def _start_batches(
    spark: SparkSession,
    rows: DataFrame,
    function: BatchFunction,
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
    except PySparkException as error:
        raise FraudstreamError(f"{name} does not start: {with_runbook(str(error))}") from error
    finally:
        spark.sparkContext.setLocalProperty("spark.scheduler.pool", None)  # type: ignore[arg-type]


def reset(spark: SparkSession, pipeline: Pipeline, query: str) -> None:
    """Forget what the query has done: its checkpoint and progress, and for the mirror its tables. It then starts from
    the beginning of the topic, a rule by the record of its versions; alerts keep their ids, so nothing is doubled.
    Raises GuardError while another driver runs it, and where the mirror's tables tell what the topic has lost."""
    if query == MIRROR:
        start_tables_over(spark, pipeline, query, pipeline.kafka.transactions_topic, [*TABLES])
    else:
        start_over(pipeline, query)


def forget(spark: SparkSession, pipeline: Pipeline, rule: str) -> None:
    """Reset a rule's query and forget its earlier versions: it judges the topic from its beginning as it is now."""
    reset(spark, pipeline, rule)
    record.path_of(pipeline.lake, rule).unlink(missing_ok=True)
