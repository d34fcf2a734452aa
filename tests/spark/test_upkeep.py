"""What is written of a batch, which files of the lake are joined, and which deleted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from delta.tables import DeltaTable

from fraudstream.config import Upkeep, load_pipeline
from fraudstream.streams.progress import read_lines
from fraudstream.streams.upkeep import keeping_up

pytestmark = pytest.mark.spark
ROWS = 5


@pytest.fixture
def pipeline(tmp_path: Path):
    return replace(load_pipeline(), lake=str(tmp_path / "lake"), progress=str(tmp_path / "progress"))


def files(pipeline) -> set[str]:
    return {path.name for path in Path(pipeline.table("numbers")).glob("*.parquet")}


def overwrite(spark, pipeline, upkeep: Upkeep) -> list[set[str]]:
    """The table's files after each of three batches that replace all of it."""
    pipeline, found = replace(pipeline, upkeep=upkeep), []

    def batch(rows, number):
        rows.coalesce(1).write.format("delta").mode("overwrite").save(pipeline.table("numbers"))
        return {}

    function = keeping_up(spark, pipeline, "counting", ["numbers"], batch)
    for number in range(3):
        function(spark.range(ROWS), number)
        found.append(files(pipeline))
    return found


def test_files_that_no_kept_version_has_are_deleted_after_the_batch(spark, pipeline):
    found = overwrite(spark, pipeline, Upkeep(every="0 seconds", keep="0 seconds"))
    assert [len(each) for each in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3
    table = DeltaTable.forPath(spark, pipeline.table("numbers"))
    assert sorted(row.id for row in table.toDF().collect()) == [*range(ROWS)]


def test_files_of_versions_that_are_kept_stay(spark, pipeline):
    found = overwrite(spark, pipeline, Upkeep(every="0 seconds", keep="1 hour"))
    assert [len(each) for each in found] == [1, 2, 3]
    old = spark.read.format("delta").option("versionAsOf", 0).load(pipeline.table("numbers"))
    assert old.count() == ROWS


def test_nothing_is_deleted_before_it_is_due(spark, pipeline):
    found = overwrite(spark, pipeline, Upkeep(every="1 hour", keep="0 seconds"))
    assert [len(each) for each in found] == [1, 2, 3]


def test_each_batchs_line_has_its_counts_and_its_time_without_the_upkeep(spark, pipeline, monkeypatch):
    pipeline = replace(pipeline, upkeep=Upkeep(every="1 second", keep="0 seconds"))
    now, cared_for = 50.0, []
    monkeypatch.setattr("fraudstream.streams.upkeep.time", SimpleNamespace(monotonic=lambda: now))

    def batch(rows, number):
        nonlocal now
        now += 0.75
        return {"read": rows.count()}

    def look_after(spark, path, keep):
        nonlocal now
        now += 5
        cared_for.append(path)

    monkeypatch.setattr("fraudstream.streams.upkeep.look_after", look_after)
    function = keeping_up(spark, pipeline, "counting", ["numbers"], batch)
    for number in range(4):
        function(spark.range(ROWS + number), number)
    lines = read_lines(pipeline.progress, "counting")
    assert [(line["batch_id"], line["read"], line["duration_ms"]) for line in lines] == [
        (0, 5, 750), (1, 6, 750), (2, 7, 750), (3, 8, 750),
    ]  # fmt: skip
    assert cared_for == [pipeline.table("numbers")] * 2


def test_other_writers_of_a_table_wait_while_it_is_looked_after(spark, pipeline, monkeypatch):
    pipeline, seen = replace(pipeline, upkeep=Upkeep(every="0 seconds", keep="0 seconds")), []

    @contextmanager
    def alone(path):
        seen.append(f"lock {Path(path).name}")
        yield
        seen.append("free")

    monkeypatch.setattr("fraudstream.streams.upkeep.look_after", lambda _, path, keep: seen.append(Path(path).name))
    keeping_up(spark, pipeline, "counting", ["a", "b"], lambda *_: {}, alone)(spark.range(1), 0)
    assert seen == ["lock a", "a", "free", "lock b", "b", "free"]


def test_small_files_are_joined_with_their_rows_as_they_are(spark, pipeline):
    pipeline = replace(pipeline, upkeep=Upkeep(every="0 seconds", keep="0 seconds"))

    def batch(rows, number):
        rows.repartition(4).write.format("delta").mode("append").save(pipeline.table("numbers"))
        return {}

    keeping_up(spark, pipeline, "counting", ["numbers"], batch)(spark.range(40), 0)
    assert len(files(pipeline)) == 1
    found = spark.read.format("delta").load(pipeline.table("numbers"))
    assert sorted(row.id for row in found.collect()) == [*range(40)]
