"""Arrow's decimals and times against Python's own."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.arrow import cents_of, decimals, integers_of, micros_of
from fraudstream.rulebook.exact import NULL

cents = st.lists(st.one_of(st.integers(-(10**18) + 1, 10**18 - 1), st.sampled_from([0, -1, 1, 99, -99, 100])))


@given(cents)
@settings(deadline=None)
def test_cents_become_the_decimals_that_python_makes_of_them_and_come_back(values):
    column = decimals(np.array(values, dtype=np.int64))
    assert column.to_pylist() == [Decimal(value).scaleb(-2) for value in values]
    assert cents_of(column).tolist() == values


@given(cents, st.integers(0, 5))
@settings(deadline=None)
def test_a_part_of_a_column_and_one_in_chunks_are_read_alike(values, skip):
    column = decimals(np.array(values, dtype=np.int64))
    assert cents_of(column[skip:]).tolist() == values[skip:]
    assert cents_of(pa.chunked_array([column, column])).tolist() == values * 2


def test_null_and_other_scales_are_read():
    column = pa.array([Decimal("12.34"), None, Decimal("-0.01")], pa.decimal128(10, 2))
    assert cents_of(column).tolist() == [1234, NULL, -1]
    assert cents_of(pa.array([Decimal("7"), None], pa.decimal128(5, 0))).tolist() == [700, NULL]
    assert integers_of(pa.array([None, 5, 2**62])).tolist() == [NULL, 5, 2**62]
    noon = datetime(2026, 3, 1, 12, 0, 0, 1, UTC)
    assert micros_of(pa.array([noon, None], pa.timestamp("us", "UTC"))).tolist() == [1_772_366_400_000_001, NULL]
