"""A state value as text: the same bytes come back, and the text is ASCII of the length that is promised."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from fraudstream.streams.state_value import as_text, joined, of_text, separated


@given(st.binary(max_size=300))
def test_the_bytes_come_back(value: bytes):
    text = as_text(value)
    assert text.isascii()
    assert len(text) == len(value) + 4 * ceil(len(value) / 24)
    assert of_text(text) == value


def test_every_octet_comes_back_at_every_place():
    value = bytes(range(256)) * 9
    assert of_text(as_text(value)) == value


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_the_values_of_rules_that_share_a_query_come_back_in_order(values: list[bytes]):
    assert separated(joined(values), len(values)) == values


def test_a_rules_value_alone_is_as_it_is():
    assert joined([b"\x01\x81"]) == b"\x01\x81"


def test_a_text_worked_out_by_hand():
    # 0x01 and 0x81 differ in the eighth bit alone: 1, 1, then the bits 01 and six of filling, 0x40, in base64.
    assert as_text(b"\x01\x81") == "\x01\x01QA=="
