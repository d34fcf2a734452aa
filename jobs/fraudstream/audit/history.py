"""The changes that rules have taken, from the lake where the mirror has written them and from the topic where not."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from fraudstream import lake
from fraudstream.arrow import integers_of
from fraudstream.audit.bounds import MIRROR, Bounds
from fraudstream.audit.records import CHANGES, Scan, event_of
from fraudstream.backtest.source import History, history_of_changes
from fraudstream.cdc.envelope import ChangeEvent, entry
from fraudstream.changes import COLUMNS, CORRECTS, ENTERS
from fraudstream.check.topic import Record
from fraudstream.masking import Mask

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT = pa.string()
_INT = pa.int64()
_TIME = pa.timestamp("us", "UTC")
_SCHEMA = pa.schema(
    {
        "op": _TEXT, "id": _INT, "user_id": _INT, "amount": pa.decimal128(18, 2), "card_type": _TEXT,
        "merchant_id": _INT, "created_us": _INT, "before_user_id": _INT, "snapshot": _TEXT, "moved": pa.bool_(),
        "entry": _TEXT, "topic": _TEXT, "partition": pa.int32(), "offset": _INT, "lsn": _INT, "tx_id": _INT,
        "committed_at": _TIME, "captured_at": _TIME,
    }
)  # fmt: skip


def history(
    folder: str,
    found: Scan,
    missing: Iterable[tuple[Record, ChangeEvent]],
    bounds: Bounds,
    max_bytes: int,
    mask: Mask | None = None,
) -> tuple[History, dict[int, int]]:
    """What rules have taken, by partition and offset, each record once; and up to which offset of each partition.

    `missing` are changes that the mirror should have and has not.
    """
    topic, end = bounds.transactions.name, dict(bounds.of(MIRROR))
    events = list(missing)
    if not found.far_behind:
        events += [(r, event) for r in found.behind if (event := event_of(r, max_bytes, mask)) and event.op in CHANGES]
        for number, offsets in found.offsets.items():
            end[number] = max(end.get(number, 0), int(offsets[-1]) + 1)
    parts = [_of_events(events, topic)]
    if lake.open_table(folder, "transaction_changes") is not None:
        parts.insert(0, _of_lake(folder, bounds))
    rows = pa.concat_tables(parts)
    return history_of_changes(_ordered(rows), topic, folder), end


def _of_lake(folder: str, bounds: Bounds) -> pa.Table:
    named = ", ".join(f'"{name}"' for name in COLUMNS)
    before = " OR ".join(f'("partition" = {p} AND "offset" < {offset})' for p, offset in bounds.of(MIRROR).items())
    where = f"({ENTERS} OR {CORRECTS}) AND topic = {lake.literal(bounds.transactions.name)} AND ({before or 'false'})"
    found = lake.query(folder, "transaction_changes", f"SELECT {named} FROM transaction_changes WHERE {where}")
    return found.select(_SCHEMA.names).cast(_SCHEMA)


def _of_events(events: Iterable[tuple[Record, ChangeEvent]], topic: str) -> pa.Table:
    rows = (_row(record, event, topic) for record, event in events if event.row is not None)
    return pa.Table.from_pylist([row for row in rows if _is_taken(row)], schema=_SCHEMA)


def _is_taken(row: dict[str, Any]) -> bool:
    """What ENTERS and CORRECTS say."""
    if row["entry"] in ("judge", "history"):
        return True
    if row["op"] == "c":
        return bool(row["moved"])
    return row["op"] in ("u", "d") and bool(row["moved"] or row["snapshot"] != "incremental")


def _row(record: Record, event: ChangeEvent, topic: str) -> dict[str, Any]:
    row = event.row
    assert row is not None
    return {
        "op": event.op, "id": row.id, "user_id": row.user_id, "card_type": row.card_type,
        "amount": None if row.cents is None else Decimal(row.cents).scaleb(-2), "merchant_id": row.merchant_id,
        "created_us": row.created_at, "before_user_id": event.before.user_id if event.before else None,
        "snapshot": event.snapshot, "moved": event.moved, "entry": entry(event), "topic": topic,
        "partition": record.partition, "offset": record.offset, "lsn": event.lsn, "tx_id": event.tx_id,
        "committed_at": _moment(event.committed_ms), "captured_at": _moment(event.captured_ms),
    }  # fmt: skip


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else _EPOCH + timedelta(milliseconds=millis)


def _ordered(rows: pa.Table) -> pa.Table:
    """By partition and offset; of rows that stand there twice the first."""
    partitions, offsets = integers_of(rows["partition"]), integers_of(rows["offset"])
    order = np.lexsort((offsets, partitions))
    again = (np.diff(partitions[order]) == 0) & (np.diff(offsets[order]) == 0)
    return rows.take(order[~np.append(False, again)[: len(order)]])
