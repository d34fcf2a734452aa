"""The archive of alerts: fraud.alerts into lake/alerts, an alert_id once however often a batch is repeated."""

from __future__ import annotations

from collections.abc import Callable

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.config import Pipeline
from fraudstream.streams.progress import append_line
from fraudstream.streams.tables import ALERT_PAYLOAD, ALERTS, create_table, names


def alert_rows(records: DataFrame) -> DataFrame:
    """Rows of lake/alerts from Kafka `records` of the alerts topic; alert_id is null where the value is no alert."""
    alert = F.from_json(F.col("value").cast("string"), ALERT_PAYLOAD)
    parsed = records.select(
        F.inline(F.array(alert)),
        F.col("timestamp").alias("detected_at"),
        F.col("partition").alias("alert_partition"),
        F.col("offset").alias("alert_offset"),
        F.col("value").cast("string").alias("payload"),
    )
    return parsed.select(*names(ALERTS))


def first_copies(alerts: DataFrame) -> DataFrame:
    """One row per alert_id: the first in the topic (copies have the same key, so they lie in one partition)."""
    first = F.expr(f"min_by(struct({', '.join(names(ALERTS))}), alert_offset) as first")
    return alerts.where("alert_id is not null").groupBy("alert_id").agg(first).selectExpr("first.*")


def archive_batch(spark: SparkSession, pipeline: Pipeline) -> Callable[[DataFrame, int], None]:
    """The batch function of the archiving query. It alone writes lake/alerts."""
    path = pipeline.table("alerts")
    create_table(spark, path, ALERTS)
    table = DeltaTable.forPath(spark, path)

    def archive(batch: DataFrame, batch_id: int) -> None:
        rows = batch.persist()
        try:
            counts = rows.selectExpr("count(1) as read", "count_if(alert_id is null) as unreadable").collect()[0]
            _insert_new(table, first_copies(rows))
        finally:
            rows.unpersist()
        append_line(pipeline.progress, "archive_alerts", {"batch_id": batch_id, **counts.asDict()})

    return archive


def _insert_new(table: DeltaTable, alerts: DataFrame) -> None:
    (
        table.alias("archived")
        .merge(alerts.alias("alert"), "archived.alert_id = alert.alert_id")
        .whenNotMatchedInsertAll()
        .execute()
    )
