"""The generated people, and the questions about them."""

from __future__ import annotations

import sqlite3

import pyarrow as pa
import pytest

from fraudstream.errors import FraudstreamError
from fraudstream.input.people import people
from fraudstream.jdbc.questions import QUESTIONS
from fraudstream.jdbc.source import Snapshot, in_snapshot, jdbc_options


def table(rows: int, seed: int = 0) -> pa.Table:
    return pa.concat_tables(people(rows, seed))


def test_the_same_seed_gives_the_same_people_and_a_short_table_begins_a_long_one():
    long, short = table(60_000), table(50_001)
    assert long.num_rows == 60_000
    assert short.equals(long.slice(0, 50_001))
    assert not table(1000, seed=1).equals(table(1000))


def test_ids_count_from_1_and_the_well_paid_departments_earn_40000_more():
    found = table(60_000)
    assert found["id"].to_pylist() == list(range(1, 60_001))
    grouped = found.group_by("department").aggregate([("salary", "mean"), ("salary", "min"), ("salary", "max")])
    for row in grouped.to_pylist():
        low = 90_000 if row["department"] in ("Analytics", "Science") else 50_000
        assert low <= row["salary_min"] < low + 1000
        assert low + 69_000 < row["salary_max"] <= low + 70_000
    assert set(found["gender"].to_pylist()) == {"Female", "Male"}


@pytest.mark.parametrize("way", ["sql", "better"])
def test_the_questions_answers_worked_out_by_hand(way):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE people_big (id, first_name, last_name, gender, department, salary, country)")
    rows = [
        (1, "A", "X", "Female", "Sales", 10, "Peru"), (2, "B", "X", "Male", "Sales", 20, "Peru"),
        (3, "C", "X", "Male", "Audit", 60, "Peru"), (4, "D", "X", "Male", "Audit", 40, "Cuba"),
        (5, "E", "X", "Male", "Audit", 60, "Cuba"), (100_001, "F", "X", "Male", "Audit", 60, "Cuba"),
    ]  # fmt: skip
    database.executemany("INSERT INTO people_big VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    answers = [sorted(database.execute(getattr(question, way)).fetchall()) for question in QUESTIONS]
    assert answers[0] == [(6,)]
    assert answers[1] == [("Audit", 55), ("Sales", 15)]
    # Cuba: 160/3 of one department; Peru: the mean of 15 and 60.
    assert answers[2] == [("Cuba", 53.3333), ("Peru", 37.5)]
    assert [row[0] for row in answers[3]] == [1, 2, 3, 4, 5, 100_001]
    assert answers[4] == [(13,)]  # 3 x 3 of Peru and 2 x 2 of Cuba: the last is not among the first 100,000


def test_a_libpq_string_becomes_options_of_the_jdbc_source():
    dsn = r"host=db port=5433 dbname=mydb user=batch password='it''s' application_name=x connect_timeout=3"
    dsn = dsn.replace("it''s", r"it\'s")
    assert jdbc_options(dsn) == {
        "url": "jdbc:postgresql://db:5433/mydb", "driver": "org.postgresql.Driver", "user": "batch",
        "password": "it's", "ApplicationName": "x", "connectTimeout": "3",
    }  # fmt: skip
    with pytest.raises(FraudstreamError, match="--dsn"):
        jdbc_options("nonsense")


def test_sessions_enter_a_snapshot_only_with_a_fetch_size():
    options = in_snapshot(Snapshot("0000-1", 1, 9))
    assert options["sessionInitStatement"].endswith("SET TRANSACTION SNAPSHOT '0000-1'")
    assert int(options["fetchsize"]) > 0  # else Spark leaves autocommit on, and the snapshot ends with its statement
