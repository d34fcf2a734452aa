"""The source "fraudstream-columns": the rows of a topic that enter a rule's histories, packed by bucket, and counts.

It takes the options of Spark's own Kafka source (kafka.*, subscribe, startingOffsets, maxOffsetsPerTrigger), and writes
offsets as that does. To catch up its batches grow beyond maxOffsetsPerTrigger, to largestBatch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadLimit, SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from fraudstream.masking import Mask
from fraudstream.streams.columnar.offsets import limited, ranges, require_growth
from fraudstream.streams.columnar.packing import SCHEMA, Packing, Part, packed_batches
from fraudstream.streams.columnar.size import BatchSize
from fraudstream.streams.worker import prepare_worker
from fraudstream.wire.client import client_of
from fraudstream.wire.cluster import offsets_of, require_same, topic_of
from fraudstream.wire.reading import Range, read_range
from fraudstream.wire.requests import ANY, COMMITTED, EARLIEST, LATEST, Topic

NAME = "fraudstream-columns"
_FRESH = 5.0  # seconds; records are fetched by the topic's id, so that none of another topic are read meanwhile


@dataclass(frozen=True)
class Task(InputPartition):
    """What one task reads."""

    parts: tuple[Range, ...]


class ColumnarSource(DataSource):
    """The source, for spark.dataSource.register."""

    @classmethod
    def name(cls) -> str:
        """The format's name."""
        return NAME

    def schema(self) -> str:
        """A bucket's rows, and counts of records by entry, which stand in rows without a bucket."""
        return SCHEMA

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        """The reader, in the driver's planning process and in each task."""
        return ColumnarReader(dict(self.options))


class ColumnarReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Plans and reads micro-batches."""

    def __init__(self, options: Mapping[str, str]) -> None:
        """`options`: those of the source, and of the pipeline: largestBatch, key, buckets, partitions, maxBytes,
        maskingKeyFile and maskingKey, its fingerprint."""
        given = {name.lower(): value for name, value in options.items()}
        self._options = given
        self._topic = given["subscribe"]
        isolation = given.get("kafka.isolation.level", "read_uncommitted")
        self._isolation = COMMITTED if isolation == "read_committed" else ANY
        self._size = BatchSize(int(given.get("maxoffsetspertrigger", sys.maxsize)), int(given["largestbatch"]))
        self._known: Topic | None = None
        self._asked = 0.0
        self._last: dict[int, int] | None = None  # with Trigger.AvailableNow: where the query ends

    def initialOffset(self) -> dict[str, Any]:
        """Where a query without a checkpoint begins."""
        found = self._offsets(EARLIEST)
        text = self._options.get("startingoffsets", "earliest")
        chosen = {} if text == "earliest" else json.loads(text)[self._topic]
        return self._written(found | {int(partition): offset for partition, offset in chosen.items()})

    def latestOffset(self, start: dict[str, Any], limit: ReadLimit) -> dict[str, Any]:
        """Where the next batch ends. Asked for when the last one is done."""
        self._size.end(time.monotonic())
        begin = self._read(start)
        end = self._offsets(LATEST)
        require_growth(self._topic, begin, end)
        if self._last is not None:
            end = {partition: min(offset, self._last.get(partition, 0)) for partition, offset in end.items()}
            end = {partition: max(offset, begin.get(partition, 0)) for partition, offset in end.items()}
        found = limited(begin, end, self._size.records)
        self._size.begin(time.monotonic(), full=found != end)
        return self._written(found)

    def getDefaultReadLimit(self) -> ReadLimit:
        """None of Spark's: latestOffset knows how large a batch may be."""
        return ReadAllAvailable()

    def prepareForTriggerAvailableNow(self) -> None:
        """From now on the topic ends where it ends now."""
        self._last = self._offsets(LATEST)

    def reportLatestOffset(self) -> dict[str, Any] | None:
        """Where the topic ends, for the query's report: not asked for once more."""
        return None

    def partitions(self, start: dict[str, Any], end: dict[str, Any]) -> list[InputPartition]:
        """The tasks of a batch."""
        topic, tasks = self._current(), int(self._options["partitions"])
        work = ranges(self._topic, topic.id, topic.leaders, self._read(start), self._read(end), tasks)
        return [Task(tuple(parts)) for parts in work]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The task's rows, packed."""
        assert isinstance(partition, Task)
        return read_task(self._options, partition, self._isolation)

    def _offsets(self, at: int) -> dict[int, int]:
        client = client_of(self._options)
        known = self._current()
        topic, found = offsets_of(client, self._topic, at, self._isolation, known)
        if topic is not known:
            self._keep(topic)
        return found

    def _current(self) -> Topic:
        """The topic as it was some seconds ago at most: an idle query asks for its end 20 times a second."""
        if self._known is None or time.monotonic() - self._asked > _FRESH:
            self._keep(topic_of(client_of(self._options), self._topic))
        assert self._known is not None
        return self._known

    def _keep(self, topic: Topic) -> None:
        if self._known is not None and topic.id != self._known.id:
            require_same(client_of(self._options), self._topic, self._known.id)
        self._known, self._asked = topic, time.monotonic()

    def _written(self, offsets: Mapping[int, int]) -> dict[str, Any]:
        return {self._topic: {str(partition): offsets[partition] for partition in sorted(offsets)}}

    def _read(self, offset: Mapping[str, Any]) -> dict[int, int]:
        return {int(partition): number for partition, number in offset[self._topic].items()}


def read_task(options: Mapping[str, str], task: Task, isolation: int) -> Iterator[pa.RecordBatch]:
    """The task's records, packed."""
    prepare_worker()
    client, key_file = client_of(options), options["maskingkeyfile"]
    packing = Packing(
        key=options["key"], buckets=int(options["buckets"]), partitions=int(options["partitions"]),
        max_bytes=int(options["maxbytes"]), mask=Mask(key_file, options["maskingkey"]) if key_file else None,
    )  # fmt: skip
    parts = (
        Part(each.partition, records)
        for each in task.parts
        for records in read_range(client, each, isolation)
        if len(records)
    )
    return packed_batches(parts, packing)
