"""What is written of a batch, which files of the lake are joined, and which deleted."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from delta.tables import DeltaTable

from fraudstream.config import Upkeep, load_pipeline
from fraudstream.streams.progress import read_lines
from fraudstream.streams.tables import create_table
from fraudstream.streams.upkeep import delete_files, join_files, keeping_up

pytestmark = pytest.mark.spark
ROWS = 5


@pytest.fixture
def pipeline(tmp_path: Path):
    return replace(load_pipeline(), lake=str(tmp_path / "lake"), progress=str(tmp_path / "progress"))


def files(pipeline) -> set[str]:
    return {path.name for path in Path(pipeline.table("numbers")).glob("*.parquet")}


def overwrite(spark, pipeline, upkeep: Upkeep) -> list[set[str]]:
    """The table's files after every second one of six batches that replace all of it: files are joined after one, and
    deleted after the next."""
    pipeline, found = replace(pipeline, upkeep=upkeep), []

    def batch(rows, number):
        rows.coalesce(1).write.format("delta").mode("overwrite").save(pipeline.table("numbers"))
        return {}

    function = keeping_up(spark, pipeline, "counting", ["numbers"], batch)
    for number in range(6):
        function(spark.range(ROWS), number)
        found.append(files(pipeline))
    return found[1::2]


def test_files_that_no_kept_version_has_are_deleted_after_the_batch(spark, pipeline):
    found = overwrite(spark, pipeline, Upkeep(every="0 seconds", keep="0 seconds"))
    assert [len(each) for each in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3
    table = DeltaTable.forPath(spark, pipeline.table("numbers"))
    assert sorted(row.id for row in table.toDF().collect()) == [*range(ROWS)]


def test_files_of_versions_that_are_kept_stay(spark, pipeline):
    # Delta's own vacuum rounds it to 0 hours.
    found = overwrite(spark, pipeline, Upkeep(every="0 seconds", keep="10 minutes"))
    assert [len(each) for each in found] == [2, 4, 6]
    old = spark.read.format("delta").option("versionAsOf", 0).load(pipeline.table("numbers"))
    assert old.count() == ROWS


def test_files_are_deleted_once_they_have_been_kept_so_long(spark, pipeline):
    pipeline = replace(pipeline, upkeep=Upkeep(every="1 hour", keep="2 seconds"))
    for _ in range(2):
        spark.range(ROWS).coalesce(1).write.format("delta").mode("overwrite").save(pipeline.table("numbers"))
    limit = time.monotonic() + 30
    while len(files(pipeline)) > 1 and time.monotonic() < limit:
        delete_files(spark, pipeline, "numbers")
    assert len(files(pipeline)) == 1
    assert spark.read.format("delta").load(pipeline.table("numbers")).count() == ROWS


def test_nothing_is_deleted_before_it_is_due(spark, pipeline):
    found = overwrite(spark, pipeline, Upkeep(every="1 hour", keep="0 seconds"))
    assert [len(each) for each in found] == [2, 4, 6]


@pytest.fixture
def works(monkeypatch) -> list[str]:
    """What is done for which table, in its order, instead of doing it."""
    found: list[str] = []
    for name in ("join_files", "delete_files"):
        work = partial(lambda name, spark, pipeline, table: found.append(f"{name} {table}"), name)
        monkeypatch.setattr(f"fraudstream.streams.upkeep.{name}", work)
    return found


def test_each_batchs_line_has_its_counts_and_its_time_without_the_upkeep(spark, pipeline, monkeypatch):
    pipeline = replace(pipeline, upkeep=Upkeep(every="2 seconds", keep="0 seconds"))
    now, cared_for = 50.0, []
    monkeypatch.setattr("fraudstream.streams.upkeep.time", SimpleNamespace(monotonic=lambda: now))

    def batch(rows, number):
        nonlocal now
        now += 0.75
        return {"read": rows.count()}

    def join_files(spark, pipeline, table):
        nonlocal now
        now += 5
        cared_for.append(table)

    monkeypatch.setattr("fraudstream.streams.upkeep.join_files", join_files)
    function = keeping_up(spark, pipeline, "counting", ["numbers"], batch)
    for number in range(3):
        function(spark.range(ROWS + number), number)
    lines = read_lines(pipeline.progress, "counting")
    assert [(line["batch_id"], line["read"], line["duration_ms"]) for line in lines] == [
        (0, 5, 750), (1, 6, 750), (2, 7, 750),
    ]  # fmt: skip
    assert cared_for == ["numbers"]


def test_other_writers_of_a_table_wait_while_it_is_looked_after(spark, pipeline, works):
    pipeline = replace(pipeline, upkeep=Upkeep(every="0 seconds", keep="0 seconds"))

    @contextmanager
    def alone(path):
        works.append(f"lock {Path(path).name}")
        yield
        works.append("free")

    function = keeping_up(spark, pipeline, "counting", ["a", "b"], lambda *_: {}, alone)
    for number in range(3):
        function(spark.range(1), number)
    assert works == [
        "lock a", "join_files a", "free", "lock a", "delete_files a", "free", "lock b", "join_files b", "free",
    ]  # fmt: skip


def test_all_is_done_once_in_the_time_that_is_set_and_one_thing_after_a_batch(spark, pipeline, works, monkeypatch):
    pipeline = replace(pipeline, upkeep=Upkeep(every="12 seconds", keep="0 seconds"))
    now, done = 50.0, []
    monkeypatch.setattr("fraudstream.streams.upkeep.time", SimpleNamespace(monotonic=lambda: now))
    function = keeping_up(spark, pipeline, "counting", ["a", "b", "c"], lambda *_: {})
    for number in range(16):
        now += 1
        function(spark.range(1), number)
        done.append(len(works))
    one_by_one = [f"{work} {table}" for table in "abc" for work in ("join_files", "delete_files")]
    assert works == [*one_by_one, *one_by_one[:2]]
    assert done == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8]


def test_a_table_without_files_is_left_alone(spark, pipeline):
    create_table(spark, pipeline.table("numbers"), "id long")
    table = DeltaTable.forPath(spark, pipeline.table("numbers"))
    join_files(spark, pipeline, "numbers")
    delete_files(spark, pipeline, "numbers")
    assert table.history().count() == 1
    spark.range(1).coalesce(1).write.format("delta").mode("append").save(pipeline.table("numbers"))
    delete_files(spark, pipeline, "numbers")
    assert table.history().count() > 2, "Delta notes what is done"


def test_small_files_are_joined_with_their_rows_as_they_are(spark, pipeline):
    pipeline = replace(pipeline, upkeep=Upkeep(every="0 seconds", keep="0 seconds"))

    def batch(rows, number):
        rows.repartition(4).write.format("delta").mode("append").save(pipeline.table("numbers"))
        return {}

    function = keeping_up(spark, pipeline, "counting", ["numbers"], batch)
    for number in range(2):
        function(spark.range(20 * number, 20 * number + 20), number)
    assert len(files(pipeline)) <= 1 + 4, "the first batch's, joined, and the second one's"
    found = spark.read.format("delta").load(pipeline.table("numbers"))
    assert sorted(row.id for row in found.collect()) == [*range(40)]
