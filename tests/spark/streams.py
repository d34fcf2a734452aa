"""Records on disk as Spark's Kafka source would give them, cut into micro-batches by files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from fraudstream.streams.bases import FolderBases

RECORD = (
    "key binary, value binary, topic string, partition int, offset long, timestamp timestamp, "
    "headers array<struct<key: string, value: binary>>"
)


def write_batches(spark: SparkSession, folder: Path, topic: str, batches: Iterable[Sequence[Any]]) -> None:
    """One Parquet file per batch, named and dated so that they are read in this order."""
    for number, batch in enumerate(batches):
        frame = records(spark, topic, batch)
        frame.coalesce(1).write.parquet(str(folder / "written"))
        written = next((folder / "written").glob("*.parquet"))
        (folder / "topic").mkdir(exist_ok=True)
        target = folder / "topic" / f"{number:05}.parquet"
        written.rename(target)
        for rest in (folder / "written").iterdir():
            rest.unlink()
        (folder / "written").rmdir()


def records(spark: SparkSession, topic: str, messages: Sequence[Any]) -> DataFrame:
    """Messages (partition, offset, key, value, headers, timestamp in ms) as a batch of Kafka records."""
    rows = [
        (m.key, m.value, topic, m.partition, m.offset, None, [(name, value) for name, value in m.headers] or None)
        for m in messages
    ]
    return spark.createDataFrame(rows, RECORD)


def stream(spark: SparkSession, folder: Path) -> DataFrame:
    """The files of `write_batches` as a stream, a file a micro-batch."""
    reader = spark.readStream.schema(RECORD).option("maxFilesPerTrigger", 1).option("latestFirst", "false")
    return reader.parquet(str(folder / "topic"))


def eager_bases(folder: Path) -> FolderBases:
    """Bases that states use from their second batch on."""
    return FolderBases(str(folder / "bases"), retained=3, least_rows=0, small_batch=0)
