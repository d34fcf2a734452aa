"""The exercise's five questions about people in four ways, on the real database."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from fraudstream.config import load_pipeline
from fraudstream.jdbc.questions import QUESTIONS, TABLE
from fraudstream.jdbc.source import exported_snapshot, table_of
from fraudstream.jdbc.ways import ask_all, differing, in_order
from fraudstream.stack.connect import CONNECTORS, delete_connector, put_connector
from fraudstream.stack.processes import wait_until
from fraudstream.stack.settings import REPOSITORY
from fraudstream.streams.people import people_table
from fraudstream.streams.table_mirror import start_table
from stack.world import _drop_slot, topic_values

pytestmark = pytest.mark.stack
ROWS = 5000


def run(dsn: str, sql: str) -> list[tuple]:
    with closing(psycopg2.connect(dsn)) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def pipeline(tmp_path: Path):
    return replace(load_pipeline(), **{name: str(tmp_path / name) for name in ("lake", "checkpoints", "progress")})


@pytest.fixture
def filled(stack):
    """people_big filled by the job."""
    job = [sys.executable, str(REPOSITORY / "jobs" / "produce_people.py"), "--rows", str(ROWS)]
    done = subprocess.run(job, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("5,000 people written")


@pytest.fixture
def captured(stack, filled):
    """A connector for people_big."""
    put_connector(stack, CONNECTORS / "people.json")
    yield
    delete_connector(stack, "people")
    _drop_slot(stack, "people_slot")


@pytest.fixture
def quiet(stack):
    """PostgreSQL does nothing by itself: what an ANALYZE reads would count among the rows that the questions read."""
    with closing(psycopg2.connect(stack.dsn("postgres"))) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("ALTER SYSTEM SET autovacuum = off")
        cursor.execute("SELECT pg_reload_conf()")

        def have_ended() -> bool:
            """The launcher, and each worker that it had started."""
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum %'")
            return cursor.fetchall() == [(0,)]

        wait_until(stack, "postgres", have_ended, 60)
        yield
        cursor.execute("ALTER SYSTEM RESET autovacuum")
        cursor.execute("SELECT pg_reload_conf()")


def test_four_ways_to_the_same_answers(stack, spark, pipeline, captured, quiet):
    app = stack.dsn("app")
    run(app, "UPDATE people_big SET salary = salary + 1000 WHERE id % 7 = 0")
    run(app, "DELETE FROM people_big WHERE id % 11 = 0")
    ((last,),) = run(app, "INSERT INTO people_big (salary, country) VALUES (1, 'Peru') RETURNING id")
    assert last == ROWS + 1
    for _ in range(600):
        if any((each["after"] or {}).get("id") == last for each in topic_values(stack, "people.public.people_big")):
            break
        threading.Event().wait(0.1)
    start_table(spark, pipeline, people_table("people.public.people_big"), until_caught_up=True).awaitTermination()

    results = ask_all(spark, stack.dsn("batch"), pipeline.table(TABLE), ("naive", "partitioned", "pushed", "mirror"))
    assert differing(results) == []
    answers = {(each["way"], each["question"]): each for each in results}
    for question in QUESTIONS:
        by_sql = in_order(run(app, question.sql))
        assert answers["mirror", question.name]["answer"] == by_sql
    assert answers["naive", "rows"]["answer"] == [(ROWS - ROWS // 11 + 1,)]
    assert len(answers["pushed", "salary by department"]["answer"]) == 25  # 24 departments and null
    # What the database did: pushed down, it aggregates where the others fetch; the mirror asks nothing.
    assert answers["mirror", "salary by department"]["rows_read"] < 1000
    assert answers["naive", "salary by department"]["rows_read"] > 4000


def test_partitions_read_one_snapshot_while_rows_change(stack, spark, filled):
    with exported_snapshot(stack.dsn("batch"), TABLE, "id") as snapshot:
        table = table_of(spark, stack.dsn("batch"), TABLE, "id", snapshot, partitions=3)
        assert table.rdd.getNumPartitions() == 3
        # Ids change places between two partitions and a row comes in after the snapshot was taken.
        run(stack.dsn("app"), "UPDATE people_big SET id = 10000 + id WHERE id <= 100")
        run(stack.dsn("app"), "INSERT INTO people_big (id, salary) VALUES (-1, 1)")
        found = table.selectExpr("count(1)", "sum(id)", "min(id)").collect()[0]
    assert tuple(found) == (ROWS, ROWS * (ROWS + 1) // 2, 1)
