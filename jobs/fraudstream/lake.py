"""The lake's tables without Spark: `deltalake` opens one within a second, where a Spark session takes many."""

from __future__ import annotations

import importlib
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from fraudstream.errors import FraudstreamError

_WRITTEN_BY = {"alerts": "archive_alerts", "transaction_changes": "mirror_transactions"}
_WRITTEN_BY["transactions"] = _WRITTEN_BY["quarantine"] = _WRITTEN_BY["transaction_changes"]


def query(folder: str, table: str, sql: str) -> pa.Table:
    """The result of a query over one table, which it names as it is named in the lake.

    Raises FraudstreamError if there is no such table, saying which job writes it. The query is run by deltalake's own
    engine: readers of pyarrow over a file system in Python may abort the interpreter when it ends (apache/arrow 34314).
    """
    found = open_table(folder, table)
    if found is None:
        writer = f"`./spark-submit.sh {_WRITTEN_BY[table]}` writes it; " if table in _WRITTEN_BY else ""
        raise FraudstreamError(
            f"{folder}/{table}: there is no such table. {writer}another lake is named with --lake, like run/demo/lake."
        )
    try:
        result = pa.table(library().QueryBuilder().register(table, found).execute(sql))
    except Exception as error:  # the engine's errors have no class in common
        raise FraudstreamError(f"{folder}/{table}: cannot be read: {str(error).splitlines()[0]}") from error
    texts = [pa.field(f.name, pa.string() if f.type == pa.string_view() else f.type) for f in result.schema]
    return result.cast(pa.schema(texts))


def columns(folder: str, table: str) -> list[str]:
    """The names of a table's columns; none if there is no such table."""
    found = open_table(folder, table)
    return [] if found is None else [field.name for field in found.schema().fields]


def open_table(folder: str, table: str) -> Any:
    """The table as deltalake's DeltaTable, None if there is none. Raises FraudstreamError if it cannot be opened."""
    deltalake = library()
    try:
        return deltalake.DeltaTable(f"{folder}/{table}")
    except deltalake.exceptions.TableNotFoundError:
        return None
    except (deltalake.exceptions.DeltaError, OSError) as error:
        raise FraudstreamError(f"{folder}/{table}: cannot be opened: {str(error).splitlines()[0]}") from error


def files(table: Any) -> dict[str, int]:
    """Path, below the table's own, and bytes of each file of the table's newest version."""
    added = pa.table(table.get_add_actions(flatten=True)).select(["path", "size_bytes"]).to_pylist()
    return {unquote(each["path"]): each["size_bytes"] for each in added}


def literal(value: int | str | None) -> str:
    """A value as it stands in a query; `IS NOT DISTINCT FROM` compares with a null one."""
    if value is None or isinstance(value, int):
        return "NULL" if value is None else str(value)
    return "'" + value.replace("'", "''") + "'"


def library() -> Any:
    """The package deltalake. Raises FraudstreamError where it is not installed: the streaming jobs do without it."""
    try:
        return importlib.import_module("deltalake")
    except ModuleNotFoundError:
        raise FraudstreamError(
            "this command needs the Python package deltalake; run `pip install -r requirements-stack.txt`."
        ) from None
