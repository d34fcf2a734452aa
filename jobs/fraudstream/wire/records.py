"""Where the records of many batches have what, for all of them at once (message format 2).

A loop over the records' lengths, 0.16 us a record, is the only step that goes from one to the next (numpy's searches
for what ends or begins a record took 0.2 us and more); all other fields are read by numpy. An object for each message
would cost 2 us, with its headers 3.5 us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fraudstream.rulebook.exact import Integers
from fraudstream.wire.batches import BadBatch, Batch, signed_varint
from fraudstream.wire.words import PADDING, leading_varints, windows


@dataclass(frozen=True)
class Records:
    """Records of one partition, in order: places in `data`, behind which lie words.PADDING more bytes."""

    data: bytes
    offsets: Integers
    starts: Integers  # of the values
    ends: Integers  # of the values, where the headers begin; before its start for a value that is null
    stops: Integers  # of the records

    def __len__(self) -> int:
        return len(self.offsets)

    def where(self, wanted: Integers) -> Records:
        """The records of the mask."""
        if wanted.all():
            return self
        return Records(self.data, self.offsets[wanted], self.starts[wanted], self.ends[wanted], self.stops[wanted])

    def value(self, place: int) -> bytes | None:
        """A record's value."""
        start, end = int(self.starts[place]), int(self.ends[place])
        return None if end < start else self.data[start:end]

    def header_bytes(self, place: int) -> bytes:
        """A record's headers as they are written."""
        begin = max(int(self.ends[place]), int(self.starts[place]))
        return self.data[begin : int(self.stops[place])]


def headers_in(data: bytes) -> list[tuple[str, bytes]]:
    """The headers of `Records.header_bytes`. A value that is null is empty here."""
    count, at = signed_varint(data, 0)
    found = []
    for _ in range(count):
        size, at = signed_varint(data, at)
        name = data[at : at + size].decode("utf-8", "replace")
        at += size
        size, at = signed_varint(data, at)
        found.append((name, data[at : at + max(size, 0)]))
        at += max(size, 0)
    return found


def read_records(batches: Sequence[Batch], start: int, end: int) -> Records:
    """The records of the batches with start <= offset < end. Raises BadBatch where a batch is not what it says."""
    data = b"".join([*(batch.records for batch in batches), bytes(PADDING)])
    size = len(data) - PADDING
    bases = np.repeat([batch.base for batch in batches], [batch.count for batch in batches]).astype(np.int64)
    begins = _begins(batches)
    found = _fields(data, begins, bases, size)
    if found is None:
        found = _one_by_one(data, begins, bases, size)
    return found.where((found.offsets >= start) & (found.offsets < end))


def _begins(batches: Sequence[Batch]) -> Integers:
    """Where each record begins, from its length on."""
    begins: list[int] = []
    shift = 0
    for batch in batches:
        _add_begins(batch, shift, begins)
        shift += len(batch.records)
    return np.array(begins, dtype=np.int64)


def _add_begins(batch: Batch, shift: int, begins: list[int]) -> None:
    data, at, add = batch.records, 0, begins.append
    try:
        for _ in range(batch.count):
            add(at + shift)
            low = data[at]
            if low < 0x80:
                at += 1 + (low >> 1)
                continue
            high = data[at + 1]
            if high < 0x80:
                at += 2 + ((low & 0x7F | high << 7) >> 1)
                continue
            size, at = signed_varint(data, at)
            at += size
    except IndexError:
        at = -1
    if at != len(data):
        raise BadBatch(f"at offset {batch.base}: its records are not as long as they say")


def _fields(data: bytes, begins: Integers, bases: Integers, size: int) -> Records | None:
    """The records that begin there, one behind the other; None where one's fields do not end where the next begins."""
    stops = np.append(begins[1:], size) if len(begins) else begins
    eights, is_odd = windows(data, 8), np.zeros(len(begins), dtype=bool)

    def number_at(at: Integers) -> tuple[Integers, Integers]:
        number, length = leading_varints(eights[at])
        np.logical_or(is_odd, length == 0, out=is_odd)
        return number, at + length

    _, at = number_at(begins)  # the length
    _, at = number_at(at + 1)  # behind the attributes, the timestamp
    offset, at = number_at(at)
    key, at = number_at(at)
    at = at + np.maximum(key, 0)
    bounded = np.clip(at, 0, size)
    length, starts = number_at(bounded)
    is_odd |= (at != bounded) | (key < -1) | (length < -1) | (starts + np.maximum(length, 0) >= stops)
    return None if is_odd.any() else Records(data, bases + offset, starts, starts + length, stops)


def _one_by_one(data: bytes, begins: Integers, bases: Integers, size: int) -> Records:
    """The same by a plain loop: for timestamps so far from their batch's that their varint is over 8 bytes long.
    Raises BadBatch where a record is not what it says."""
    stops = np.append(begins[1:], size)
    columns = []
    try:
        for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True):
            _, at = signed_varint(data, begin)
            _, at = signed_varint(data, at + 1)
            offset, at = signed_varint(data, at)
            key, at = signed_varint(data, at)
            length, at = signed_varint(data, at + max(key, 0))
            if key < -1 or length < -1 or at + max(length, 0) >= stop:
                raise IndexError
            columns.append((offset, at, at + length))
    except IndexError:
        raise BadBatch(f"behind offset {bases.min()}: a record's fields are longer than it is") from None
    offsets, starts, ends = np.array(columns, dtype=np.int64).T
    return Records(data, bases + offsets, starts, ends, stops)
