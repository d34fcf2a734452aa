"""The plain reader over messages that are no change events, or odd ones."""

from __future__ import annotations

import pytest

from fixtures.poison import GOOD, Poison, corpus, text
from fixtures.readers import python_answer
from fraudstream.cdc.envelope import UnreadableMessage, read_change_event

CORPUS = corpus()


def test_names_are_unique():
    assert len({poison.name for poison in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("poison", CORPUS, ids=lambda poison: poison.name)
def test_a_message_is_what_it_is(poison: Poison):
    answer = python_answer((poison.value, ()))
    assert (answer["entry"], answer["reason"]) == (poison.entry, poison.reason)
    if poison.cents is not None:
        assert answer["cents"] == poison.cents


def test_the_bound_of_the_size_is_the_callers():
    value = text(GOOD)
    assert read_change_event(value, max_bytes=len(value)).op == "c"
    with pytest.raises(UnreadableMessage, match=f"larger than {len(value) - 1} bytes"):
        read_change_event(value, max_bytes=len(value) - 1)


def test_a_reader_deep_in_the_stack_reads_as_well():
    def down(levels: int) -> dict:
        return down(levels - 1) if levels else python_answer((text(GOOD), ()))

    assert down(700)["entry"] == "judge"
