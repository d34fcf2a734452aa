"""One change event from one Kafka message, in plain Python. fraudstream.cdc.columns does the same in Spark.

Forms, recognised message by message: Debezium's envelope, alone or with the schema wrapper ({"schema", "payload"}), and
rows flattened by ExtractNewRecordState with add.fields=op,source.lsn,source.txId,source.ts_ms,source.snapshot and
rewritten deletes.

Where a message has no schema wrapper, its fields must tell by themselves what they are:
- amount: a number is read as the double that it is; text with a point is a decimal; other text is base64 of an unscaled
  integer with two decimal places (decimal.handling.mode=precise on numeric(10,2)). Four, eight or twelve digits alone
  could be either and are unreadable.
- created_at: text is ISO 8601 (UTC if it names no zone); a whole number is microseconds, except from 100,000,000,000 to
  99,999,999,999,999, which is milliseconds from 1973-03-03 to 5138. So microseconds are misread between 1970-01-02 and
  1973-03-03, and milliseconds before 1973; a wrapper's schema decides exactly. Nanoseconds need the wrapper.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fraudstream.cdc import shape, values
from fraudstream.errors import FraudstreamError
from fraudstream.masking import Mask, masked_id

Entry = Literal["judge", "history", "unjudged", "ignored"]
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\[\]{}"]+', re.DOTALL)
_HEARTBEAT = re.compile(shape.HEARTBEAT_TEXT)


class UnreadableMessage(FraudstreamError):
    """A message that is no change event of the transactions table; `reason` is short and stable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a row. `cents` is None for null and NaN; `created_at` is in microseconds since 1970, UTC."""

    id: int
    user_id: int
    cents: int | None
    card_type: str | None
    merchant_id: int | None
    created_at: int | None


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A change of one row, or a message that changes none (op "t", "tombstone", "heartbeat": `row` is None).

    `row` is the image after the change, for a delete the one before it. `before` is None where the message has no
    readable one. `moved` marks the two halves (d and c) of an update of the message key.
    """

    op: str
    row: Row | None = None
    before: Row | None = None
    lsn: int | None = None
    tx_id: int | None = None
    committed_ms: int | None = None
    captured_ms: int | None = None
    snapshot: str = "false"
    moved: bool = False


def read_change_event(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]] | None = None,
    max_bytes: int = shape.MAX_BYTES,
    mask: Mask | None = None,
) -> ChangeEvent:
    """The change event in a message's value and headers, its user ids masked by `mask`. Raises UnreadableMessage."""
    event = _read_plain(value, headers, max_bytes)
    if mask is None:
        return event
    return replace(event, row=_masked(event.row, mask), before=_masked(event.before, mask))


def _masked(row: Row | None, mask: Mask) -> Row | None:
    return row and replace(row, user_id=masked_id(row.user_id, mask))


def _read_plain(value: bytes | None, headers: Sequence[tuple[str, bytes]] | None, max_bytes: int) -> ChangeEvent:
    if value is None:
        return ChangeEvent("tombstone")
    text = _text(value, max_bytes)
    root = _parsed(text)
    if not isinstance(root, dict):
        raise UnreadableMessage(shape.NOT_EVENT)
    if not shape.conforms(root, shape.MESSAGE):
        raise UnreadableMessage(shape.WRONG_TYPE)
    wrapper = root.get("schema") or {} if root.get("payload") is not None else {}
    found = root if root.get("payload") is None else root["payload"]
    if found.get("op") is None and found.get("__op") is None:
        return _without_operation(found, wrapper, text)
    flat = found.get("op") is None
    op = found["__op"] if flat else found["op"]
    if not isinstance(op, str) or op not in shape.OPERATIONS:
        raise UnreadableMessage(shape.NOT_EVENT)
    meta = _flat_meta(found) if flat else _meta(found)
    moved = any(name in shape.MOVED_HEADERS for name, _ in headers or ())
    if op == "t":
        return ChangeEvent(op, moved=moved, **meta)
    images = (found, None) if flat else (found.get("before" if op == "d" else "after"), found.get("before"))
    columns = _columns(wrapper)
    return ChangeEvent(op, _row(images[0], columns), _before(images[1], columns), moved=moved, **meta)


def entry(event: ChangeEvent) -> Entry:
    """What the event is to a rule, from the event alone (docs/semantics.md, "What a message is")."""
    is_row = event.row is not None and event.op in ("c", "r")
    if not is_row or event.moved or event.snapshot == "incremental":
        return "ignored"
    if not is_judgeable(event):
        return "unjudged"
    return "judge" if event.op == "c" else "history"


def is_judgeable(event: ChangeEvent) -> bool:
    """Whether the row has an amount and a time from 1970 to one day after its capture."""
    row = event.row
    if row is None or row.cents is None or row.created_at is None or row.created_at < 0:
        return False
    return event.captured_ms is None or row.created_at <= (event.captured_ms + shape.DAY_MS) * 1000


