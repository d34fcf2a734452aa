"""Parts of the lake's tables made anew from the topics, as their queries would have made them.

Each takes away the rows in question and derives them again, so that repeating one after an interruption ends the same.
Nobody else may be writing: hold the query's checkpoint and tables (hold_mirror, hold_archive).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.cdc.columns import change_events
from fraudstream.config import Pipeline
from fraudstream.streams.archive import alert_rows, merge_alerts, newest_revisions
from fraudstream.streams.kafka import read_range
from fraudstream.streams.manifest import hold_checkpoint, hold_table
from fraudstream.streams.mirror import IS_CHANGE, TABLES, last_truncate, merge_newest, newest_changes, rows_of
from fraudstream.streams.tables import ALERTS, names

Position = tuple[int, int]
_SAME_PLACE = "kept.topic = wrong.topic and kept.partition = wrong.partition and kept.offset = wrong.offset"


def hold_mirror(pipeline: Pipeline) -> None:
    """Keep others from mirroring while this process lives. Raises GuardError while somebody does."""
    hold_checkpoint(pipeline.checkpoint("mirror_transactions"))
    for table in TABLES:
        hold_table(pipeline.table(table))


def hold_archive(pipeline: Pipeline, query: str, table: str) -> None:
    """The same for the archive of alerts."""
    hold_checkpoint(pipeline.checkpoint(query))
    hold_table(pipeline.table(table))


def replay_records(spark: SparkSession, pipeline: Pipeline, positions: Sequence[Position]) -> None:
    """The rows of lake/transaction_changes and lake/quarantine at these positions of the topic, made anew, and the
    current rows that the changes among them touch."""
    topic = pipeline.kafka.transactions_topic
    wrong = spark.createDataFrame([(topic, *at) for at in positions], "topic string, partition int, offset long")
    lows: dict[str, int] = {}
    highs: dict[str, int] = {}
    for partition, offset in positions:
        lows[str(partition)] = min(offset, lows.get(str(partition), offset))
        highs[str(partition)] = max(offset + 1, highs.get(str(partition), 0))
    records = read_range(spark, pipeline.kafka, topic, lows, highs).join(
        F.broadcast(wrong), [*wrong.columns], "left_semi"
    )
    events = change_events(records, pipeline.max_message_bytes, pipeline.mask).persist()
    try:
        for table, condition in (("transaction_changes", IS_CHANGE), ("quarantine", "entry = 'unreadable'")):
            _delete(spark, pipeline.table(table), wrong, _SAME_PLACE)
            rows = rows_of(events.where(condition), table)
            rows.coalesce(1).write.format("delta").mode("append").save(pipeline.table(table))
        ids = [row.id for row in events.where(f"{IS_CHANGE} and id is not null").select("id").distinct().collect()]
    finally:
        events.unpersist()
    derive_rows(spark, pipeline, ids)


def derive_rows(spark: SparkSession, pipeline: Pipeline, ids: Sequence[int]) -> None:
    """The current rows of these ids, made anew from lake/transaction_changes."""
    if not ids:
        return
    wanted = spark.createDataFrame([(number,) for number in ids], "id long")
    changes = spark.read.format("delta").load(pipeline.table("transaction_changes"))
    path = pipeline.table("transactions")
    _delete(spark, path, wanted, "kept.id = wrong.id")
    own = changes.join(F.broadcast(wanted), "id", "left_semi").select(*changes.columns)
    # rows_of takes a change event's columns, of which the table keeps some in another form.
    events = own.withColumns(
        {
            "cents": F.expr("cast(amount * 100 as long)"),
            "created_at": F.col("created_us"),
            "committed_ms": F.expr("unix_millis(committed_at)"),
            "captured_ms": F.expr("unix_millis(captured_at)"),
        }
    )
    current = DeltaTable.forPath(spark, path)
    merge_newest(current, newest_changes(events), ids)
    current.update(f"not deleted and lsn < {last_truncate(changes)}", {"deleted": "true", "op": "'t'"})


def mark_deleted(spark: SparkSession, pipeline: Pipeline, ids: Iterable[int]) -> None:
    """Mark current rows as deleted whose delete the topic never had."""
    wanted = spark.createDataFrame([(number,) for number in ids], "id long")
    table = DeltaTable.forPath(spark, pipeline.table("transactions")).alias("kept")
    merge = table.merge(wanted.alias("wrong"), "kept.id = wrong.id and not kept.deleted")
    merge.whenMatchedUpdate(set={"deleted": "true", "op": "'d'"}).execute()


def derive_alerts(
    spark: SparkSession, pipeline: Pipeline, table: str, topic: str, ids: Sequence[str], end: Mapping[int, int],
    without: Iterable[Position],
) -> None:  # fmt: skip
    """The rows of the archive's `table` of these alerts, made anew from the topic up to `end` but for the messages
    at the positions `without`. Of an alert that stands there several times and whose messages the topic has no more,
    one row stays."""
    path = pipeline.table(table)
    wanted = spark.createDataFrame([(each,) for each in ids], "alert_id string")
    left_out = spark.createDataFrame(list(without), "alert_partition int, alert_offset long")
    until = {str(partition): offset for partition, offset in end.items()}
    found = alert_rows(read_range(spark, pipeline.kafka, topic, {}, until)).join(
        F.broadcast(wanted), "alert_id", "left_semi"
    )
    found = found.join(F.broadcast(left_out), [*left_out.columns], "left_anti").select(*names(ALERTS))
    alerts = newest_revisions(found).collect()
    there = {row.alert_id for row in alerts}
    stored = spark.read.format("delta").load(path).join(F.broadcast(wanted), "alert_id", "left_semi")
    often = stored.groupBy("alert_id").count().where("count > 1").select("alert_id")
    kept = stored.join(often, "alert_id", "left_semi").dropDuplicates(["alert_id"]).select(*names(ALERTS)).collect()
    rows = [row.asDict() for row in alerts]
    rows += [{**row.asDict(), "standing": row.revision or 0} for row in kept if row.alert_id not in there]
    _delete(spark, path, wanted, "kept.alert_id = wrong.alert_id")
    if rows:
        schema = f"{ALERTS}, standing int"
        frame = spark.createDataFrame([tuple(row[name] for name in names(schema)) for row in rows], schema)
        merge_alerts(DeltaTable.forPath(spark, path), frame, revised=False)


def _delete(spark: SparkSession, path: str, wrong: DataFrame, condition: str) -> None:
    table = DeltaTable.forPath(spark, path).alias("kept")
    table.merge(wrong.alias("wrong"), condition).whenMatchedDelete().execute()
