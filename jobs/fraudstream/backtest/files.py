"""Transactions of a Parquet or CSV file: exact cents and microseconds, and a reason for each row that has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fraudstream.arrow import MONEY, cents_of, integers_of, one_array
from fraudstream.backtest.source import History, Ints, Problem
from fraudstream.cdc.shape import CENTS_LIMIT
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.exact import NULL
from fraudstream.triage.times import to_micros

NEEDED = ("id", "user_id", "amount", "created_at")
OPTIONAL = ("card_type", "merchant_id")
_WHOLE = r"^[+-]?[0-9]{1,18}$"
_MONEY = r"^[+-]?[0-9]{1,16}(\.[0-9]{1,2}0{0,8})?$"
_NO_NUMBER = r"^[+-]?([Nn][Aa][Nn]|[Ii]nf(inity)?|Infinity)?$"
_NO_TIME, _NO_AMOUNT, _NO_COLUMNS = "created_at is no time", "amount is no exact number of cents", "has other columns"
pc: Any = pyarrow.compute  # which makes its functions as it is imported
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Column:
    """Values of a column; `bad` marks those that cannot be read, and NULL stands for null."""

    values: npt.NDArray[Any]
    bad: Bools


def history_of_file(path: Path) -> History:
    """The transactions of a file in the order of their created_at, at the same time in that of the file.

    Of each row that no rule can judge there is a problem: unreadable (no id or user, a value of the wrong form) or
    unjudged (no amount or time, or one before 1970). Raises FraudstreamError for a file that cannot be read, or lacks a
    column.
    """
    table, problems = _read(path)
    _require_columns(path, table.column_names)
    columns = {name: READERS[name](table, path) for name in (*NEEDED, *OPTIONAL)}
    reasons = _reasons(columns)
    lines = table["row"].to_numpy() if "row" in table.column_names else np.arange(1, len(table) + 1)
    kept = np.ones(len(table), dtype=bool)
    for place, (outcome, reason) in sorted(reasons.items()):
        kept[place] = False
        problems.append(Problem(int(lines[place]), outcome, reason, _shown(table, place)))
    problems.sort()
    counts = {name: sum(problem.outcome == name for problem in problems) for name in ("unjudged", "unreadable")}
    return History(str(path), path.name, _batch(columns, kept), None, counts, tuple(problems))


def _batch(columns: dict[str, Column], kept: Bools) -> dict[str, npt.NDArray[Any]]:
    times = columns["created_at"].values[kept]
    order = np.argsort(times, kind="stable")
    found = {name: column.values[kept][order] for name, column in columns.items() if name != "amount"}
    count = len(order)
    nothing = np.full(count, NULL)
    return {
        **found,
        "cents": columns["amount"].values[kept][order],
        "offset": np.arange(count),
        "partition": np.zeros(count, dtype=np.int64),
        "judge": np.ones(count, dtype=bool),
        **dict.fromkeys(("lsn", "tx_id", "committed_ms", "captured_ms"), nothing),
    }


def _reasons(columns: dict[str, Column]) -> dict[int, tuple[str, str]]:
    """By place the outcome and the first reason of each row that cannot be judged."""
    checks = [
        *(("unreadable", f"{name} is no whole number", columns[name].bad) for name in ("id", "user_id")),
        *(("unreadable", f"{name} is null", columns[name].values == NULL) for name in ("id", "user_id")),
        ("unreadable", "merchant_id is no whole number", columns["merchant_id"].bad),
        ("unreadable", _NO_AMOUNT, columns["amount"].bad),
        ("unreadable", _NO_TIME, columns["created_at"].bad),
        ("unreadable", "card_type is no text", columns["card_type"].bad),
        ("unjudged", "amount is null or NaN", columns["amount"].values == NULL),
        ("unjudged", "created_at is null", columns["created_at"].values == NULL),
        ("unjudged", "created_at is before 1970", columns["created_at"].values < 0),
    ]
    found: dict[int, tuple[str, str]] = {}
    for outcome, reason, where in checks:
        for place in np.flatnonzero(where).tolist():
            found.setdefault(place, (outcome, reason))
    return found


def _read(path: Path) -> tuple[pa.Table, list[Problem]]:
    """The file's table (of a CSV file texts, and the number `row` of each), and the rows without the columns."""
    problems: list[Problem] = []
    try:
        if path.name.removesuffix(".gz").endswith(".csv"):
            return _read_csv(path, problems), problems
        return pq.read_table(path), problems
    except (OSError, pa.ArrowException) as error:
        first = " ".join(str(error).split())[:200]
        raise FraudstreamError(
            f"{path}: cannot be read ({first}); --transactions takes a Parquet file, a CSV file (*.csv, *.csv.gz) with "
            "a header, or `lake`."
        ) from error


