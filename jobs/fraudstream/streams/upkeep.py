"""The upkeep of the lake's tables: small files joined, and files deleted that no late version needs. Each table's
writer does it, between batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pandas as pd
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from fraudstream.config import Pipeline

BatchFunction = Callable[[DataFrame, int], None]


def keeping_up(
    spark: SparkSession, pipeline: Pipeline, tables: Sequence[str], function: BatchFunction
) -> BatchFunction:
    """The batch function, which also looks after the tables when `upkeep.every` has gone by since the start or the
    last time."""
    every = pd.Timedelta(pipeline.upkeep.every).total_seconds()
    last = time.monotonic()

    def write(batch: DataFrame, batch_id: int) -> None:
        nonlocal last
        function(batch, batch_id)
        if time.monotonic() - last >= every:
            for table in tables:
                look_after(spark, pipeline.table(table), pipeline.upkeep.keep)
            last = time.monotonic()

    return write


def look_after(spark: SparkSession, path: str, keep: str) -> None:
    """Join the table's small files, and delete those that no version of the last `keep` (a duration) has. None may be
    being written.

    Not by Delta's autoCompact: it looks at the table's files after every commit.
    """
    table = DeltaTable.forPath(spark, path)
    table.optimize().executeCompaction()
    # Delta refuses less than a week, for the sake of writers that run beside; a table of the lake has one writer.
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    table.vacuum(pd.Timedelta(keep) / pd.Timedelta(hours=1))
