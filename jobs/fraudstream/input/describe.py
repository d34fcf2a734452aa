"""Change events as a person reads them, one line each, or as a machine does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fraudstream.cdc.generic import TableChange
from fraudstream.cli import paint

_OPERATIONS = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot", "t": "truncate", "m": "message"}
_COLOURS = {"c": "green", "u": "yellow", "d": "red", "t": "red", "r": "cyan"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Debezium writes a timestamp as a number of microseconds: one that is this large, in a column named like a time.
_TIME_NAMES = ("_at", "_time", "_ts")
_MICROSECONDS = range(10**14, 250 * 10**15)


def told(change: TableChange) -> str:
    """The change in one line: when it was committed, what it was, which row, and what changed or the whole row."""
    when = "" if change.committed_ms is None else f"{_time(change.committed_ms * 1000):%H:%M:%S.%f}"[:12]
    row = dict(change.after or change.before or {})
    number = f"#{row.pop('id')}" if "id" in row else ""
    operation, what = change.op, _fields(row)
    if change.op == "d" and change.new_key:
        # A change of the message key arrives as two events, maybe in two partitions; together they are one update.
        operation, what = "u", f"moves to {_fields(change.new_key)} (its other half follows under that key)"
    elif change.op == "c" and change.old_key:
        operation, what = "u", f"moved from {_fields(change.old_key)}: {what}"
    elif change.op == "u" and change.before and change.after:
        what = _differences(change.before, change.after) or "nothing changed"
    name = paint(f"{_OPERATIONS.get(operation, operation):9}", _COLOURS.get(operation, "dim"))
    return f"{when:12}  {name} {number:8} {what}".rstrip()


def as_json(change: TableChange, place: Mapping[str, Any]) -> str:
    """The change for machines: one JSON object with the event's values and the record's place."""
    found = {name: getattr(change, name) for name in TableChange.__slots__}
    return json.dumps({**found, **place}, ensure_ascii=False)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    changed = [name for name in after if before.get(name) != after[name]]
    return "  ".join(f"{name} {_value(name, before.get(name))} -> {_value(name, after[name])}" for name in changed)


def _fields(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {_value(name, value)}" for name, value in row.items())


def _value(name: str, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, int) and name.endswith(_TIME_NAMES) and value in _MICROSECONDS:
        return f"{_time(value):%Y-%m-%d %H:%M:%S.%f}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