def _read_csv(path: Path, problems: list[Problem]) -> pa.Table:
    """Every value as bytes: what is no number, time or UTF-8 is told row by row, and refuses no file."""

    def note(row: Any) -> str:
        number = row.number - 1  # the header is row 1
        reason = f"{_NO_COLUMNS}: {row.actual_columns}, the header has {row.expected_columns}"
        problems.append(Problem(number, "unreadable", reason, row.text[:200]))
        return "skip"

    with pa_csv.open_csv(path, parse_options=pa_csv.ParseOptions(invalid_row_handler=lambda row: "skip")) as header:
        names = header.schema.names
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise FraudstreamError(f"{path}: several columns are called {', '.join(doubled)}; keep one of each.")
    table = pa_csv.read_csv(
        path,
        pa_csv.ReadOptions(use_threads=False),  # only then rows have numbers
        pa_csv.ParseOptions(invalid_row_handler=note),
        pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=True, null_values=[""]
        ),
    )
    skipped = np.array([problem.row for problem in problems], dtype=np.int64)
    numbers = np.setdiff1d(np.arange(1, len(table) + len(skipped) + 1), skipped)
    texts = {name: _as_text(table[name]) for name in names}
    return pa.table({**texts, "row": numbers}) if "row" not in names else pa.table(texts)


