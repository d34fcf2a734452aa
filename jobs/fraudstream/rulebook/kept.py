"""The rows that a rule keeps of its users, and their form as one state value."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from fraudstream.rulebook.exact import Integers

_FORMAT = 1
_HEAD = struct.Struct("<BQQ")  # format, users, rows
_BASE = struct.Struct("<qB")  # smallest value of a column, bytes per value


@dataclass(frozen=True)
class Kept:
    """Entered rows by user (ascending) and, within a user, by order. Amounts in cents, times in microseconds."""

    user: Integers
    id: Integers
    streamed: Integers  # bool: entered as a `judge` message
    cents: Integers
    times: Integers

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Integers) -> Kept:
        """These rows (positions or a mask)."""
        return Kept(self.user[rows], self.id[rows], self.streamed[rows], self.cents[rows], self.times[rows])

    def followed_by(self, other: Kept) -> Kept:
        """Both, this one's rows first."""
        return Kept(
            np.concatenate([self.user, other.user]),
            np.concatenate([self.id, other.id]),
            np.concatenate([self.streamed, other.streamed]),
            np.concatenate([self.cents, other.cents]),
            np.concatenate([self.times, other.times]),
        )


def nothing_kept() -> Kept:
    """No rows."""
    none = np.zeros(0, dtype=np.int64)
    return Kept(none, none, np.zeros(0, dtype=bool), none, none)


def pack(kept: Kept, *, cents: bool, times: bool) -> bytes:
    """One value with the rows; `cents` and `times` only where the rule needs them.

    A state value is rewritten with every micro-batch that touches it, so it is kept short: each column is stored above
    its smallest value in the fewest bytes (about 8 a row for ids and amounts).
    """
    users, rows_per_user = np.unique(kept.user, return_counts=True)
    columns = [users, rows_per_user, kept.id]
    columns += [kept.cents] if cents else []
    columns += [kept.times] if times else []
    parts = [_HEAD.pack(_FORMAT, len(users), len(kept)), np.packbits(kept.streamed).tobytes()]
    for column in columns:
        parts += _packed(column)
    return b"".join(parts)


def unpack(state: bytes, *, cents: bool, times: bool) -> Kept:
    """The rows of a value that `pack` made with the same `cents` and `times`; columns that are not kept are 0."""
    found, users, rows = _HEAD.unpack_from(state)
    if found != _FORMAT:
        raise ValueError(f"a state of format {found}, not {_FORMAT}: it was written by another version")
    place = _HEAD.size
    bits = np.frombuffer(state, dtype=np.uint8, count=(rows + 7) // 8, offset=place)
    streamed = np.unpackbits(bits, count=rows).astype(bool)
    place += len(bits)
    unique, place = _unpacked(state, place, users)
    rows_per_user, place = _unpacked(state, place, users)
    ids, place = _unpacked(state, place, rows)
    absent = np.zeros(rows, dtype=np.int64)
    amounts, place = _unpacked(state, place, rows) if cents else (absent, place)
    moments, place = _unpacked(state, place, rows) if times else (absent, place)
    return Kept(np.repeat(unique, rows_per_user), ids, streamed, amounts, moments)


def _packed(column: Integers) -> list[bytes]:
    base = int(column.min()) if len(column) else 0
    reach = int(column.max()) - base if len(column) else 0
    width = next(size for size in (1, 2, 4, 8) if reach < 1 << 8 * size)
    shifted = column.astype(np.uint64) - np.uint64(base % 2**64)  # modulo 2^64: right for negative numbers too
    return [_BASE.pack(base, width), shifted.astype(f"<u{width}").tobytes()]


def _unpacked(state: bytes, place: int, count: int) -> tuple[Integers, int]:
    base, width = _BASE.unpack_from(state, place)
    place += _BASE.size
    stored = np.frombuffer(state, dtype=f"<u{width}", count=count, offset=place)
    return (stored.astype(np.uint64) + np.uint64(base % 2**64)).astype(np.int64), place + count * width
