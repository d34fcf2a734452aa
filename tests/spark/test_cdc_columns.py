"""The Spark reader over captured, poisonous and spoiled messages: as expected, and as the plain reader says."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

import pytest

from fixtures.expected import EXPECTED, captured
from fixtures.mutations import spoiled
from fixtures.poison import GOOD, corpus, text
from fixtures.readers import Message, python_answer, records_of, spark_answers, without_nulls
from fraudstream.cdc.columns import OTHER, connector_events
from fraudstream.cdc.shape import MOVED_HEADERS
from fraudstream.config import load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.rulebook.payload import NULL
from fraudstream.streams.frames import read_frame
from fraudstream.streams.rule_query import bucketed_rows, entry_counts

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
    assert min(entries[entry] for entry in (*ENTERING, "ignored")) >= 20, entries


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
def rows(spark, messages, tmp_path_factory):
    """The projection of a stateful rule's query over all messages."""
    pipeline = load_pipeline()
    rules_file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    rules_file.write_text("anomaly: {}")
    (rule,) = load_rules(rules_file)
    events = connector_events(records_of(spark, list(messages.values())), pipeline.max_message_bytes)
    return bucketed_rows(events.observe("input", *entry_counts()), rule, pipeline)


def test_the_rows_of_a_rule_are_those_of_the_plain_reader(rows, readings):
    batch, counts = read_frame(rows.toArrow().to_pandas(), load_pipeline().max_message_bytes)
    expected = [reading.python | {"offset": offset} for offset, reading in enumerate(readings.values())]
    names = [name for name in batch if name not in ("partition", "judge")]
    columns = zip(*(batch[name].tolist() for name in ("judge", *names)), strict=True)
    found = {values[names.index("offset") + 1]: values for values in columns}
    assert found == {
        said["offset"]: (
            said["entry"] == "judge",
            *(said.get(name, None if name == "card_type" else NULL) for name in names),
        )
        for said in expected
        if said["entry"] in ENTERING
    }
    others = [reading.python["entry"] for reading in readings.values() if reading.connector["entry"] == OTHER]
    assert counts == {entry: others.count(entry) for entry in OUTSIDE}


def test_a_rule_parses_a_message_once_in_compiled_code(rows):
    plan = rows._jdf.queryExecution().executedPlan().toString()
    assert plan.count("from_json(") == 1
    projections = re.findall(r"^\W*(?:\*\(\d+\) )?Project\b", plan, re.MULTILINE)
    assert projections
    assert [each for each in projections if "*(" not in each] == []
