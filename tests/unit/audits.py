"""Bounds, messages and scans for the tests of the audit."""

from __future__ import annotations

import json

import numpy as np

from fraudstream.audit import records
from fraudstream.audit.bounds import MIRROR, Bounds, Topic
from fraudstream.check.topic import Record

MAX = 262_144


def bounds(end: int, *, since: int = 0, **positions: int) -> Bounds:
    """The mirror stands at `end` of topic "t", other queries at `positions`; records from `since` on are read."""
    topic = Topic("t", {0: 0}, {0: since}, {0: since})
    queries = {MIRROR: {0: end}, **{name: {0: offset} for name, offset in positions.items()}}
    return Bounds(
        0.0, dict.fromkeys(queries, 0), queries, topic, {"archive_alerts": Topic("a", {0: 0}, {0: 0}, {0: 0})}
    )


def message(offset: int, number: int = 1, op: str = "c", cents: str = "10.00") -> Record:
    """A change of row `number`, of user 7, at that offset."""
    row = {
        "id": number,
        "user_id": 7,
        "amount": cents,
        "card_type": "VISA",
        "merchant_id": 3,
        "created_at": 1772366400000000,
    }
    images = {"before": row, "after": None} if op == "d" else {"before": None, "after": row}
    source = {"lsn": 100 * number, "txId": number, "ts_ms": 1772366400000, "snapshot": "false"}
    value = json.dumps({**images, "source": source, "op": op, "ts_ms": 1772366400000}).encode()
    return Record(0, offset, b"{}", value, (), 0)


def scanned(*offsets: int) -> records.Scan:
    """A topic that has records at these offsets, all of them mirrored."""
    return records.Scan({0: np.array(offsets, dtype=np.int64)})
