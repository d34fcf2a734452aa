"""Aligned columns, by their text."""

from __future__ import annotations

from fraudstream.columns import aligned


def test_numbers_stand_at_the_right_and_nothing_is_a_dash():
    lines = aligned(("name", "count", "mean"), [("a", 12345, "1.50"), ("long", None, "-10.25")], indent=" ")
    assert lines == [" name   count    mean", " a     12,345    1.50", " long       -  -10.25"]


def test_a_table_without_rows_is_its_header():
    assert aligned(("a", "b"), []) == ["a  b"]
