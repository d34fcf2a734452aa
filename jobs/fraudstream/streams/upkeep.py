"""The upkeep of the lake's tables: small files joined, and files deleted that no late version needs. Each table's
writer does it, between batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pandas as pd
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from fraudstream.config import Pipeline
from fraudstream.streams.progress import append_line

BatchFunction = Callable[[DataFrame, int], None]
CountedBatch = Callable[[DataFrame, int], Mapping[str, Any]]
"""A batch function that returns what it has counted."""


def keeping_up(
    spark: SparkSession, pipeline: Pipeline, query: str, tables: Sequence[str], function: CountedBatch,
    alone: Callable[[str], AbstractContextManager[Any]] = nullcontext,
) -> BatchFunction:  # fmt: skip
    """The batch function, which also writes each batch's line of `query` (fraudstream.streams.progress), its time and
    its counts, and looks after the tables when `upkeep.every` has gone by since the start or the last time; `alone`
    keeps other writers of the table at a path waiting meanwhile."""
    every = pd.Timedelta(pipeline.upkeep.every).total_seconds()
    last = time.monotonic()

    def write(batch: DataFrame, batch_id: int) -> None:
        nonlocal last
        began = time.monotonic()
        counts = function(batch, batch_id)
        duration = round(1000 * (time.monotonic() - began))
        append_line(pipeline.progress, query, {"batch_id": batch_id, "duration_ms": duration, **counts})
        if time.monotonic() - last >= every:
            for table in tables:
                with alone(pipeline.table(table)):
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
