"""The Spark reader over captured, poisonous and spoiled messages: as expected, and as the plain reader says."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

import pytest
from pyspark.sql import functions as F

from fixtures.expected import EXPECTED, captured
from fixtures.mutations import spoiled
from fixtures.poison import GOOD, corpus, text
from fixtures.readers import Message, python_answer, records_of, spark_answers, without_nulls
from fraudstream.cdc.columns import OTHER, connector_events
from fraudstream.cdc.matching import ENTRIES
from fraudstream.cdc.shape import MOVED_HEADERS
from fraudstream.config import load_pipeline
from fraudstream.rulebook.payload import NULL
from fraudstream.streams.buckets import bucket_ids, buckets_of
from fraudstream.streams.columnar.pack import unpack
from fraudstream.streams.columnar.packing import Packing
from fraudstream.streams.columnar.records import packed_records

pytestmark = pytest.mark.spark
ENTERING = ("judge", "history")
OUTSIDE = ("unjudged", "unreadable", "ignored")


class Reading(NamedTuple):
    """What the plain reader and `change_events` say of a message, and its row of `connector_events`."""

    message: Message
    python: dict[str, Any]
    spark: dict[str, Any]
    connector: dict[str, Any]


@pytest.fixture(scope="module")
def messages() -> dict[str, Message]:
    """All of them by name: "captured form-number", "poison name" and "spoiled number"."""
    found: dict[str, Message] = {
        f"captured {form}-{number}": (message.value, message.headers)
        for form in EXPECTED
        for number, message in enumerate(captured(form))
    }
    found |= {f"poison {poison.name}": (poison.value, []) for poison in corpus()}
    found |= {f"moved {header}": (text(GOOD), [(header, b"{}")]) for header in MOVED_HEADERS}
    return found | {f"spoiled {number}": message for number, message in enumerate(spoiled(3000))}


@pytest.fixture(scope="module")
def readings(spark, messages) -> dict[str, Reading]:
    """What is said of each message."""
    known = connector_events(records_of(spark, list(messages.values()))).orderBy("offset").collect()
    said = spark_answers(spark, list(messages.values()))
    return {
        name: Reading(message, python_answer(message), answer, row.asDict())
        for (name, message), answer, row in zip(messages.items(), said, known, strict=True)
    }


@pytest.mark.parametrize("kind", ["captured", "poison", "moved", "spoiled"])
def test_both_readers_say_the_same(readings, kind):
    of_kind = {name: reading for name, reading in readings.items() if name.startswith(kind)}
    assert {name: reading for name, reading in of_kind.items() if reading.spark != reading.python} == {}


def test_a_captured_message_says_what_its_sql_did(readings):
    names = ("id", "user_id", "cents", "card_type", "merchant_id", "created_at")
    for form, expected in EXPECTED.items():
        for number, said in enumerate(expected):
            name = f"captured {form}-{number}"
            answer = readings[name].spark
            assert (answer["entry"], answer["reason"]) == (said.entry, said.reason), name
            row = dict(zip(names, said.row, strict=True)) if said.row else {}
            assert {key: answer.get(key) for key in names} == {**dict.fromkeys(names), **row}, name
            if said.entry != "unreadable":
                before = (answer["before_id"], answer["before_user_id"]) if "before_id" in answer else None
                found = (answer["op"], before, answer["moved"], answer["snapshot"])
                assert found == (said.op, said.before, said.moved, said.snapshot), name


def test_a_poison_message_is_what_it_is(readings):
    for poison in corpus():
        answer = readings[f"poison {poison.name}"].spark
        assert (answer["entry"], answer["reason"]) == (poison.entry, poison.reason), poison.name
        if poison.cents is not None:
            assert answer["cents"] == poison.cents, poison.name


def test_the_spoiled_messages_are_of_every_entry(readings):
    entries = Counter(reading.python["entry"] for name, reading in readings.items() if name.startswith("spoiled"))
    assert min(entries[entry] for entry in (*ENTERING, *OUTSIDE)) >= 20, entries


def test_a_message_of_the_connectors_form_is_read_as_by_the_plain_reader(readings):
    known = {name: reading for name, reading in readings.items() if reading.connector["entry"] != OTHER}
    wrong = {name: read for name, read in known.items() if without_nulls(read.connector) != read.python}
    assert wrong == {}
    entries = Counter(reading.python["entry"] for reading in known.values())
    assert min(entries[entry] for entry in (*ENTERING, "ignored")) >= 5, entries


def test_half_a_key_change_in_the_connectors_form_is_ignored(readings):
    halves = [reading.connector for name, reading in readings.items() if name.startswith("moved")]
    assert [(half["entry"], half["op"], half["moved"]) for half in halves] == [("ignored", "c", True)] * 2


def test_a_message_of_another_form_goes_to_the_bucket_of_its_row(readings):
    others = {name: reading for name, reading in readings.items() if reading.connector["entry"] == OTHER}
    entering = {name: reading for name, reading in others.items() if reading.python["entry"] in ENTERING}
    wrong = {
        name: reading
        for name, reading in entering.items()
        for key in ("user_id", "merchant_id")
        if reading.connector[key] != reading.python.get(key)
    }
    assert wrong == {}
    assert min(Counter(reading.python["entry"] for reading in entering.values()).values()) >= 20
    for name, (message, _, _, row) in others.items():
        is_moved = any(header in MOVED_HEADERS for header, _ in message[1])
        assert (bytes(row["value"]), row["moved"]) == (message[0], is_moved), name


@pytest.fixture(scope="module")
def packed(spark, messages):
    """The rows of all messages as a rule with state gets them, by the place of their message; and the counts. Arrow
    hands over the messages a few at a time, and of two partitions by turns."""
    records = records_of(spark, list(messages.values()))
    spread = records.withColumn("partition", (F.col("offset") / 3).cast("int") % 2)
    packing = Packing("user_id", buckets=6, partitions=2, max_bytes=load_pipeline().max_message_bytes, mask=None)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 1000)
    try:
        found = packed_records(spread.coalesce(1), packing).collect()
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    counts = {name: sum(row[name] for row in found) for name in ("read", *ENTRIES)}
    return [(row.bucket, unpack([bytes(row.packed)])) for row in found if row.bucket is not None], counts


def test_the_rows_of_a_rule_are_those_of_the_plain_reader(packed, readings):
    expected = {
        offset: reading.python | {"offset": offset, "partition": offset // 3 % 2}
        for offset, reading in enumerate(readings.values())
        if reading.python["entry"] in ENTERING
    }
    found = {}
    for _, batch in packed[0]:
        columns = {name: column.tolist() for name, column in batch.items()}
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        assert not found.keys() & {row["offset"] for row in rows}
        found |= {row["offset"]: row for row in rows}
    names = [name for name in found[min(found)] if name != "judge"]
    assert {"partition", "offset", "user_id", "cents", "card_type"} < {*names}
    assert found == {
        offset: {
            "judge": said["entry"] == "judge",
            **{name: said.get(name, None if name == "card_type" else NULL) for name in names},
        }
        for offset, said in expected.items()
    }
    assert len(found) >= 500


def test_every_message_is_counted_by_its_entry(packed, readings):
    entries = Counter(reading.python["entry"] for reading in readings.values())
    assert packed[1] == {"read": len(readings), **entries}


def test_a_row_is_in_the_bucket_of_its_user(packed):
    ids = bucket_ids(6, 2)
    places = [(ids.index(bucket), buckets_of(batch["user_id"], 6).tolist()) for bucket, batch in packed[0]]
    assert [place for place, found in places if {*found} != {place}] == []
    assert len({place for place, _ in places}) >= 3


def test_a_message_is_parsed_once_in_compiled_code(spark, messages):
    events = connector_events(records_of(spark, list(messages.values())))
    plan = events._jdf.queryExecution().executedPlan().toString()
    assert plan.count("from_json(") == 1
    projections = re.findall(r"^\W*(?:\*\(\d+\) )?Project\b", plan, re.MULTILINE)
    assert projections
    assert [each for each in projections if "*(" not in each] == []
