"""Checksums of ranges of rows: any change shows, and the mirror's SQL computes what the definition says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.lake import write_table
from fraudstream.audit import checksums
from fraudstream.audit.checksums import FIRST_SHOWN, LAST_SHOWN, Row, differing, of_mirror, of_rows, row_text
from fraudstream.streams.tables import TRANSACTIONS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(
    alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20
) | st.sampled_from(["-", "|", "1:a", "-|1", ""])


@st.composite
def rows(draw) -> Row:
    created = draw(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(FIRST_SHOWN, LAST_SHOWN))
    shown = created if created is not None and FIRST_SHOWN <= created <= LAST_SHOWN else None
    cents = st.integers(-(10**10) + 1, 10**10 - 1)
    return (draw(INT), draw(st.none() | cents), draw(st.none() | TEXT), draw(st.none() | INT), created, shown)


TABLES = st.dictionaries(st.integers(0, 3000), rows(), min_size=1, max_size=12)


def test_ten_rows_by_hand_are_two_ranges():
    row: Row = (7, 1230, "VISA", None, 5, 5)
    assert row_text(12, row) == "12|7|1230|4:VISA|-|5|5"
    found = of_rows([(999, row), (1000, row), (1001, row)])
    assert {place: each.rows for place, each in found.items()} == {0: 1, 1: 2}
    # md5 of "999|7|1230|4:VISA|-|5|5", by md5sum
    assert f"{found[0].high:016x}{found[0].low:016x}" == "afe0b12c7defd0566da294020f00d066"


@given(TABLES, st.data())
def test_a_change_of_one_column_of_one_row_changes_the_checksum(table, data):
    number = data.draw(st.sampled_from(sorted(table)))
    place = data.draw(st.integers(0, 4))
    other = data.draw(rows().filter(lambda row: row[place] != table[number][place]))
    changed = list(table[number])
    changed[place] = other[place]
    assert differing(of_rows(table.items()), of_rows({**table, number: tuple(changed)}.items())) == [number // 1000]


@given(TABLES, st.data())
def test_a_row_that_is_missing_or_doubled_changes_the_checksum(table, data):
    number = data.draw(st.sampled_from(sorted(table)))
    plain = of_rows(table.items())
    assert differing(plain, of_rows(each for each in table.items() if each[0] != number)) == [number // 1000]
    assert differing(plain, of_rows([*table.items(), (number, table[number])])) == [number // 1000]


@given(rows(), rows())
def test_two_rows_that_swap_a_column_do_not_cancel_each_other(one: Row, other: Row):
    for place in range(5):
        if one[place] == other[place]:
            continue
        left, right = list(one), list(other)
        left[place], right[place] = other[place], one[place]
        before, after = of_rows([(1, one), (2, other)]), of_rows([(1, tuple(left)), (2, tuple(right))])
        assert differing(before, after) == [0]


@pytest.mark.parametrize(
    "pair", [((1, None, "-", 1, 1, 1), (1, None, None, 1, 1, 1)), ((1, 1, "1|1", None, 2, 2), (1, 1, "1", 1, 2, 2))]
)
def test_a_null_or_a_bar_in_a_text_is_not_taken_for_something_else(pair):
    assert row_text(1, pair[0]) != row_text(1, pair[1])


@settings(max_examples=15, deadline=None)
@given(table=TABLES)
def test_the_mirrors_sql_computes_the_definition(tmp_path_factory, table):
    path: Path = tmp_path_factory.mktemp("lake") / "transactions"
    write_table(path, TRANSACTIONS, [_stored(number, row) for number, row in table.items()])
    write_table(path, TRANSACTIONS, [{**_stored(5000, (1, 1, "V", 1, 1, 1)), "deleted": True}])
    assert of_mirror(DeltaTable(path), None) == of_rows(table.items())
    some = {number: row for number, row in table.items() if 500 <= number <= 1500}
    assert of_mirror(DeltaTable(path), (500, 1500)) == of_rows(some.items())


def _stored(number: int, row: Row):
    user, cents, card, merchant, created, shown = row
    return {
        "id": number, "user_id": user, "amount": None if cents is None else Decimal(cents) / 100, "card_type": card,
        "merchant_id": merchant, "created_us": created, "deleted": False,
        "created_at": None if shown is None else _EPOCH + timedelta(microseconds=shown),
    }  # fmt: skip


def test_ranges_that_only_one_side_has_differ():
    row: Row = (7, 1230, "VISA", None, 5, 5)
    assert differing(of_rows([(1, row)]), of_rows([(1, row), (2500, row)])) == [2]
    assert checksums.differing({}, {}) == []
