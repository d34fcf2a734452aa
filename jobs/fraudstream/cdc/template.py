"""The pattern of a message: what must be the same, byte for byte, in another one for both to say the same but for their
numbers and short texts.

A connector writes the same text around its values a million times over. Of a message that `envelope` has read, the
text around the values is the pattern: another message with the same text, and with values of the same kind at the same
places, is read the same way, and its values are found without parsing it. Whatever does not fit is left to `envelope`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fraudstream.cdc import shape
from fraudstream.cdc.envelope import ChangeEvent, entry

Kind = Literal["number", "amount", "text", "digits"]
Path = tuple[str, ...]
MAX_BYTES = 4096  # of a message whose pattern is kept
_MAX_DIGITS = 18  # a longer number need not be an int64
_COLUMNS = ("id", "user_id", "cents", "card_type", "merchant_id", "created_at")
_META = ("lsn", "tx_id", "committed_ms", "captured_ms")
FIELDS = (*_COLUMNS, *_META)
_IDS = ("id", "user_id", "merchant_id")
_AMOUNT = re.compile(rb"[0-9]{1,11}\.[0-9]{2}")
_CARD = re.compile(rb"[A-Z][ !#-\[\]-~]{0,14}")
_NUMBER = re.compile(rb"[1-9][0-9]*")
_RUN = re.compile(rb"[0-9]{6,}")  # in a text that nobody reads, like a position in the log
_STRING = re.compile(rb'"[^"\\]*(?:\\["\\/][^"\\]*)*"')
_SPACE = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[^\s,\]}]+")


@dataclass(frozen=True)
class Slot:
    """A value: where it stands in the sample, what it is, and the field that it gives (None: nobody reads it).
    `number` (a row's) and `amount` and `text` may be of other length in another message, `digits` not."""

    start: int
    end: int
    kind: Kind
    field: str | None
    is_json: bool = True  # a number of its own, which may not begin with 0; not the digits in a text


@dataclass(frozen=True)
class Template:
    """A sample and its slots in order; all else must be the same. `constants` are the fields that have no slot, and
    `entry` is what messages of it are if they are in time."""

    sample: bytes
    slots: tuple[Slot, ...]
    constants: Mapping[str, int | str | None]
    entry: str
    is_alone: bool  # captured_ms is the commit's time: the message has no other


class _NoTemplate(ValueError):
    """The sample is of no form that a pattern is made of."""


def template_of(sample: bytes, event: ChangeEvent) -> Template | None:
    """The pattern of a message that `envelope` has read as `event` (without a mask, and not as moved); None for one
    that has none: no row, wrapped with its schema, a key twice, escapes in texts."""
    if event.row is None or len(sample) > MAX_BYTES or not sample.isascii():
        return None
    try:
        root = json.loads(sample, object_pairs_hook=_once)
        if "payload" in root or "schema" in root:
            return None
        fields = _fields(root)
        slots = tuple(_slots(sample, fields))
    except (ValueError, IndexError):
        return None
    found = {slot.field for slot in slots}
    if "captured_ms" not in fields.values():
        found.add("captured_ms")
    values = {name: getattr(event.row if name in _COLUMNS else event, name) for name in FIELDS}
    constants = {name: value for name, value in values.items() if name not in found}
    in_time = entry(event) if entry(event) != "unjudged" else _entry_in_time(event)
    return Template(sample, slots, constants, in_time, "captured_ms" not in fields.values())


def _entry_in_time(event: ChangeEvent) -> str:
    """The entry of a row that is unjudged, were it in time."""
    row = event.row
    if row is None or row.cents is None or row.created_at is None or row.created_at < 0:
        return "unjudged"
    return "judge" if event.op == "c" else "history"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _NoTemplate("a key twice")
    return found


def _fields(root: Mapping[str, Any]) -> dict[Path, str]:
    """Where the fields stand: in an envelope, or in a flattened row."""
    names = {"cents": "amount"}
    if root.get("op") is None:
        parent: Path = ()
        meta = {"__source_lsn": "lsn", "__source_txId": "tx_id", "__source_ts_ms": "committed_ms"}
        places: dict[Path, str] = {(key,): name for key, name in meta.items()}
    else:
        parent = ("before",) if root["op"] == "d" else ("after",)
        inner = {"lsn": "lsn", "txId": "tx_id", "ts_ms": "committed_ms"}
        places = {("source", key): name for key, name in inner.items()}
        if root.get("ts_ms") is not None:
            places[("ts_ms",)] = "captured_ms"
    return places | {(*parent, names.get(name, name)): name for name in _COLUMNS}


def _slots(sample: bytes, fields: Mapping[Path, str]) -> Iterator[Slot]:
    for path, start, end in _scalars(sample):
        text, field, leaf = sample[start:end], fields.get(path), path[-1]
        is_image = len(path) == 1 or (len(path) == 2 and path[0] in ("before", "after"))
        if text[:1] == b'"':
            inner = text[1:-1]
            if is_image and leaf == "amount" and _AMOUNT.fullmatch(inner):
                yield Slot(start + 1, end - 1, "amount", field)
            elif is_image and leaf == "card_type" and _CARD.fullmatch(inner):
                yield Slot(start + 1, end - 1, "text", field)
            elif not _is_typed(path):
                for run in _RUN.finditer(sample, start + 1, end - 1):
                    yield Slot(*run.span(), "digits", None, is_json=False)
        elif _NUMBER.fullmatch(text) and _may_vary(len(text), field, path):
            yield Slot(start, end, "number" if is_image and leaf in _IDS else "digits", field)


def _may_vary(digits: int, field: str | None, path: Path) -> bool:
    """Whether any other number of so many digits says the same of the message but for its value."""
    if field == "cents":
        return False  # a JSON number is a whole amount: its digits are no cents
    if field == "created_at":
        return digits in (15, 16)  # microseconds from 1973 on; the last of 16 digits is in 2286
    if field is not None:
        return digits <= 15
    if not _is_typed(path):
        return True
    is_unread = len(path) == 2 and path[0] in ("before", "after") and path[1] in (*_IDS, "created_at")
    return is_unread and digits <= _MAX_DIGITS


def _is_typed(path: Path) -> bool:
    """Whether `envelope` looks at the type of what stands there."""
    part: Any = shape.MESSAGE
    for name in path:
        if isinstance(part, str):
            return True
        if not isinstance(part, Mapping) or name not in part:
            return False
        part = part[name]
    return True


def _scalars(sample: bytes) -> Iterator[tuple[Path, int, int]]:
    """Path, start and end of each text, number, true, false and null below an object. Raises _NoTemplate for arrays
    and for texts with other escapes than of quotes."""
    path: list[str] = []
    at = _space(sample, 0)
    if sample[at : at + 1] != b"{":
        raise _NoTemplate("no object")
    at = _space(sample, at + 1)
    while True:
        if sample[at : at + 1] == b"}":
            if not path:
                return
            path.pop()
            at = _next(sample, at + 1)
            continue
        key = _string(sample, at)
        if b"\\" in sample[at:key]:
            raise _NoTemplate("an escaped key")
        path.append(sample[at + 1 : key - 1].decode())
        at = _space(sample, _space(sample, key) + 1)  # behind the colon
        if sample[at : at + 1] == b"{":
            at = _space(sample, at + 1)
            continue
        end = _value(sample, at)
        yield tuple(path), at, end
        path.pop()
        at = _next(sample, end)


def _next(sample: bytes, at: int) -> int:
    """The next key or closing brace behind a value."""
    at = _space(sample, at)
    return _space(sample, at + 1) if sample[at : at + 1] == b"," else at


def _value(sample: bytes, at: int) -> int:
    if sample[at : at + 1] == b'"':
        return _string(sample, at)
    found = _SCALAR.match(sample, at)
    if found is None or sample[at : at + 1] == b"[":
        raise _NoTemplate("an array")
    return found.end()


def _string(sample: bytes, at: int) -> int:
    found = _STRING.match(sample, at)
    if found is None:
        raise _NoTemplate("a text with escapes")
    return found.end()


def _space(sample: bytes, at: int) -> int:
    found = _SPACE.match(sample, at)
    return found.end() if found else at
