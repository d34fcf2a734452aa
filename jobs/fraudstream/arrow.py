"""Arrow's columns of money and time as exact integers, and back, a column at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.rulebook.exact import NULL

MONEY = pa.decimal128(18, 2)
TIME = pa.timestamp("us", "UTC")
Int64s = npt.NDArray[np.int64]


def decimals(cents: Int64s) -> pa.Array:
    """Cents as a column of MONEY, without nulls."""
    # A decimal128 is an integer of two little-endian words, the lower one first; the upper one repeats the sign.
    words = np.stack([cents.astype("<i8"), (cents >> 63).astype("<i8")], axis=1)
    return pa.Array.from_buffers(MONEY, len(cents), [None, pa.py_buffer(words.tobytes())])


def cents_of(column: Any) -> Int64s:
    """Cents of a column of decimals with two places or fewer, of at most 18 digits; NULL for null."""
    flat = one_array(column.cast(MONEY))
    words = np.frombuffer(flat.buffers()[1], dtype="<i8")[2 * flat.offset :]
    return np.where(_valid(flat), words[: 2 * len(flat) : 2], NULL)


def micros_of(column: Any) -> Int64s:
    """Microseconds since 1970 of a column of timestamps; NULL for null."""
    return integers_of(column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()))


def integers_of(column: Any) -> Int64s:
    """A column of integers; NULL for null."""
    found: Int64s = one_array(pc.fill_null(column.cast(pa.int64()), NULL)).to_numpy(zero_copy_only=False)
    return found


def one_array(column: Any) -> Any:
    """The column in one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _valid(column: Any) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return found
