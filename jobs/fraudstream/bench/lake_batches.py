"""What the drivers share that time the batch functions of the lake's tables."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from fraudstream.bench.mirror_plan import WARM, Load
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.session import build_session
from fraudstream.streams.upkeep import delete_files, join_files

# Nothing here becomes an hour old, as files are that conf/ has deleted: then no deleting would be measured.
_KEEP = "0 seconds"
_MERGE = (
    "cast(operationMetrics.numTargetRowsCopied as long) as copied",
    "cast(operationMetrics.executionTimeMs as long) / 1000 as seconds",
)


def run(
    name: str,
    description: str | None,
    measured: Callable[[SparkSession, Pipeline, Load, Path], dict[str, Any]],
    argv: Sequence[str] | None,
) -> None:
    """A driver's command line: write what `measured` tells of a load into the file `--result`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--load", type=json.loads, required=True, help="the fields of a Load, as JSON")
    parser.add_argument("--result", type=Path, required=True)
    given = parser.parse_args(argv)
    pipeline = load_pipeline()
    pipeline = replace(pipeline, upkeep=replace(pipeline.upkeep, keep=_KEEP))
    spark = build_session(name)
    found = measured(spark, pipeline, Load(**given.load), given.result.parent / "records")
    given.result.write_text(json.dumps(found), encoding="utf-8")
    spark.stop()


def timed_batches(
    spark: SparkSession, pipeline: Pipeline, load: Load, tables: Sequence[str], write: Callable[[], float]
) -> dict[str, list[Any]]:
    """Of the load's batches, each written by `write`, which returns its seconds: seconds and files_added of those
    behind the first WARM, and pieces_s of each upkeep of the tables among all (look_after)."""
    seconds, added, pieces_s = [], [], []
    for number in range(1, WARM + load.batches + 1):
        before = _files_of(pipeline, tables)
        seconds.append(write())
        added.append(_files_of(pipeline, tables) - before)
        if number % load.upkeep_every == 0:
            pieces_s.append(look_after(spark, pipeline, tables))
    return {"seconds": seconds[WARM:], "files_added": added[WARM:], "pieces_s": pieces_s}


def look_after(spark: SparkSession, pipeline: Pipeline, tables: Sequence[str]) -> list[float]:
    """Seconds of each piece of the tables' upkeep, of which their query does one after a batch."""
    found = []
    for name in tables:
        for work in (join_files, delete_files):
            began = time.monotonic()
            work(spark, pipeline, name)
            found.append(time.monotonic() - began)
    return found


def _files_of(pipeline: Pipeline, tables: Sequence[str]) -> int:
    """How many files of rows there are on the disk, those that were replaced among them."""
    return sum(1 for name in tables for _ in Path(pipeline.table(name)).glob("*.parquet"))


def merges(table: DeltaTable, last: int) -> dict[str, list[float]]:
    """rows_copied (unchanged ones) and merge_s of so many last MERGEs, by the table's own log."""
    found = table.history().where("operation = 'MERGE'").selectExpr(*_MERGE).limit(last).collect()
    return {"rows_copied": [row.copied for row in found], "merge_s": [row.seconds for row in found]}
