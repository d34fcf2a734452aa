"""The Spark reader over messages captured from the real connector: as expected, and as the plain reader says."""

from __future__ import annotations

import pytest

from fixtures.expected import EXPECTED, captured
from fixtures.readers import python_answer, spark_answers

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def answers(spark):
    """Form and number -> (what is expected, what Spark says, what Python says)."""
    cases = [
        (f"{form}-{number}", said, (message.value, message.headers))
        for form, expected in EXPECTED.items()
        for number, (message, said) in enumerate(zip(captured(form), expected, strict=True))
    ]
    found = spark_answers(spark, [message for _, _, message in cases])
    return {
        name: (said, answer, python_answer(message)) for (name, said, message), answer in zip(cases, found, strict=True)
    }


def test_both_readers_say_the_same_of_every_captured_message(answers):
    assert {name: spark for name, (_, spark, python) in answers.items() if spark != python} == {}


def test_a_captured_message_says_what_its_sql_did(answers):
    names = ("id", "user_id", "cents", "card_type", "merchant_id", "created_at")
    for name, (said, answer, _) in answers.items():
        assert (answer["entry"], answer["reason"]) == (said.entry, said.reason), name
        row = dict(zip(names, said.row, strict=True)) if said.row else {}
        assert {key: answer.get(key) for key in names} == {**dict.fromkeys(names), **row}, name
        if said.entry != "unreadable":
            before = (answer["before_id"], answer["before_user_id"]) if "before_id" in answer else None
            found = (answer["op"], before, answer["moved"], answer["snapshot"])
            assert found == (said.op, said.before, said.moved, said.snapshot), name
