"""Deleting files of the lake that no late version of a table needs. Each table's writer does it, between batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pandas as pd
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from fraudstream.config import Pipeline

BatchFunction = Callable[[DataFrame, int], None]


def vacuuming(spark: SparkSession, pipeline: Pipeline, tables: Sequence[str], function: BatchFunction) -> BatchFunction:
    """The batch function, which also vacuums the tables after a batch when `vacuum.every` has gone by since the start
    or the last time."""
    every = pd.Timedelta(pipeline.vacuum.every).total_seconds()
    last = time.monotonic()

    def write(batch: DataFrame, batch_id: int) -> None:
        nonlocal last
        function(batch, batch_id)
        if time.monotonic() - last >= every:
            for table in tables:
                vacuum(spark, pipeline.table(table), pipeline.vacuum.keep)
            last = time.monotonic()

    return write


def vacuum(spark: SparkSession, path: str, keep: str) -> None:
    """Delete the table's files that no version of the last `keep` (a duration) has. None may be being written."""
    # Delta refuses less than a week, for the sake of writers that run beside; a table of the lake has one writer.
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    DeltaTable.forPath(spark, path).vacuum(pd.Timedelta(keep) / pd.Timedelta(hours=1))
