"""Blocks of a topic's records as columns: the same outcomes as fraudstream.cdc.envelope, most of them without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from fraudstream.cdc import envelope, shape
from fraudstream.cdc.cards import Cards
from fraudstream.cdc.matching import (
    ENTRIES,
    HISTORY,
    IGNORED,
    JUDGE,
    UNJUDGED,
    UNREADABLE,
    Pattern,
    match,
    pattern_of,
)
from fraudstream.cdc.template import FIELDS, template_of
from fraudstream.masking import Mask, masked_ids
from fraudstream.rulebook.exact import NULL, Integers
from fraudstream.wire.records import Records, headers_in
from fraudstream.wire.words import PADDING, as_words, windows

_MOST_PATTERNS = 16
_MOST_TRIED = 4  # samples of a block that a pattern is made of; the rest of its odd messages are read one by one
_OF_ROW = ("id", "user_id", "cents", "merchant_id", "created_at")
_MOVED = tuple(name.encode() for name in shape.MOVED_HEADERS)


@dataclass
class Patterns:
    """The patterns of messages met so far, the last one that fitted first."""

    known: list[Pattern] = field(default_factory=list)

    def keep(self, pattern: Pattern) -> None:
        """Look for it first from now on."""
        if not self.known or self.known[0] is not pattern:
            self.known = [pattern, *(each for each in self.known if each is not pattern)][:_MOST_PATTERNS]


@dataclass(frozen=True)
class Block:
    """Of a block of records: how many are of each of ENTRIES, and the columns of those that enter a history: `offset`,
    `judge` and template.FIELDS (`card_type` by its number in the cards, null as NULL)."""

    counts: Mapping[str, int]
    columns: Mapping[str, Integers]


def read_block(
    records: Records, patterns: Patterns, cards: Cards, max_bytes: int = shape.MAX_BYTES, mask: Mask | None = None,
    moved: Integers | None = None,
) -> Block:  # fmt: skip
    """What the records say. Patterns and cards are learned on the way; they change nothing but the time it takes.
    `moved`: whether each record is half of a key change, where its headers are not in the records."""
    entries = np.full(len(records), -1, dtype=np.int8)
    fields = {name: np.zeros(len(records), dtype=np.int64) for name in FIELDS}
    sizes = records.ends - records.starts
    entries[sizes < 0] = IGNORED  # a tombstone
    entries[sizes > max_bytes] = UNREADABLE
    left = np.flatnonzero(entries < 0)
    for pattern in tuple(patterns.known):
        if len(left):
            left = _take(pattern, records, left, entries, fields, patterns, cards)
    _read_rest(records, entries, fields, patterns, cards, max_bytes)
    entries[(entries <= UNJUDGED) & (_moved(records) if moved is None else moved)] = IGNORED
    return _block(records, entries, fields, mask)


def _take(
    pattern: Pattern, records: Records, left: Integers, entries: Integers, fields: dict[str, Integers],
    patterns: Patterns, cards: Cards,
) -> Integers:  # fmt: skip
    """Read those records of the places `left` that are of the pattern; returns the others."""
    found = match(pattern, records.data, records.starts[left], records.ends[left], cards)
    if len(left) == len(records) and found.fits.all():  # no message is left, as mostly
        patterns.keep(pattern)
        entries[:] = found.entries
        fields.update(found.fields)
        return left[:0]
    taken = left[found.fits]
    if len(taken):
        patterns.keep(pattern)
        entries[taken] = found.entries[found.fits]
        for name, column in fields.items():
            column[taken] = found.fields[name][found.fits]
    return left[~found.fits]


def _read_rest(
    records: Records, entries: Integers, fields: dict[str, Integers], patterns: Patterns, cards: Cards, max_bytes: int
) -> None:
    """Read the records without an entry one by one, and by the pattern of one of them those that are alike."""
    tried = 0
    left = np.flatnonzero(entries < 0)
    while len(left):
        place, left = int(left[0]), left[1:]
        try:
            event = envelope.read_change_event(records.value(place), (), max_bytes)
        except envelope.UnreadableMessage:
            entries[place] = UNREADABLE
            continue
        entries[place] = ENTRIES.index(envelope.entry(event))
        if entries[place] <= HISTORY:
            _set_fields(event, place, fields, cards)
        if len(left) and tried < _MOST_TRIED:
            tried += 1
            template = template_of(records.value(place) or b"", event)
            if template:
                left = _take(pattern_of(template), records, left, entries, fields, patterns, cards)


def _set_fields(event: envelope.ChangeEvent, place: int, fields: dict[str, Integers], cards: Cards) -> None:
    for name, column in fields.items():
        if name == "card_type":
            column[place] = cards.code_of(event.row.card_type if event.row else None)
        else:
            value = getattr(event.row if name in _OF_ROW else event, name)
            column[place] = NULL if value is None else value


def _block(records: Records, entries: Integers, fields: dict[str, Integers], mask: Mask | None) -> Block:
    numbers = np.bincount(entries, minlength=len(ENTRIES)).tolist()
    entering = entries <= HISTORY
    columns = {"offset": records.offsets, "judge": entries == JUDGE, **fields}
    if not entering.all():
        columns = {name: column[entering] for name, column in columns.items()}
    if mask is not None:
        columns["user_id"] = masked_ids(columns["user_id"], mask)
    return Block(dict(zip(ENTRIES, numbers, strict=True)), columns)


def _moved(records: Records) -> Integers:
    """Whether a record is half of a key change, as its headers say. Mostly all records have the same headers."""
    result = np.zeros(len(records), dtype=bool)
    begins = np.maximum(records.ends, records.starts)
    sizes = records.stops - begins
    left = np.arange(len(records))
    for _ in range(_MOST_TRIED):
        if not len(left):
            return result
        sample = records.header_bytes(int(left[0]))
        if len(sample) > PADDING // 2:
            break
        alike = _are(sample, records.data, begins[left], sizes[left])
        result[left[alike]] = _is_moved(sample)
        left = left[~alike]
    for place in left.tolist():
        result[place] = _is_moved(records.header_bytes(place))
    return result


def _are(sample: bytes, data: bytes, begins: Integers, sizes: Integers) -> Integers:
    """Whether these bytes are the sample's."""
    width = -(-len(sample) // 8) * 8
    rows = as_words(windows(data, width)[begins])
    np.bitwise_xor(rows, np.frombuffer(sample.ljust(width, b"\0"), "<u8"), out=rows)
    if width > len(sample):
        rows[:, -1] &= np.uint64((1 << 8 * (len(sample) % 8)) - 1)
    result: Integers = (sizes == len(sample)) & ~rows.any(axis=1)
    return result


@lru_cache(maxsize=1024)
def _is_moved(header: bytes) -> bool:
    return any(name in header for name in _MOVED) and any(name in shape.MOVED_HEADERS for name, _ in headers_in(header))
