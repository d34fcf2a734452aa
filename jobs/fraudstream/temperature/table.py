"""lake/temperature_averages: a window's rows replaced as a whole, in one commit, whoever writes them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from fraudstream.errors import FraudstreamError
from fraudstream.temperature.averages import Average, table_row
from fraudstream.temperature.windows import Window, literals

_TYPES = {
    "string": pa.string(), "long": pa.int64(), "boolean": pa.bool_(), "double": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"), "decimal(18,4)": pa.decimal128(18, 4),
}  # fmt: skip


def place(engine: str, windows: Sequence[Window]) -> str:
    """SQL: the rows of these windows, all of one length."""
    length = int((windows[0].end - windows[0].start).total_seconds())
    ends = literals([window.end for window in windows])
    return f"engine = '{engine}' AND window_seconds = {length} AND window_end IN ({ends})"


def arrow_schema(columns: str) -> pa.Schema:
    """The Arrow schema of a table's DDL."""
    return pa.schema([(name, _TYPES[kind]) for name, kind in (column.split() for column in columns.split(", "))])


def replace_windows(path: str, columns: str, engine: str, averages: Mapping[Window, Sequence[Average]]) -> None:
    """Replace the windows' rows without Spark. Repeating it changes no row but its computed_at.

    Raises FraudstreamError when the package deltalake is missing.
    """
    try:
        from deltalake import DeltaTable, write_deltalake
    except ImportError:
        raise FraudstreamError(
            "the package deltalake, which writes the table without Spark, is not installed; run `make setup`, "
            "or use --engine jdbc."
        ) from None
    schema, now = arrow_schema(columns), datetime.now(UTC)
    rows = [table_row(engine, window, each, now) for window, found in averages.items() for each in found]
    with alone(path):
        DeltaTable.create(path, schema, mode="ignore")
        data = pa.Table.from_pylist(rows, schema)
        write_deltalake(path, data, mode="overwrite", predicate=place(engine, list(averages)))


@contextmanager
def alone(path: str) -> Iterator[None]:
    """Keep the other engines' writers of a local table waiting: Spark and deltalake know nothing of each other."""
    lock = Path(f"{path}.lock")
    if "://" in path:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
