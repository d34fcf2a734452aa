"""What a batch of the mirror costs does not grow with what came before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from delta.tables import DeltaTable

from fraudstream.bench.dataset import DataSet, columns, key
from fraudstream.bench.mirror_plan import Batch, checksum, messages_of, no_rows, offsets_of, written
from fraudstream.cdc.columns import connector_events
from fraudstream.config import load_pipeline
from fraudstream.streams.mirror import mirror_batch
from golden.topics import TOPIC
from spark.streams import records

pytestmark = pytest.mark.spark
# A batch inserts so many rows, and updates each fifth of so many before them: not of the last batch alone.
NEW, REACH, EVERY = 40, 60, 5
BATCHES = 6


@pytest.fixture
def pipeline(tmp_path: Path):
    return replace(load_pipeline(), lake=str(tmp_path / "lake"), progress=str(tmp_path / "progress"))


def batches(spark) -> Iterator[tuple]:
    """Batches of change events that insert rows and update the newest ones, and what the table must hold after each."""
    data = columns(DataSet(events=10_000))
    rows = no_rows(data)
    for number in range(BATCHES):
        first = number * NEW
        updates = np.arange(max(first - REACH, 0), first, EVERY)
        batch = Batch(np.arange(first, first + NEW), updates, np.zeros(0, np.int64))
        places, values = messages_of(data, rows, batch)
        partition = data.partition[places]
        messages = [
            SimpleNamespace(key=key(user).encode(), value=value.encode(), partition=own, offset=offset, headers=[])
            for user, value, own, offset in zip(
                data.user_id[places].tolist(), values, partition.tolist(), offsets_of(partition, rows).tolist(),
                strict=True,
            )
        ]  # fmt: skip
        written(rows, batch)
        yield connector_events(records(spark, TOPIC, messages)), checksum(rows)


def holds(spark, pipeline) -> dict[str, int]:
    """The part of mirror_plan.checksum that small tables need."""
    table = spark.read.format("delta").load(pipeline.table("transactions"))
    found = table.selectExpr("count(1) as rows", "sum(cast(amount * 100 as long)) as cents").collect()[0]
    return found.asDict()


def test_a_merge_copies_the_rows_near_those_that_it_changes_alone(spark, pipeline, monkeypatch):
    monkeypatch.setattr("fraudstream.streams.mirror._MERGED_ROWS", 10)
    function = mirror_batch(spark, pipeline, "one")
    for number, (events, expected) in enumerate(batches(spark)):
        function(events, number)
        assert holds(spark, pipeline) == {name: expected[name] for name in ("rows", "cents")}
    history = DeltaTable.forPath(spark, pipeline.table("transactions")).history()
    merges = history.where("operation = 'MERGE'").orderBy("version").selectExpr("operationMetrics as metrics").collect()
    copied = [int(row.metrics["numTargetRowsCopied"]) for row in merges]
    # The rows in reach, and of either task those that share a file with the first of them. With one file for all,
    # each MERGE copies all but the updated rows.
    assert len(copied) == BATCHES - 1
    assert max(copied) <= REACH + 2 * 10


def test_a_batch_like_the_last_one_needs_no_code_of_its_own(spark, pipeline):
    """Spark counts the classes that it has compiled. Numbers that rise from batch to batch must not stand in them."""
    compiled = spark._jvm.org.apache.spark.metrics.source.CodegenMetrics.METRIC_COMPILATION_TIME()
    function, counts = mirror_batch(spark, pipeline, "one"), []
    for number, (events, _) in enumerate(batches(spark)):
        function(events, number)
        counts.append(compiled.getCount())
    added = np.diff(counts).tolist()
    assert counts[0] > 0
    assert max(added[1:]) <= 2, f"classes by batch: {added}"  # a snapshot of Delta's log may need one
