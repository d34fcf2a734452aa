"""The rows of a bucket of users as one binary value, and back: what a rule's fold takes, in a tenth of its bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.exact import NULL, Integers
from fraudstream.rulebook.kept import narrowed

COLUMNS = (
    "offset", "judge", "id", "user_id", "cents", "created_at", "merchant_id", "lsn", "tx_id", "committed_ms",
    "captured_ms", "card_type",
)  # fmt: skip
_HEAD = struct.Struct("<IiI")  # rows, partition, bytes of the texts
_COLUMN = struct.Struct("<qB")  # what was taken away from its numbers, bytes of each


def pack_buckets(
    columns: Mapping[str, Integers], partition: int, places: Integers, texts: Sequence[str | None]
) -> Iterator[tuple[int, bytes]]:
    """Each bucket's place, by the `places` of the rows, and its rows as one value. The columns are COLUMNS, of which
    `card_type` are places in the texts."""
    if not len(places):
        return
    order = np.argsort(places.astype(np.uint16), kind="stable")
    ordered = {name: columns[name][order] for name in COLUMNS}
    borders = np.flatnonzero(np.diff(places[order])) + 1
    for start, end in zip([0, *borders.tolist()], [*borders.tolist(), len(order)], strict=True):
        part = {name: column[start:end] for name, column in ordered.items()}
        yield int(places[order[start]]), pack(part, partition, texts)


def pack(columns: Mapping[str, Integers], partition: int, texts: Sequence[str | None]) -> bytes:
    """The rows as one value."""
    numbers = np.flatnonzero(np.bincount(columns["card_type"], minlength=len(texts)))
    codes = np.zeros(len(texts), dtype=np.int64)
    codes[numbers] = np.arange(len(numbers))
    codes = codes[columns["card_type"]]
    used = json.dumps([texts[number] for number in numbers.tolist()]).encode()
    parts = [_HEAD.pack(len(codes), partition, len(used)), used]
    for name in COLUMNS:
        column = codes if name == "card_type" else columns[name].astype(np.int64)
        low = int(column.min()) if len(column) else 0
        # With a null among them the numbers reach further than an int64.
        low = 0 if low == NULL else low
        short = narrowed(column - low)
        size = 0 if len(short) and not short.any() else short.itemsize
        parts += [_COLUMN.pack(low, size), short.tobytes() if size else b""]
    return b"".join(parts)


def unpack(values: Sequence[bytes]) -> Batch:
    """The rows of values of `pack`, as the fold takes them."""
    found = [_unpacked(value) for value in values]
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _unpacked(value: bytes) -> dict[str, Integers]:
    rows, partition, size = _HEAD.unpack_from(value)
    at = _HEAD.size + size
    texts = np.array(json.loads(value[_HEAD.size : at]), dtype=object)
    columns: dict[str, Integers] = {"partition": np.full(rows, partition, dtype=np.int64)}
    for name in COLUMNS:
        low, width = _COLUMN.unpack_from(value, at)
        at += _COLUMN.size
        if width:
            short = np.frombuffer(value, dtype=f"<i{width}", count=rows, offset=at)
            columns[name] = short.astype(np.int64) + low
            at += short.nbytes
        else:
            columns[name] = np.full(rows, low, dtype=np.int64)
    columns["judge"] = columns["judge"].astype(bool)
    columns["card_type"] = texts[columns["card_type"]]
    return columns
