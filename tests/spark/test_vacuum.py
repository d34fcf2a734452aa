"""Which files of the lake are deleted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from delta.tables import DeltaTable

from fraudstream.config import Vacuum, load_pipeline
from fraudstream.streams.vacuum import vacuuming

pytestmark = pytest.mark.spark
ROWS = 5


@pytest.fixture
def pipeline(tmp_path: Path):
    return replace(load_pipeline(), lake=str(tmp_path / "lake"))


def files(pipeline) -> set[str]:
    return {path.name for path in Path(pipeline.table("numbers")).glob("*.parquet")}


def overwrite(spark, pipeline, vacuum: Vacuum) -> list[set[str]]:
    """The table's files after each of three batches that replace all of it."""
    pipeline, found = replace(pipeline, vacuum=vacuum), []

    def batch(rows, number):
        rows.coalesce(1).write.format("delta").mode("overwrite").save(pipeline.table("numbers"))

    function = vacuuming(spark, pipeline, ["numbers"], batch)
    for number in range(3):
        function(spark.range(ROWS), number)
        found.append(files(pipeline))
    return found


def test_files_that_no_kept_version_has_are_deleted_after_the_batch(spark, pipeline):
    found = overwrite(spark, pipeline, Vacuum(every="0 seconds", keep="0 seconds"))
    assert [len(each) for each in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3
    table = DeltaTable.forPath(spark, pipeline.table("numbers"))
    assert sorted(row.id for row in table.toDF().collect()) == [*range(ROWS)]


def test_files_of_versions_that_are_kept_stay(spark, pipeline):
    found = overwrite(spark, pipeline, Vacuum(every="0 seconds", keep="1 hour"))
    assert [len(each) for each in found] == [1, 2, 3]
    old = spark.read.format("delta").option("versionAsOf", 0).load(pipeline.table("numbers"))
    assert old.count() == ROWS


def test_nothing_is_deleted_before_it_is_due(spark, pipeline):
    found = overwrite(spark, pipeline, Vacuum(every="1 hour", keep="0 seconds"))
    assert [len(each) for each in found] == [1, 2, 3]
