"""python -m fraudstream.bench.mirror_batches: fill the mirror's tables by its own batch function, then time batches and
the upkeep between them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from fraudstream.bench.dataset import PARTITIONS, Columns, DataSet, columns, key
from fraudstream.bench.lake_batches import look_after, merges, run, timed_batches
from fraudstream.bench.messages import HEADERS
from fraudstream.bench.mirror_plan import (
    CHECKSUM,
    Batch,
    Load,
    Rows,
    checksum,
    filling,
    messages_of,
    next_batch,
    no_rows,
    offsets_of,
    written,
)
from fraudstream.cdc.columns import RECORD_COLUMNS, connector_events
from fraudstream.config import Pipeline
from fraudstream.streams.mirror import TABLES, mirror_batch
from fraudstream.streams.upkeep import CountedBatch


def main(argv: Sequence[str] | None = None) -> None:
    """Write into the file `--result` what mirror.summary takes. The tables lie in FRAUDSTREAM_HOME/lake."""
    run("mirror_batches", __doc__, _measured, argv)


def _measured(spark: SparkSession, pipeline: Pipeline, load: Load, folder: Path) -> dict[str, Any]:
    data = columns(DataSet(events=load.rows))
    mirror = _Mirror(spark, data, no_rows(data), folder, mirror_batch(spark, pipeline, "bench"))
    fill_s = sum(mirror.write(batch) for batch in filling(load))
    look_after(spark, pipeline, [*TABLES])
    random = np.random.default_rng([load.table_rows, load.batch_rows])
    timed = timed_batches(spark, pipeline, load, [*TABLES], lambda: mirror.write(next_batch(load, mirror.rows, random)))
    table, log = (DeltaTable.forPath(spark, pipeline.table(name)) for name in ("transactions", "transaction_changes"))
    return {
        "fill_s": fill_s, **timed,
        "trigger_s": pd.Timedelta(pipeline.triggers.mirror_transactions).total_seconds(),
        **merges(table, load.batches),
        "expected": {**checksum(mirror.rows), "changes": mirror.changes},
        "found": {**table.toDF().selectExpr(*CHECKSUM).collect()[0].asDict(), "changes": log.toDF().count()},
    }  # fmt: skip


@dataclass
class _Mirror:
    """The mirror's tables, written by its own function; `rows` and `changes` are what they must hold."""

    spark: SparkSession
    data: Columns
    rows: Rows
    folder: Path
    function: CountedBatch
    changes: int = 0
    batches: int = 0

    def write(self, batch: Batch) -> float:
        """Seconds that the function takes for a batch."""
        records = _write(self.data, self.rows, batch, self.folder)
        seconds = _timed(self.spark, self.function, records, self.batches)
        self.batches += 1
        self.changes += batch.changes
        written(self.rows, batch)
        return seconds


def _write(data: Columns, rows: Rows, batch: Batch, folder: Path) -> Path:
    """The batch's records as Parquet, a file for each partition: the source has a task for each, too."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    places, messages = messages_of(data, rows, batch)
    partition = data.partition[places]
    table = pa.table({
        "key": pa.array([key(user).encode() for user in data.user_id[places].tolist()]),
        "value": pa.array([message.encode() for message in messages]),
        "partition": pa.array(partition, pa.int32()), "offset": offsets_of(partition, rows),
    })  # fmt: skip
    for number in range(PARTITIONS):
        own = table.take(pa.array(np.flatnonzero(partition == number)))
        pyarrow.parquet.write_table(own, folder / f"{number}.parquet")
    return folder


def _timed(spark: SparkSession, mirror: CountedBatch, folder: Path, number: int) -> float:
    """Seconds that the mirror takes for the records in the folder, their parsing included."""
    headers = (F.struct(F.lit(name).alias("key"), F.lit(value).alias("value")) for name, value in HEADERS)
    records = spark.read.parquet(str(folder)).withColumns(
        {"topic": F.lit("bench"), "timestamp": F.timestamp_millis(F.lit(0)), "headers": F.array(*headers)}
    )
    events = connector_events(records.select(*RECORD_COLUMNS))
    began = time.monotonic()
    mirror(events, number)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
