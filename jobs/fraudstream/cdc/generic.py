"""Change events of any table, read for showing them. What the pipeline computes with is fraudstream.cdc.envelope's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fraudstream.cdc.envelope import Row, UnreadableMessage, read_change_event

Headers = Sequence[tuple[str, bytes]] | None


@dataclass(frozen=True, slots=True)
class TableChange:
    """A change of a row of any table. Images are None where the event has none."""

    op: str
    """c, u, d, r (snapshot), t (truncate), "tombstone" or "heartbeat"."""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    lsn: int | None = None
    last_commit_lsn: int | None = None
    """Where the transaction was committed that was delivered before its own: transactions come by their commits, so
    that those before it may have greater positions than the change itself."""
    tx_id: int | None = None
    committed_ms: int | None = None
    snapshot: str = "false"
    old_key: dict[str, Any] | None = None
    """The key that the row had before: of the c half of a change of the message key."""
    new_key: dict[str, Any] | None = None
    """The key that the row gets: of the d half of such a change."""


def read_transaction_change(value: bytes | None, headers: Headers = None) -> TableChange:
    """The change of a transaction, in any form that the pipeline reads: amounts as text, times in microseconds.

    Raises ValueError with the reason for which it would be quarantined.
    """
    try:
        event = read_change_event(value, headers)
    except UnreadableMessage as error:
        raise ValueError(error.reason) from None
    before = event.row if event.op == "d" else event.before
    return TableChange(
        event.op,
        _shown(before),
        None if event.op == "d" else _shown(event.row),
        event.lsn,
        None,
        event.tx_id,
        event.committed_ms,
        event.snapshot,
        *_keys(headers),
    )


def read_table_change(value: bytes | None, headers: Headers = None) -> TableChange:
    """The change of any row, from Debezium's envelope with or without the schema wrapper; values stay as they are.

    Raises ValueError naming what the message is not.
    """
    if value is None:
        return TableChange("tombstone")
    payload = _object(value)
    if payload.keys() == {"schema", "payload"}:
        payload = payload["payload"]
    if not isinstance(payload, dict):
        raise ValueError("not a JSON object")
    if payload.keys() == {"ts_ms"}:
        return TableChange("heartbeat")
    source = payload.get("source")
    if not isinstance(payload.get("op"), str) or not isinstance(source, dict):
        raise ValueError("not a Debezium envelope: op or source is missing")
    return TableChange(
        payload["op"],
        _image(payload, "before"),
        _image(payload, "after"),
        source.get("lsn"),
        _last_commit(source),
        source.get("txId"),
        source.get("ts_ms"),
        str(source.get("snapshot") or "false").lower(),
        *_keys(headers),
    )


def _shown(row: Row | None) -> dict[str, Any] | None:
    """The row's columns. The amount is NOT NULL, so that a missing one is NaN."""
    if row is None:
        return None
    cents = row.cents
    amount = "NaN" if cents is None else f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
    return {
        "id": row.id,
        "user_id": row.user_id,
        "amount": amount,
        "card_type": row.card_type,
        "merchant_id": row.merchant_id,
        "created_at": row.created_at,
    }


def _object(value: bytes) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def _image(payload: dict[str, Any], name: str) -> dict[str, Any] | None:
    image = payload.get(name)
    if image is not None and not isinstance(image, dict):
        raise ValueError(f"not a Debezium envelope: {name} is no object")
    return image


def _last_commit(source: dict[str, Any]) -> int | None:
    """The first of the two positions in source.sequence, a list written as text."""
    try:
        found = json.loads(source["sequence"])[0]
        return None if found is None else int(found)
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _keys(headers: Headers) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The old and the new message key that the halves of a change of it carry."""
    found = {name: key for name, key in headers or () if key}
    return _key(found.get("__debezium.oldkey")), _key(found.get("__debezium.newkey"))


def _key(header: bytes | None) -> dict[str, Any] | None:
    if header is None:
        return None
    key = _object(header)
    payload = key.get("payload")
    return payload if isinstance(payload, dict) else key
