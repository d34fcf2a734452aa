"""Which change wins in the mirror, within a batch and over batches."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from fraudstream.cdc.columns import connector_events
from fraudstream.config import load_pipeline
from fraudstream.streams.mirror import mirror_batch
from fraudstream.streams.progress import read_lines
from golden.topics import TOPIC, goldens, pour
from spark.streams import records

pytestmark = pytest.mark.spark
FILES = goldens()
STATED = [golden for golden in FILES if golden.rows is not None]
# A batch of one message takes a second or two: the files about the order of changes are enough.
ORDERED = [golden for golden in STATED if golden.name[:2] in ("22", "31", "33")]


@pytest.fixture
def pipeline(tmp_path: Path):
    plain = load_pipeline()
    return replace(
        plain, kafka=replace(plain.kafka, transactions_topic=TOPIC), lake=str(tmp_path / "lake"),
        progress=str(tmp_path / "progress"),
    )  # fmt: skip


def mirror(spark, pipeline, batches, generation: str = "one") -> None:
    """Run the batches through the mirror as its streaming query would."""
    function = mirror_batch(spark, pipeline, generation)
    for number, batch in enumerate(batches):
        function(connector_events(records(spark, TOPIC, batch), pipeline.max_message_bytes), number)


def current(spark, pipeline) -> dict[int, tuple[int, Decimal]]:
    rows = spark.read.format("delta").load(pipeline.table("transactions")).where("not deleted").collect()
    return {row.id: (row.user_id, row.amount) for row in rows}


def stated(golden) -> dict[int, tuple[int, Decimal]]:
    return {
        number: (user, None if amount is None else Decimal(amount)) for number, (user, amount) in golden.rows.items()
    }


def test_all_stated_rows_in_one_batch(spark, pipeline):
    quiet = [golden for golden in STATED if golden.name != "31_truncate"]  # a truncate takes the other files' rows too
    assert len(quiet) >= 3
    mirror(spark, pipeline, [pour(quiet)])
    assert current(spark, pipeline) == {key: row for golden in quiet for key, row in stated(golden).items()}


@pytest.mark.parametrize("golden", ORDERED, ids=lambda golden: golden.name)
def test_the_mirror_has_the_stated_rows_message_by_message(spark, pipeline, golden):
    mirror(spark, pipeline, [[message] for message in golden.messages])
    assert current(spark, pipeline) == stated(golden)


@pytest.mark.parametrize("golden", ORDERED, ids=lambda golden: golden.name)
def test_the_order_of_the_partitions_changes_nothing(spark, pipeline, golden):
    partitions = sorted({message.partition for message in golden.messages}, reverse=True)
    mirror(spark, pipeline, [[m for m in golden.messages if m.partition == partition] for partition in partitions])
    assert current(spark, pipeline) == stated(golden)


def test_a_repeated_batch_appends_nothing_twice_and_a_new_generation_does(spark, pipeline):
    golden = next(golden for golden in FILES if golden.name.startswith("26"))
    for _ in range(2):
        mirror(spark, pipeline, [golden.messages])
    quarantine = spark.read.format("delta").load(pipeline.table("quarantine"))
    changes = spark.read.format("delta").load(pipeline.table("transaction_changes"))
    parts = next(iter(read_lines(pipeline.progress, "mirror_transactions")))
    assert quarantine.count() == parts["unreadable"] > 0
    once = changes.count()
    assert once == changes.dropDuplicates(["partition", "offset"]).count() > 0
    mirror(spark, pipeline, [golden.messages], generation="two")
    assert spark.read.format("delta").load(pipeline.table("transaction_changes")).count() == 2 * once