def _text(value: bytes, max_bytes: int) -> str:
    if len(value) > max_bytes:
        raise UnreadableMessage(shape.too_large(max_bytes))
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableMessage(shape.NOT_UTF8) from None


def _parsed(text: str) -> Any:
    try:
        found = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise UnreadableMessage(shape.NOT_JSON) from None
    if text.count("{") + text.count("[") > shape.MAX_DEPTH and _depth(text) > shape.MAX_DEPTH:
        raise UnreadableMessage(shape.NOT_JSON)
    return found


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > shape.MAX_DIGITS:
        raise ValueError("number too long")
    return int(digits)


def _double(digits: str) -> float:
    if sum(map(str.isdigit, digits)) > shape.MAX_DIGITS:
        raise ValueError("number too long")
    return float(digits)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_whole_number, parse_float=_double, parse_constant=_refuse)


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _without_operation(found: Mapping[str, Any], wrapper: Mapping[str, Any], text: str) -> ChangeEvent:
    is_heartbeat = _HEARTBEAT.fullmatch(text) or wrapper.get("name") == shape.HEARTBEAT_SCHEMA
    if is_heartbeat and found.get("ts_ms") is not None:
        return ChangeEvent("heartbeat", captured_ms=_clock(found["ts_ms"]))
    is_flat_row = found.get("id") is not None and found.get("user_id") is not None
    raise UnreadableMessage(shape.NOT_COMPLETE if is_flat_row else shape.NOT_EVENT)


def _meta(found: Mapping[str, Any]) -> dict[str, Any]:
    source = found.get("source") or {}
    return _checked_meta(
        source.get("lsn"), source.get("txId"), source.get("ts_ms"), found.get("ts_ms"), source.get("snapshot")
    )


def _flat_meta(found: Mapping[str, Any]) -> dict[str, Any]:
    # __source_snapshot is null in every streamed row, __source_lsn in those of an incremental snapshot.
    if found.get("__source_ts_ms") is None or found.get("__deleted") is None:
        raise UnreadableMessage(shape.NOT_COMPLETE)
    committed = found["__source_ts_ms"]
    return _checked_meta(
        found.get("__source_lsn"), found.get("__source_txId"), committed, None, found.get("__source_snapshot")
    )


def _checked_meta(
    lsn: int | None, tx_id: int | None, committed: int | None, captured: int | None, snapshot: Any
) -> dict[str, Any]:
    word = str(snapshot or False).lower() if snapshot is None or isinstance(snapshot, bool) else snapshot
    times = {
        "committed_ms": _clock(committed),
        "captured_ms": _clock(committed if captured is None else captured),
    }
    if not isinstance(word, str) or word not in shape.SNAPSHOTS:
        raise UnreadableMessage(shape.BAD_SNAPSHOT)
    return {"lsn": lsn, "tx_id": tx_id, "snapshot": word, **times}


def _clock(millis: int | None) -> int | None:
    if millis is not None and not 0 <= millis <= shape.LAST_MS:
        raise UnreadableMessage(shape.BAD_CLOCK)
    return millis


def _columns(wrapper: Mapping[str, Any]) -> Mapping[str, Any]:
    """The wrapper's descriptions of the row's columns, by name."""
    fields = _by_name(wrapper.get("fields"))
    return _by_name(fields["after"].get("fields")) if "after" in fields else fields


def _by_name(fields: Any) -> dict[str, Any]:
    named = [field for field in fields or () if field is not None and isinstance(field.get("field"), str)]
    return {field["field"]: field for field in reversed(named)}  # of two with one name the first counts


def _row(image: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> Row:
    if image is None:
        raise UnreadableMessage(shape.NO_ROW)
    if image.get("id") is None:
        raise UnreadableMessage(shape.NO_ID)
    if image.get("user_id") is None:
        raise UnreadableMessage(shape.NO_USER)
    try:
        cents = values.cents_of(image.get("amount"), columns.get("amount") or {})
        card_type = _card_type(image.get("card_type"))
        created_at = values.micros_of(image.get("created_at"), columns.get("created_at") or {})
    except values.UnreadableValue as error:
        raise UnreadableMessage(str(error)) from None
    return Row(image["id"], image["user_id"], cents, card_type, image.get("merchant_id"), created_at)


def _before(image: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> Row | None:
    """The image before the change; nothing is judged by it, so one that cannot be read whole keeps its ids alone."""
    if image is None or image.get("id") is None or image.get("user_id") is None:
        return None
    try:
        return _row(image, columns)
    except UnreadableMessage:
        return Row(image["id"], image["user_id"], None, None, None, None)


def _card_type(text: Any) -> str | None:
    if text is not None and not isinstance(text, str):
        raise UnreadableMessage(shape.BAD_CARD)
    if text == shape.UNAVAILABLE:
        raise UnreadableMessage(shape.NO_CARD)
    if text is not None and len(text) > shape.MAX_CARD:
        raise UnreadableMessage(shape.LONG_CARD)
    return text
