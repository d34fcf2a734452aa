"""The upkeep of the lake's tables: small files joined, and files deleted that no late version needs. Each table's
writer does it, between batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pandas as pd
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from fraudstream.config import Pipeline
from fraudstream.streams.progress import append_line

BatchFunction = Callable[[DataFrame, int], None]
CountedBatch = Callable[[DataFrame, int], Mapping[str, Any]]
"""A batch function that returns what it has counted."""
_RETENTION = "delta.deletedFileRetentionDuration"


def keeping_up(
    spark: SparkSession, pipeline: Pipeline, query: str, tables: Sequence[str], function: CountedBatch,
    alone: Callable[[str], AbstractContextManager[Any]] = nullcontext,
) -> BatchFunction:  # fmt: skip
    """The batch function, which also writes each batch's line of `query` (fraudstream.streams.progress), its time and
    its counts, and looks after each table once in `upkeep.every`, where there are batches enough: after one it joins
    the files of one table, or deletes some. `alone` keeps other writers of the table at a path waiting meanwhile.

    All that is to be done takes turns: for three tables at once the query waited for 10 s, and took the cores.
    """
    turns = cycle(product(tables, (join_files, delete_files)))
    every = pd.Timedelta(pipeline.upkeep.every).total_seconds() / (2 * len(tables))
    due = time.monotonic() + every

    def write(batch: DataFrame, batch_id: int) -> None:
        nonlocal due
        began = time.monotonic()
        counts = function(batch, batch_id)
        duration = round(1000 * (time.monotonic() - began))
        append_line(pipeline.progress, query, {"batch_id": batch_id, "duration_ms": duration, **counts})
        if time.monotonic() >= due:
            table, work = next(turns)
            with alone(pipeline.table(table)):
                work(spark, pipeline, table)
            due = max(due + every, time.monotonic())

    return write


def join_files(spark: SparkSession, pipeline: Pipeline, table: str) -> None:
    """Join the table's small files. Not by Delta's autoCompact: it looks at the table's files after every commit."""
    if _has_files(pipeline, table):
        DeltaTable.forPath(spark, pipeline.table(table)).optimize().executeCompaction()


def delete_files(spark: SparkSession, pipeline: Pipeline, table: str) -> None:
    """Delete the table's files that no version of the last `upkeep.keep` has. None may be being written.

    Delta takes that time from the table: what its vacuum is told in hours is ignored, unless it rounds to none.
    """
    if not _has_files(pipeline, table):
        return
    path, kept = pipeline.table(table), f"interval {pipeline.upkeep.keep}"
    found = DeltaTable.forPath(spark, path)
    if found.detail().collect()[0]["properties"].get(_RETENTION) != kept:
        spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('{_RETENTION}' = '{kept}')")
    found.vacuum()


def _has_files(pipeline: Pipeline, table: str) -> bool:
    """Whether there is anything to look after: of an empty table, too, either takes 2 s of CPU."""
    return any(Path(pipeline.table(table)).glob("*.parquet"))
