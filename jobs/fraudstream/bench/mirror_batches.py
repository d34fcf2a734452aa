"""python -m fraudstream.bench.mirror_batches: fill the mirror's tables by its own batch function, then time batches."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.bench.dataset import PARTITIONS, Columns, DataSet, columns, key
from fraudstream.bench.messages import HEADERS
from fraudstream.bench.mirror_plan import (
    CHECKSUM,
    WARM,
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
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.session import build_session
from fraudstream.streams.mirror import TABLES, mirror_batch

_COPIED = "numTargetRowsCopied"
_COMPACTION = "'delta.autoOptimize.autoCompact' = 'true'"


def main(argv: Sequence[str] | None = None) -> None:
    """Write into the file `--result` what mirror.summary takes. The tables lie in FRAUDSTREAM_HOME/lake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=json.loads, required=True, help="the fields of a Load, as JSON")
    parser.add_argument("--result", type=Path, required=True)
    given = parser.parse_args(argv)
    load, pipeline = Load(**given.load), load_pipeline()
    spark = build_session("mirror_batches")
    found = _measured(spark, pipeline, load, given.result.parent / "records")
    given.result.write_text(json.dumps(found), encoding="utf-8")
    spark.stop()


def _measured(spark: SparkSession, pipeline: Pipeline, load: Load, folder: Path) -> dict[str, Any]:
    data = columns(DataSet(events=load.rows))
    rows = no_rows(data)
    mirror = mirror_batch(spark, pipeline, "bench")
    for name in TABLES if load.compacted else ():
        spark.sql(f"ALTER TABLE delta.`{pipeline.table(name)}` SET TBLPROPERTIES ({_COMPACTION})")
    seconds, changes = [], 0
    for number, batch in enumerate(chain(filling(load), _changes(load, rows))):
        seconds.append(_timed(spark, mirror, _write(data, rows, batch, folder), number))
        changes += batch.changes
        written(rows, batch)
    table, log = (DeltaTable.forPath(spark, pipeline.table(name)) for name in ("transactions", "transaction_changes"))
    history = [row.asDict() for row in table.history().select("operation", "operationMetrics").collect()]
    merges = [int(each["operationMetrics"][_COPIED]) for each in history if each["operation"] == "MERGE"]
    return {
        "fill_s": sum(seconds[: -load.batches - WARM]), "seconds": seconds[-load.batches :],
        "rows_copied": merges[: load.batches], "compactions": sum(each["operation"] == "OPTIMIZE" for each in history),
        "expected": {**checksum(rows), "changes": changes},
        "found": {**table.toDF().selectExpr(*CHECKSUM).collect()[0].asDict(), "changes": log.toDF().count()},
    }  # fmt: skip


def _changes(load: Load, rows: Rows) -> Iterator[Batch]:
    """The batches after the filling; each is planned once `rows` have the one before."""
    random = np.random.default_rng([load.table_rows, load.batch_rows])
    for _ in range(WARM + load.batches):
        yield next_batch(load, rows, random)


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


def _timed(spark: SparkSession, mirror: Callable[[DataFrame, int], None], folder: Path, number: int) -> float:
    """Seconds that the mirror takes for the records in the folder, their parsing included."""
    headers = (F.struct(F.lit(name).alias("key"), F.lit(value).alias("value")) for name, value in HEADERS)
    records = spark.read.parquet(str(folder)).withColumns(
        {"topic": F.lit("bench"), "timestamp": F.current_timestamp(), "headers": F.array(*headers)}
    )
    events = connector_events(records.select(*RECORD_COLUMNS))
    began = time.monotonic()
    mirror(events, number)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
