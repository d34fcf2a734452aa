"""The archive of alerts: fraud.alerts into lake/alerts, an alert_id once however often a batch is repeated.

Of an alert's revisions the highest wins. One that withdraws the alert changes no more than that: the row goes on to say
what the alert was.
"""

from __future__ import annotations

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.config import Pipeline
from fraudstream.streams.tables import ALERT_PAYLOAD, ALERTS, create_table, names
from fraudstream.streams.upkeep import CountedBatch

_REVISION = ("status", "revision", "changed_by")
_ARCHIVED = "coalesce(archived.revision, 0)"
_COUNTS = ("count(1) as read", "count_if(alert_id is null) as unreadable", "count_if(revision > 0) as revised")


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
    usual = {"revision": F.coalesce("revision", F.lit(0)), "status": F.coalesce("status", F.lit("open"))}
    return parsed.withColumns(usual).select(*names(ALERTS))


def newest_revisions(alerts: DataFrame) -> DataFrame:
    """One row per alert_id: `status`, `revision` and `changed_by` of its highest revision, and the rest of the highest
    one that stands, whose revision is `standing` (null if none does). Of copies the first counts (they have the same
    key, so they lie in one partition)."""
    order = "struct(-revision, alert_offset)"
    row = f"struct({', '.join(names(ALERTS))})"
    found = (
        alerts.where("alert_id is not null")
        .groupBy("alert_id")
        .agg(
            F.expr(f"min_by({row}, {order}) as latest"),
            F.expr(f"min_by({row}, {order}) filter (where status <> 'withdrawn') as standing"),
        )
    )
    of_latest = [f"latest.{name}" for name in _REVISION]
    shown = [f"coalesce(standing, latest).{name} as {name}" for name in names(ALERTS) if name not in _REVISION]
    return found.selectExpr(*shown, *of_latest, "standing.revision as standing")


def archive_batch(spark: SparkSession, pipeline: Pipeline, name: str = "alerts") -> CountedBatch:
    """The batch function of the query that alone writes the table `name` of the lake; it returns how many records were
    read, unreadable and revisions."""
    path = pipeline.table(name)
    create_table(spark, path, ALERTS)
    table = DeltaTable.forPath(spark, path)

    def archive(batch: DataFrame, batch_id: int) -> dict[str, int]:
        rows = batch.persist()
        try:
            counts: dict[str, int] = rows.selectExpr(*_COUNTS).collect()[0].asDict()
            merge_alerts(table, newest_revisions(rows), revised=counts["revised"] > 0)
        finally:
            rows.unpersist()
        return counts

    return archive


def merge_alerts(table: DeltaTable, alerts: DataFrame, *, revised: bool) -> None:
    """Insert new alerts and, if the batch has revisions, raise those that are there: a merge that only inserts reads
    and writes less."""
    merge = table.alias("archived").merge(alerts.alias("alert"), "archived.alert_id = alert.alert_id")
    every: dict[str, str | Column] = {name: f"alert.{name}" for name in names(ALERTS)}
    if revised:
        merge = merge.whenMatchedUpdate(f"alert.revision > {_ARCHIVED} and alert.standing > {_ARCHIVED}", every)
        merge = merge.whenMatchedUpdate(f"alert.revision > {_ARCHIVED}", {name: every[name] for name in _REVISION})
    merge.whenNotMatchedInsert(values=every).execute()
