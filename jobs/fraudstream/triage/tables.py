"""The two tables that triage writes, and nothing else does: lake/labels and lake/snoozes. Rows are only appended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from fraudstream import lake
from fraudstream.errors import FraudstreamError

_TIME = pa.timestamp("us", "UTC")
SCHEMAS = {
    "labels": pa.schema(
        [
            pa.field("transaction_id", pa.int64(), nullable=False),
            pa.field("alert_id", pa.string()),
            pa.field("label", pa.string(), nullable=False),
            pa.field("labelled_at", _TIME, nullable=False),
            pa.field("by", pa.string(), nullable=False),
            pa.field("note", pa.string()),
        ]
    ),
    "snoozes": pa.schema(
        [
            pa.field("user_id", pa.int64(), nullable=False),
            pa.field("rule", pa.string(), nullable=False),
            pa.field("since", _TIME, nullable=False),
            pa.field("until", _TIME, nullable=False),
            pa.field("by", pa.string(), nullable=False),
            pa.field("note", pa.string()),
        ]
    ),
}
_TRIES = 20


def append(folder: str, table: str, row: Mapping[str, Any]) -> None:
    """Add a row; the table is made with the first one. Two appends at once do not conflict in Delta, two that both make
    the table do, and the later one is tried again. Raises FraudstreamError if the lake cannot be written."""
    deltalake = lake.library()
    path, rows = f"{folder}/{table}", pa.Table.from_pylist([dict(row)], schema=SCHEMAS[table])
    for attempt in range(_TRIES):
        try:
            if lake.open_table(folder, table) is None:
                deltalake.DeltaTable.create(path, SCHEMAS[table], mode="error")
            deltalake.write_deltalake(path, rows, mode="append")
            return
        except (deltalake.exceptions.DeltaError, OSError) as error:
            if isinstance(error, OSError) or attempt == _TRIES - 1:
                raise FraudstreamError(f"{path}: cannot be written: {str(error).splitlines()[0]}") from error


def rows(folder: str, table: str) -> list[dict[str, Any]]:
    """Every row; none if the table has not been made yet."""
    if lake.open_table(folder, table) is None:
        return []
    found: list[dict[str, Any]] = lake.query(folder, table, f"SELECT * FROM {table}").to_pylist()
    return found
