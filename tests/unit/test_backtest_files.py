"""Transactions and labels of files: exact values, an order, and a reason for each row that has none."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.backtest.files import history_of_file
from fraudstream.backtest.source import write_problems
from fraudstream.backtest.truth import Label, labels_of_file
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.exact import NULL

_NO_CENTS, _NONE = "amount is no exact number of cents", "amount is null or NaN"
NOON = 1_772_366_400_000_000  # 2026-03-01 12:00:00 UTC
TIME = "2026-03-01T12:00:00Z"


def csv_of(folder: Path, *lines: str, name: str = "some.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parquet_of(folder: Path, **columns) -> Path:
    count = len(next(iter(columns.values())))
    usual = {
        "id": list(range(1, count + 1)), "user_id": [1] * count, "amount": [Decimal("1.00")] * count,
        "created_at": [datetime(2026, 3, 1, 12)] * count,
    }  # fmt: skip
    path = folder / "some.parquet"
    pq.write_table(pa.table({**usual, **columns}), path)
    return path


def cents_in(path: Path) -> tuple[list[int], list[tuple[int, str]]]:
    found = history_of_file(path)
    return found.batch["cents"].tolist(), [(problem.row, problem.reason) for problem in found.problems]


def test_rows_are_in_the_order_of_time_and_then_of_the_file(tmp_path: Path):
    path = csv_of(
        tmp_path, "id,user_id,amount,created_at,card_type,merchant_id",
        "9,1,12.34,2026-03-01T12:00:01Z,VISA,7",
        "8,2,-0.05,2026-03-01 12:00:00,,",
        "7,3,3,2026-03-01T13:00:00.000001+01:00,AMEX,5",
        "6,3,4.5,2026-03-01T12:00:00Z,AMEX,5",
    )  # fmt: skip
    found = history_of_file(path)
    batch = found.batch
    assert batch["id"].tolist() == [8, 6, 7, 9]
    assert batch["cents"].tolist() == [-5, 450, 300, 1234]
    assert batch["created_at"].tolist() == [NOON, NOON, NOON + 1, NOON + 1_000_000]
    assert batch["card_type"].tolist() == [None, "AMEX", "AMEX", "VISA"]
    assert batch["merchant_id"].tolist() == [NULL, 5, 5, 7]
    assert batch["offset"].tolist() == [0, 1, 2, 3]
    assert batch["judge"].all()
    assert (found.rows, found.read, found.problems) == (4, 4, ())


def test_each_row_that_cannot_be_judged_is_told_with_its_number_and_reason(tmp_path: Path):
    path = csv_of(
        tmp_path, "id,user_id,amount,created_at",
        f"1,1,10.00,{TIME}",
        f"x,1,10.00,{TIME}",
        f",1,10.00,{TIME}",
        f"4,1.5,10.00,{TIME}",
        f"5,1,10.001,{TIME}",
        f"6,1,ten,{TIME}",
        f"7,1,,{TIME}",
        f"8,1,NaN,{TIME}",
        "9,1,10.00,yesterday",
        "10,1,10.00,",
        "11,1,10.00,1969-12-31T23:59:59Z",
        "12,1,10.00",
        f"13,1,10.0000,{TIME}",
        f"14,1,99999999999999999,{TIME}",
    )  # fmt: skip
    found = history_of_file(path)
    assert found.batch["id"].tolist() == [1, 13]
    assert [(problem.row, problem.outcome, problem.reason) for problem in found.problems] == [
        (2, "unreadable", "id is no whole number"),
        (3, "unreadable", "id is null"),
        (4, "unreadable", "user_id is no whole number"),
        (5, "unreadable", "amount is no exact number of cents"),
        (6, "unreadable", "amount is no exact number of cents"),
        (7, "unjudged", "amount is null or NaN"),
        (8, "unjudged", "amount is null or NaN"),
        (9, "unreadable", "created_at is no time"),
        (10, "unjudged", "created_at is null"),
        (11, "unjudged", "created_at is before 1970"),
        (12, "unreadable", "has other columns: 3, the header has 4"),
        (14, "unreadable", "amount is no exact number of cents"),
    ]
    assert found.left_out == {"unjudged": 4, "unreadable": 8}
    assert found.read == 14
    write_problems(tmp_path / "problems.csv", found.problems)
    rows = list(csv.DictReader((tmp_path / "problems.csv").open(encoding="utf-8")))
    assert rows[0] == {
        "row": "2", "outcome": "unreadable", "reason": "id is no whole number",
        "text": f"id=x, user_id=1, amount=10.00, created_at={TIME}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("amounts", "cents", "bad"),
    [
        (pa.array([Decimal("12.34"), None], pa.decimal128(10, 2)), [1234], [_NONE]),
        (pa.array([Decimal("12.3400"), Decimal("0.0001")], pa.decimal128(18, 4)), [1234], [_NO_CENTS]),
        (pa.array([0.1, 1e15, 0.1 + 0.2, float("nan")]), [10], [_NO_CENTS] * 2 + [_NONE]),
        (pa.array([12, -3, 10**18]), [1200, -300], [_NO_CENTS]),
        (pa.array(["+1.5", " 1"]), [150], [_NO_CENTS]),
    ],
    ids=["decimal", "four places", "double", "whole", "text"],
)  # fmt: skip
def test_amounts_are_exact_cents_whatever_their_type(amounts, cents, bad, tmp_path: Path):
    found, problems = cents_in(parquet_of(tmp_path, amount=amounts))
    assert found == cents
    assert [reason for _, reason in problems] == bad


@pytest.mark.parametrize(
    "times",
    [
        pa.array([NOON], pa.timestamp("us", "UTC")),
        pa.array([NOON * 1000 + 999], pa.timestamp("ns", "Europe/Berlin")),
        pa.array([NOON // 1_000_000], pa.timestamp("s")),
        pa.array(["2026-03-01T13:00:00+01:00"]),
    ],
)
def test_times_are_microseconds_whatever_their_type(times, tmp_path: Path):
    assert history_of_file(parquet_of(tmp_path, created_at=times)).batch["created_at"].tolist() == [NOON]


def test_a_date_is_its_midnight(tmp_path: Path):
    found = history_of_file(parquet_of(tmp_path, created_at=pa.array([date(2026, 3, 1)])))
    assert found.batch["created_at"].tolist() == [NOON - 12 * 3_600_000_000]


def test_a_compressed_csv_is_read_and_no_utf_8_does_not_refuse_it(tmp_path: Path):
    path = tmp_path / "some.csv.gz"
    path.write_bytes(gzip.compress(f"id,user_id,amount,created_at,card_type\n1,1,1.00,{TIME},\xff\n".encode("latin-1")))
    assert history_of_file(path).batch["card_type"].tolist() == ["�"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["id,user,amount,created_at", "1,1,1,x"], r"there is no column user_id. Is it user\?"),
        ([], "cannot be read"),
        (["id,user_id,amount,created_at,id", "1,1,1,2026-03-01,2"], "several columns are called id; keep one of each"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(lines, message, tmp_path: Path):
    path = tmp_path / "some.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(FraudstreamError, match=message) as error:
        history_of_file(path)
    assert "\n" not in str(error.value)
    with pytest.raises(FraudstreamError, match=r"nothing.parquet: cannot be read"):
        history_of_file(tmp_path / "nothing.parquet")


def test_a_column_of_another_type_is_refused_with_what_it_must_hold(tmp_path: Path):
    with pytest.raises(FraudstreamError, match="column user_id is of type double; it must hold whole numbers"):
        history_of_file(parquet_of(tmp_path, user_id=[1.5]))
    with pytest.raises(FraudstreamError, match="column created_at is of type int64"):
        history_of_file(parquet_of(tmp_path, created_at=[5]))


def test_labels_of_a_csv_file_are_confirmed_unless_they_say_otherwise(tmp_path: Path):
    plain = csv_of(tmp_path, "transaction_id,labelled_at", "3,2026-03-01T12:00:00Z")
    assert labels_of_file(plain) == [Label(3, "confirmed", NOON)]
    whole = csv_of(
        tmp_path, "transaction_id,label,labelled_at,kind,episode",
        "3,dismissed,2026-03-01T12:00:00Z,,", "4,confirmed,2026-03-01T12:00:01Z,burst,9",
    )  # fmt: skip
    assert labels_of_file(whole)[1] == Label(4, "confirmed", NOON + 1_000_000, "burst", 9)
    assert labels_of_file(whole)[0][:3] == (3, "dismissed", NOON)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["transaction_id,when", "3,2026-03-01T12:00:00Z"], "no column labelled_at"),
        (["transaction_id,labelled_at", ",2026-03-01T12:00:00Z"], "a label without a transaction_id"),
        (["transaction_id,labelled_at,label", "3,2026-03-01T12:00:00Z,fraud"], "a label is 'fraud'; it must be"),
        (["transaction_id,labelled_at", "x,2026-03-01T12:00:00Z"], "some.csv"),
    ],
)  # fmt: skip
def test_labels_that_are_none_are_refused(lines, message, tmp_path: Path):
    with pytest.raises(FraudstreamError, match=message):
        labels_of_file(csv_of(tmp_path, *lines))


def test_labels_of_a_parquet_file_have_the_same_fields(tmp_path: Path):
    path = tmp_path / "labels.parquet"
    at = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(microseconds=1)
    pq.write_table(pa.table({"transaction_id": [1], "labelled_at": [at], "kind": ["burst"]}), path)
    assert labels_of_file(path) == [Label(1, "confirmed", NOON + 1, "burst", None)]
