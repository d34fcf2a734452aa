"""lake/polled_alerts: the columns of lake/alerts, so that the one can be subtracted from the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from fraudstream.errors import FraudstreamError

TABLE = "polled_alerts"
_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("alert_id", pa.string()), ("rule", pa.string()), ("rule_version", pa.string()), ("severity", pa.string()),
        ("user_id", pa.int64()), ("transaction_id", pa.int64()), ("amount", pa.decimal128(18, 2)),
        ("card_type", pa.string()), ("merchant_id", pa.int64()), ("score", pa.decimal128(18, 4)),
        ("reason", pa.string()), ("evidence", pa.string()), ("event_time", _TIME), ("lsn", pa.int64()),
        ("tx_id", pa.int64()), ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()),
        ("committed_at", _TIME), ("captured_at", _TIME), ("detected_at", _TIME), ("alert_partition", pa.int32()),
        ("alert_offset", pa.int64()), ("payload", pa.string()),
    ]
)  # fmt: skip


def deliver(path: str, writer: str, pending: Sequence[tuple[int, float, str]]) -> None:
    """Append alerts (number of the poll, time of detection, alert as JSON) in one commit. What the table has already
    of this `writer` is not appended again. Raises FraudstreamError when the package deltalake is missing."""
    try:
        from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
    except ImportError:
        raise FraudstreamError(
            "the package deltalake, which writes the alerts without Spark, is not installed; run `make setup`."
        ) from None
    table = DeltaTable.create(path, SCHEMA, mode="ignore")
    last = table.transaction_version(writer)
    fresh = [each for each in pending if last is None or each[0] > last]
    if fresh:
        data = pa.Table.from_pylist([alert_row(value, detected) for _, detected, value in fresh], SCHEMA)
        mark = CommitProperties(app_transactions=[Transaction(writer, fresh[-1][0])])
        write_deltalake(table, data, mode="append", commit_properties=mark)


def alert_row(value: str, detected_at: float) -> dict[str, Any]:
    """The row of an alert in canonical JSON; the place in a topic of alerts is null."""
    payload = json.loads(value)
    score = payload["score"]
    times = {name: _time(payload[name]) for name in ("event_time", "committed_at", "captured_at")}
    return {
        **payload, **times, "amount": Decimal(payload["amount"]),
        "score": None if score is None else Decimal(str(score)),
        "evidence": json.dumps(payload["evidence"], separators=(",", ":")), "payload": value,
        "detected_at": datetime.fromtimestamp(detected_at, UTC), "alert_partition": None, "alert_offset": None,
    }  # fmt: skip


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