def _as_text(column: Any) -> Any:
    """Bytes as texts; those that are no UTF-8 with the sign for it in their place."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if value is None else value.decode(errors="replace") for value in column.to_pylist()])


def _require_columns(path: Path, found: list[str]) -> None:
    for name in NEEDED:
        if name not in found:
            close = get_close_matches(name, found, 1)
            hint = f" Is it {close[0]}?" if close else ""
            raise FraudstreamError(
                f"{path}: there is no column {name}.{hint} A file of transactions has {', '.join(NEEDED)}, and may "
                f"have {', '.join(OPTIONAL)}."
            )


def _whole_numbers(name: str) -> Callable[[pa.Table, Path], Column]:
    def read(table: pa.Table, path: Path) -> Column:
        if name not in table.column_names:
            return Column(np.full(len(table), NULL), np.zeros(len(table), dtype=bool))
        column = one_array(table[name])
        if pa.types.is_integer(column.type) or pa.types.is_null(column.type):
            return _column(integers_of(column), column, np.zeros(len(column), dtype=bool))
        if not _is_text(column.type):
            raise _wrong(path, name, column.type, "whole numbers")
        text = column.cast(pa.string())
        is_whole = _matches(text, _WHOLE)
        return _column(integers_of(_where(is_whole, text)), column, ~is_whole)

    return read


def _amounts(table: pa.Table, path: Path) -> Column:
    column = one_array(table["amount"])
    kind = column.type
    if pa.types.is_decimal(kind) and kind.scale <= 2 and kind.precision - kind.scale <= 16:
        cents, bad = cents_of(column), np.zeros(len(column), dtype=bool)
    elif pa.types.is_integer(kind):
        units = integers_of(column)
        bad = (units != NULL) & (np.abs(units) >= CENTS_LIMIT // 100)
        cents = np.where(bad | (units == NULL), NULL, units * 100)
    elif pa.types.is_floating(kind):
        cents, bad = _cents_of_doubles(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    elif pa.types.is_decimal(kind) or _is_text(kind) or pa.types.is_null(kind):
        text = column.cast(pa.string())
        is_money = _matches(text, _MONEY)
        wide = pc.cast(_where(is_money, text), pa.decimal128(38, 10))
        cents, bad = cents_of(pc.cast(wide, MONEY)), ~is_money & ~_matches(text, _NO_NUMBER)
    else:
        raise _wrong(path, "amount", kind, "decimals, whole or binary numbers, or texts like 12.34")
    return _column(cents, column, bad | ((cents != NULL) & (np.abs(cents) >= CENTS_LIMIT)))


def _cents_of_doubles(amounts: npt.NDArray[np.float64]) -> tuple[Ints, Bools]:
    """A double is the amount c / 100 iff dividing gives the same double (cdc.values has the reason)."""
    is_number = np.isfinite(amounts)
    is_small = is_number & (np.abs(np.where(is_number, amounts, 0)) < CENTS_LIMIT // 100)
    cents = np.rint(np.where(is_small, amounts, 0) * 100).astype(np.int64)
    is_exact = is_small & (cents / 100 == np.where(is_small, amounts, 0))
    return np.where(is_exact, cents, NULL), is_number & ~is_exact


def _times(table: pa.Table, path: Path) -> Column:
    column = one_array(table["created_at"])
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type) or pa.types.is_null(column.type):
        zone = column.type.tz if pa.types.is_timestamp(column.type) else None
        try:
            micros = column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise FraudstreamError(f"{path}: created_at: {str(error).splitlines()[0]}.") from error
        return _column(integers_of(micros), column, np.zeros(len(column), dtype=bool))
    if not _is_text(column.type):
        raise _wrong(path, "created_at", column.type, "timestamps, or texts like 2026-03-01T12:00:00Z")
    found = [NULL if text is None else _micros(text) for text in column.cast(pa.string()).to_pylist()]
    bad = np.array([micros is None for micros in found], dtype=bool)
    return _column(np.array([NULL if micros is None else micros for micros in found], dtype=np.int64), column, bad)


def _micros(text: str) -> int | None:
    """Microseconds of a time in ISO 8601, UTC unless it says otherwise; None for another text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_micros(moment.replace(tzinfo=moment.tzinfo or UTC))


def _cards(table: pa.Table, path: Path) -> Column:
    none = np.zeros(len(table), dtype=bool)
    if "card_type" not in table.column_names:
        return Column(np.full(len(table), None, dtype=object), none)
    column = one_array(table["card_type"])
    if pa.types.is_dictionary(column.type) or _is_text(column.type) or pa.types.is_null(column.type):
        texts = column.cast(pa.string()).to_numpy(zero_copy_only=False)
        return Column(texts, none)
    raise _wrong(path, "card_type", column.type, "texts")


READERS: dict[str, Callable[[pa.Table, Path], Column]] = {
    "id": _whole_numbers("id"),
    "user_id": _whole_numbers("user_id"),
    "merchant_id": _whole_numbers("merchant_id"),
    "amount": _amounts,
    "created_at": _times,
    "card_type": _cards,
}


def _column(values: Ints, column: Any, bad: Bools) -> Column:
    """Null is NULL and not bad."""
    return Column(values, bad & column.is_valid().to_numpy(zero_copy_only=False))


def _matches(text: Any, pattern: str) -> Bools:
    found: Bools = pc.fill_null(pc.match_substring_regex(text, pattern), False).to_numpy(zero_copy_only=False)
    return found


def _where(wanted: Bools, text: Any) -> Any:
    """The texts of the mask; null for the others."""
    return pc.if_else(pa.array(wanted), text, pa.scalar(None, text.type))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _wrong(path: Path, name: str, kind: Any, allowed: str) -> FraudstreamError:
    return FraudstreamError(f"{path}: the column {name} is of type {kind}; it must hold {allowed}.")


def _shown(table: pa.Table, place: int) -> str:
    names = [name for name in (*NEEDED, *OPTIONAL) if name in table.column_names]
    values = (table[name][place].as_py() for name in names)
    return ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))[:200]
