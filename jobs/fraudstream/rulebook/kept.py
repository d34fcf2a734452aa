"""The rows that a rule keeps of its users, and their form as one state value."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fraudstream.rulebook.exact import Integers

COLUMNS = ("id", "cents", "created_at", "merchant_id", "user_id", "lsn", "mark", "rewound")
_FORMAT = 2
_HEAD = struct.Struct("<BBQQ")  # format, columns (a bit each), users, rows


@dataclass(frozen=True)
class Kept:
    """Users, each once and in any order, and the rows of one after the other: of each user in the order of entry."""

    users: Integers
    lengths: Integers  # number of the user's rows
    streamed: Integers  # bool: a `judge` message of the user has entered
    columns: Mapping[str, Integers]  # those of COLUMNS that the rule needs, of any integer type


def nothing_kept(names: tuple[str, ...]) -> Kept:
    """No users."""
    none = np.zeros(0, dtype=np.int64)
    return Kept(none, none, np.zeros(0, dtype=bool), dict.fromkeys(names, none))


def pack(kept: Kept) -> bytes:
    """One value with the rows.

    A state value is rewritten with every micro-batch that touches it, so it is kept short: integers take the fewest
    bytes that hold all of their column (8 a row for ids and amounts, 12 for ids and times).
    """
    mask = sum(1 << COLUMNS.index(name) for name in kept.columns)
    rows = len(next(iter(kept.columns.values())))
    parts = [_HEAD.pack(_FORMAT, mask, len(kept.users), rows), np.packbits(kept.streamed).tobytes()]
    for column in (kept.users, kept.lengths, *kept.columns.values()):
        short = narrowed(column)
        parts += [bytes([short.itemsize]), short.tobytes()]
    return b"".join(parts)


def unpack(state: bytes | memoryview, names: tuple[str, ...]) -> Kept:
    """The rows of a value that `pack` made of these columns. Raises ValueError for one of another format or rule."""
    found, mask, users, rows = _HEAD.unpack_from(state)
    if found != _FORMAT:
        raise ValueError(f"a state of format {found}, not {_FORMAT}: it was written by another version")
    if mask != sum(1 << COLUMNS.index(name) for name in names):
        raise ValueError(f"a state of other columns than {', '.join(names)}: it was written for another rule")
    bits = np.frombuffer(state, dtype=np.uint8, count=(users + 7) // 8, offset=_HEAD.size)
    place = _HEAD.size + len(bits)
    columns = []
    for count in (users, users, *(rows for _ in names)):
        columns.append(np.frombuffer(state, dtype=f"<i{state[place]}", count=count, offset=place + 1))
        place += 1 + columns[-1].nbytes
    streamed = np.unpackbits(bits, count=users).astype(bool)
    return Kept(columns[0], columns[1], streamed, dict(zip(names, columns[2:], strict=True)))


def narrowed(column: Integers) -> Integers:
    """The column in the shortest integers that hold it."""
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    size = next(size for size in (1, 2, 4, 8) if -(1 << 8 * size - 1) <= low and high < 1 << 8 * size - 1)
    return column.astype(f"<i{size}", copy=False)
