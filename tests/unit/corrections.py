"""Topics for rules with corrections as the batches that the stream's projection makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fraudstream.check.oracle import Arrival, arrivals, is_judgeable
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.rulebook.corrections import Change
from fraudstream.rulebook.fold import fold
from fraudstream.rulebook.payload import NULL

MAX_BYTES = 262_144
TOPIC = "dbserver1.public.transactions"
SECOND = 1_000_000
NOON = 1_772_366_400 * SECOND  # 2026-03-01 12:00:00 UTC
NAMES_OF_COUNTS = ("judged", "history", "redelivered", "superseded", "corrected", "not_kept", "uncorrected")


@dataclass(frozen=True)
class Message:
    """A record of the topic."""

    offset: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    partition: int = 0


def message(offset: int, op: str, row: dict[str, Any], before: dict[str, Any] | None, lsn: int | None) -> Message:
    """`op` c, r, u, d, or leave and join: the halves of a change of user_id."""
    headers = {"leave": (("__debezium.newkey", b"{}"),), "join": (("__debezium.oldkey", b"{}"),)}.get(op, ())
    kind = {"leave": "d", "join": "c"}.get(op, op)
    images = {"before": row, "after": None} if kind == "d" else {"before": before, "after": row}
    source = {"lsn": lsn, "txId": offset, "ts_ms": NOON // 1000, "snapshot": "true" if op == "r" else "false"}
    envelope = {**images, "op": kind, "source": source, "ts_ms": NOON // 1000}
    return Message(offset, json.dumps(envelope).encode(), headers)


def image(user: int, number: int, cents: int | None, time: int, merchant: int | None = 1) -> dict[str, Any]:
    """The image of a row, `time` in seconds behind noon."""
    amount = None if cents is None else f"{cents / 100:.2f}"
    return {"id": number, "user_id": user, "amount": amount, "card_type": "VISA", "merchant_id": merchant,
            "created_at": NOON + time * SECOND}  # fmt: skip


def rule_of(golden: Any, name: str, folder: Path, corrections: str = "on") -> Rule:
    """The rule with the file's parameters."""
    given = golden.parameters.get(name, {})
    parameters = {key: str(value) if key == "window" else value for key, value in given.items()}
    path = folder / "rules.yaml"
    path.write_text(f"{name}: {{corrections: {corrections}, parameters: {parameters!r}}}")
    return load_rules(path)[0]


def rows_of(arrival: Arrival) -> Iterator[dict[str, Any]]:
    """The rows of a batch for a message, as docs/semantics.md ("Corrections") has it."""
    event, plain = arrival.event, ("judge", "history")
    if arrival.entry not in plain and arrival.name not in ("update", "delete", "key_change"):
        return
    assert event is not None
    row = arrival.row
    here = {
        "judge": arrival.entry == "judge", "partition": arrival.partition, "offset": arrival.offset, "id": row.id,
        "user_id": row.user_id, "cents": row.cents, "created_at": row.created_at, "card_type": row.card_type,
        "merchant_id": row.merchant_id, "lsn": event.lsn, "tx_id": event.tx_id, "committed_ms": event.committed_ms,
        "captured_ms": event.captured_ms,
    }  # fmt: skip
    old, judgeable = event.before, is_judgeable(row, event.captured_ms)
    if arrival.entry in plain:
        yield {**here, "change": Change.ENTER}
    elif event.lsn is None or (event.op == "u" and old is None):
        yield {**here, "change": Change.BLIND}
    elif event.op == "d":
        yield {**here, "change": Change.LEAVE if event.moved else Change.DELETE}
    elif event.op == "u" and old is not None and (old.id, old.user_id) != (row.id, row.user_id):
        yield {**here, "id": old.id, "user_id": old.user_id, "change": Change.LEAVE}
        if judgeable:
            yield {**here, "change": Change.FOLLOW}
    elif not judgeable:
        yield {**here, "change": Change.BLANK}
    else:
        yield {**here, "change": Change.JOIN if event.op == "c" else Change.REPLACE}


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The rows as a batch."""
    batch = {}
    for name in rows[0]:
        values = [NULL if row[name] is None and name != "card_type" else row[name] for row in rows]
        batch[name] = np.array(values, dtype=object if name == "card_type" else None)
    return batch


def folded(rule: Rule, messages: Sequence[Any], size: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Alerts and counts of the messages, in batches of so many."""
    alerts: list[dict[str, Any]] = []
    counts = dict.fromkeys(NAMES_OF_COUNTS, 0)
    state, read = None, list(arrivals(messages, MAX_BYTES))
    for start in range(0, len(read), size):
        rows = [row for arrival in read[start : start + size] for row in rows_of(arrival)]
        if not rows:
            continue
        result = fold(rule, state, columns(rows), TOPIC)
        state = result.state
        alerts += result.alerts
        for name in counts:
            counts[name] += getattr(result, name)
    return alerts, counts
