"""What a run left behind, read without Spark: PostgreSQL's rows and the lake's tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pyarrow as pa
from deltalake import DeltaTable

from fraudstream.errors import FraudstreamError
from fraudstream.masking import Mask, masked_id

# Microseconds since 1970 that a timestamp column can show: years 1 to 9999.
_SHOWABLE = (-62_135_596_800_000_000, 253_402_300_799_999_999)
_ROWS = """
    SELECT id, user_id, CASE WHEN amount <> 'NaN' THEN (amount * 100)::bigint END, card_type, merchant_id,
        CASE WHEN isfinite(created_at) THEN (extract(epoch FROM created_at) * 1000000)::bigint END
    FROM public.transactions
"""
_FRAUDS = "SELECT transaction_id, min(kind) FROM truth.frauds GROUP BY transaction_id"


def postgres_rows(dsn: str, mask: Mask | None = None) -> Iterator[tuple[Any, ...]]:
    """(id, user, cents, card type, merchant, created_at in microseconds, the same if a table can show it) of every row
    of public.transactions; NaN is null, users are masked by `mask`."""
    for number, user, *row, micros in _selected(dsn, _ROWS):
        showable = micros is not None and _SHOWABLE[0] <= micros <= _SHOWABLE[1]
        yield (number, masked_id(user, mask) if mask else user, *row, micros, micros if showable else None)


def current_rows(path: str) -> Iterator[tuple[Any, ...]]:
    """The rows of the mirror that are not deleted, like `postgres_rows`."""
    names = ("id", "user_id", "amount", "card_type", "merchant_id", "created_us", "created_at")
    table = _table(path, [*names, "deleted"])
    if table is None:
        return
    table = table.filter(pa.array(not deleted for deleted in table["deleted"].to_pylist()))
    columns = {name: table[name].to_pylist() for name in names if name != "created_at"}
    columns["created_at"] = table["created_at"].cast(pa.int64()).to_pylist()  # Delta's timestamps are microseconds
    columns["amount"] = [None if amount is None else int(amount * 100) for amount in columns["amount"]]
    yield from zip(*(columns[name] for name in names), strict=True)


def archived_alerts(path: str) -> list[tuple[str, str, int, str, str, int]]:
    """(rule, alert_id, transaction id, payload, status, revision) of every row of lake/alerts."""
    return _tuples(path, ["rule", "alert_id", "transaction_id", "payload", "status", "revision"])


def quarantined(path: str) -> list[tuple[int, int, bytes | None]]:
    """(partition, offset, value) of every row of lake/quarantine."""
    return _tuples(path, ["partition", "offset", "value"])


def frauds(dsn: str) -> dict[int, str]:
    """The kind of fraud per transaction id: the ground truth that the pipeline cannot see."""
    return dict(_selected(dsn, _FRAUDS))


def _selected(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    try:
        connection = psycopg2.connect(dsn)
    except psycopg2.Error as error:
        text = " ".join(str(error).split())
        raise FraudstreamError(f"PostgreSQL: {text}; check that the stack is up (make status).") from None
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def _tuples(path: str, columns: list[str]) -> list[Any]:
    table = _table(path, columns)
    return [] if table is None else list(zip(*(table[name].to_pylist() for name in columns), strict=True))


def _table(path: str, columns: list[str]) -> pa.Table | None:
    """The columns of a Delta table; None if there is no table (nothing was written yet)."""
    return DeltaTable(path).to_pyarrow_table(columns=columns) if DeltaTable.is_deltatable(path) else None
