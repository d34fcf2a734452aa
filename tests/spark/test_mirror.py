"""Which change wins in the mirror, within a batch and over batches."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest

from fraudstream.cdc.columns import connector_events
from fraudstream.config import load_pipeline
from fraudstream.streams.mirror import mirror_batch
from golden.topics import TOPIC, Message, goldens, pour
from spark.streams import records

pytestmark = pytest.mark.spark
FILES = goldens()
STATED = [golden for golden in FILES if golden.rows is not None]
# A batch takes a second or two: the files about the order of changes are enough.
QUIET_ORDERED = [golden for golden in STATED if golden.name[:2] in ("22", "33")]
TRUNCATE = [golden for golden in STATED if golden.name == "31_truncate"]  # it takes the other files' rows too


@pytest.fixture
def pipeline(tmp_path: Path):
    plain = load_pipeline()
    return replace(
        plain, kafka=replace(plain.kafka, transactions_topic=TOPIC), lake=str(tmp_path / "lake"),
        progress=str(tmp_path / "progress"),
    )  # fmt: skip


def mirror(spark, pipeline, batches, generation: str = "one") -> list[dict[str, int]]:
    """Run the batches through the mirror as its streaming query would; what it has counted of each."""
    function = mirror_batch(spark, pipeline, generation)
    events = [connector_events(records(spark, TOPIC, batch), pipeline.max_message_bytes) for batch in batches]
    return [function(each, number) for number, each in enumerate(events)]


def current(spark, pipeline) -> dict[int, tuple[int, Decimal]]:
    rows = spark.read.format("delta").load(pipeline.table("transactions")).where("not deleted").collect()
    return {row.id: (row.user_id, row.amount) for row in rows}


def stated(golden) -> dict[int, tuple[int, Decimal]]:
    return {
        number: (user, None if amount is None else Decimal(amount)) for number, (user, amount) in golden.rows.items()
    }


def in_one_topic(files) -> list[list[Message]]:
    """The messages of each file, with their offsets in the topic that holds all of them."""
    poured = iter(pour(files))
    return [list(islice(poured, len(file.messages))) for file in files]


def test_all_stated_rows_in_one_batch(spark, pipeline):
    quiet = [golden for golden in STATED if golden not in TRUNCATE]
    assert len(quiet) >= 3
    mirror(spark, pipeline, [pour(quiet)])
    assert current(spark, pipeline) == {key: row for golden in quiet for key, row in stated(golden).items()}


@pytest.mark.parametrize("files", [QUIET_ORDERED, TRUNCATE], ids=["changes", "truncate"])
def test_the_mirror_has_the_stated_rows_in_batches_of_two_messages_of_each_file(spark, pipeline, files):
    rest, batches = in_one_topic(files), []
    while any(rest):
        batches.append([message for file in rest for message in file[:2]])
        rest = [file[2:] for file in rest]
    assert len(batches) >= 4
    mirror(spark, pipeline, batches)
    assert current(spark, pipeline) == {key: row for golden in files for key, row in stated(golden).items()}


@pytest.mark.parametrize("files", [QUIET_ORDERED, TRUNCATE], ids=["changes", "truncate"])
def test_the_order_of_the_partitions_changes_nothing(spark, pipeline, files):
    messages = [message for file in in_one_topic(files) for message in file]
    partitions = sorted({message.partition for message in messages}, reverse=True)
    assert len(partitions) >= 2
    mirror(spark, pipeline, [[m for m in messages if m.partition == partition] for partition in partitions])
    assert current(spark, pipeline) == {key: row for golden in files for key, row in stated(golden).items()}


def test_a_batch_that_failed_between_its_new_rows_and_its_changed_ones_leaves_each_row_once_when_repeated(
    spark, pipeline, monkeypatch
):
    """The first 12 messages insert up to row 2100003; the others update or delete such rows, and insert higher ones."""
    quiet = [golden for golden in STATED if golden not in TRUNCATE]
    messages = pour(quiet)
    batches = [connector_events(records(spark, TOPIC, part)) for part in (messages[:12], messages[12:])]
    function = mirror_batch(spark, pipeline, "one")
    function(batches[0], 0)

    def fail(*_):
        raise ConnectionError("the driver is stopped here")

    with monkeypatch.context() as patched:
        patched.setattr("fraudstream.streams.mirror.merge_newest", fail)
        with pytest.raises(ConnectionError):
            function(batches[1], 1)
    half = current(spark, pipeline)
    assert {3200001, 2100002} <= {*half}, f"the new rows are there, and the deleted one still: {half}"
    function(batches[1], 1)
    assert current(spark, pipeline) == {key: row for golden in quiet for key, row in stated(golden).items()}
    rows = spark.read.format("delta").load(pipeline.table("transactions"))
    assert rows.count() == rows.select("id").distinct().count()


def test_a_repeated_batch_appends_nothing_twice_and_a_new_generation_does(spark, pipeline):
    golden = next(golden for golden in FILES if golden.name.startswith("26"))
    (parts,), again = (mirror(spark, pipeline, [golden.messages]) for _ in range(2))
    assert again == [parts]
    quarantine = spark.read.format("delta").load(pipeline.table("quarantine"))
    changes = spark.read.format("delta").load(pipeline.table("transaction_changes"))
    assert quarantine.count() == parts["unreadable"] > 0
    once = changes.count()
    assert once == changes.dropDuplicates(["partition", "offset"]).count() > 0
    mirror(spark, pipeline, [golden.messages], generation="two")
    assert spark.read.format("delta").load(pipeline.table("transaction_changes")).count() == 2 * once
