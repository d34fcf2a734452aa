"""Three engines, one answer: the averages of office_db by psycopg2, by Spark's JDBC source and from the change stream,
against SQL on the table itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from fraudstream.config import load_pipeline
from fraudstream.stack.connect import CONNECTORS, delete_connector, put_connector
from fraudstream.stack.settings import REPOSITORY
from fraudstream.temperature import follow
from fraudstream.temperature.averages import COLUMNS
from fraudstream.temperature.keeper import Engine, fill
from fraudstream.temperature.query import read_averages
from fraudstream.temperature.spark_table import read_averages_with_spark, replace_windows_with_spark
from fraudstream.temperature.table import replace_windows
from fraudstream.temperature.windows import Windows
from stack.world import _drop_slot, table_rows, topic_values

pytestmark = pytest.mark.stack
ZONE = "Europe/Vienna"
TOPIC = "averaged.public.temperature_readings"
HOURS = Windows(length=3600, interval=1800)
# 2026-10-25, 03:00 in Vienna is put back to 02:00: 01:00 UTC.
MORNING = datetime(2026, 10, 25, 5, 0, tzinfo=UTC)
FIRST = """
    INSERT INTO temperature_readings (sensor_id, temperature, recorded_at)
    SELECT 'sensor_' || n % 3, 18 + (n * 37 % 1200) / 100.0, timestamp '2026-10-25 01:30' + n * interval '97 seconds'
    FROM generate_series(0, 75) AS n;
    INSERT INTO temperature_readings (sensor_id, temperature, recorded_at) VALUES
        ('sensor_1', NULL, '2026-10-25 02:10'), ('sensor_1', 'NaN', '2026-10-25 02:11'),
        ('sensor_1', 'Infinity', '2026-10-25 02:12'), ('sensor_1', 20, NULL), ('sensor_1', 20, 'infinity'),
        (NULL, 21.125, '2026-10-25 03:00'), ('stuck', 22.5, '2026-10-25 03:01'), ('stuck', 22.5, '2026-10-25 03:02'),
        ('sensor_1', 23.456, '2026-10-25 03:05'), ('sensor_1', 23.456, '2026-10-25 03:05')
"""
SECOND = """
    UPDATE temperature_readings SET temperature = temperature + 5 WHERE id % 10 = 0;
    UPDATE temperature_readings SET recorded_at = recorded_at + interval '40 minutes' WHERE id % 17 = 0;
    DELETE FROM temperature_readings WHERE sensor_id = 'stuck';
    INSERT INTO temperature_readings (sensor_id, temperature, recorded_at) VALUES ('late', 30, '2026-10-25 01:31')
"""
BY_SQL = """
    SELECT sensor_id, count(*) FILTER (WHERE fine), count(*) FILTER (WHERE NOT fine),
        round(avg(temperature::numeric) FILTER (WHERE fine), 4)
    FROM (SELECT *, coalesce(temperature NOT IN ('NaN', 'Infinity', '-Infinity'), false) AS fine,
              recorded_at AT TIME ZONE %s AS at FROM temperature_readings) AS reading
    WHERE at >= %s AND at < %s GROUP BY ROLLUP (sensor_id)
"""


@pytest.fixture
def pipeline(tmp_path: Path):
    places = {name: str(tmp_path / name) for name in ("lake", "checkpoints", "progress")}
    return replace(load_pipeline(), **places)


@pytest.fixture
def office(stack):
    """Runs SQL as the application, on a table that was emptied."""

    def run(statements: str, *values: object) -> list[tuple]:
        with closing(psycopg2.connect(stack.dsn("app", "office_db"))) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(statements, values or None)
            return cursor.fetchall() if cursor.description else []

    run("DELETE FROM temperature_readings")
    return run


@pytest.fixture
def captured(stack, office):
    """The table captured by a connector of the test's own."""
    found = json.loads((CONNECTORS / "temperatures.json").read_text(encoding="utf-8"))
    own = {"topic.prefix": "averaged", "slot.name": "averaged_slot"}
    put_connector(stack, {"name": "averaged", "config": found["config"] | own})
    yield
    delete_connector(stack, "averaged")
    _drop_slot(stack, "averaged_slot")


def by_engine(path: str, engine: str) -> dict[datetime, Counter]:
    """Window's end -> the rows (sensor, readings, skipped, average) of the engine."""
    found: dict[datetime, Counter] = {}
    for row in table_rows(path):
        if row["engine"] == engine:
            values = (row["sensor_id"], row["readings"], row["skipped"], row["average"])
            found.setdefault(row["window_end"], Counter())[values] += 1
    return found


def test_three_engines_find_what_sql_finds_before_and_after_corrections(stack, spark, pipeline, office, captured):
    path, dsn = pipeline.table("temperature_averages"), stack.dsn("batch", "office_db")
    windows = HOURS.closed(MORNING, 12)
    engines = {
        "psycopg2": Engine(
            lambda window: read_averages(dsn, window, ZONE),
            lambda found: replace_windows(path, COLUMNS, "psycopg2", found),
        ),
        "jdbc": Engine(
            lambda window: read_averages_with_spark(spark, dsn, window, ZONE),
            lambda found: replace_windows_with_spark(spark, path, "jdbc", found),
        ),
    }
    averages = []
    for statements in (FIRST, SECOND):
        office(statements)
        marker = office("INSERT INTO temperature_readings (recorded_at) VALUES (NULL) RETURNING id")[0][0]
        expected = {window.end: Counter(office(BY_SQL, ZONE, window.start, window.end)) for window in windows}
        expected = {end: rows for end, rows in expected.items() if any(row[0] is not None or row[1] for row in rows)}
        fill(engines["psycopg2"], windows, lambda *_: None)
        fill(engines["jdbc"], windows[3:6], lambda *_: None)  # each takes Spark a second
        _until_captured(stack, marker)
        options = {"topic": TOPIC, "zone": ZONE, "trigger": "1 second", "until_caught_up": True}
        follow.start(spark, pipeline, HOURS, lambda *_: None, **options).awaitTermination()
        for engine in ("psycopg2", "cdc"):
            assert by_engine(path, engine) == expected, engine
        assert by_engine(path, "jdbc") == {
            each.end: expected[each.end] for each in windows[3:6] if each.end in expected
        }
        averages.append(expected)
    assert averages[0] != averages[1]
    # 01:30 to 02:00 is 23:30 to 00:00 UTC; 02:00 to 03:31, the later of the two, is 01:00 to 02:31 UTC.
    assert [f"{end:%H:%M}" for end in averages[0]] == ["00:00", "00:30", "01:30", "02:00", "02:30", "03:00", "03:30"]
    assert max(map(len, averages[0].values())) == 6  # all, three sensors, the stuck one and one without a name


def _until_captured(stack, marker: int) -> None:
    limit = datetime.now() + timedelta(seconds=60)
    while not any((each.get("after") or {}).get("id") == marker for each in topic_values(stack, TOPIC)):
        assert datetime.now() < limit


def test_a_poller_killed_at_any_point_and_run_again_doubles_no_window(stack, office, tmp_path):
    office(
        "INSERT INTO temperature_readings (sensor_id, temperature, recorded_at)"
        " SELECT 'sensor_1', n % 7, timezone('UTC', now()) + n * interval '100 ms' FROM generate_series(-300, 300) AS n"
    )
    job = str(REPOSITORY / "jobs" / "average_temperature.py")
    command = [sys.executable, job, "--window", "3", "--interval", "1", "--dsn", stack.dsn("batch", "office_db")]
    places = {"env": {**os.environ, "FRAUDSTREAM_HOME": str(tmp_path)}, "stdout": subprocess.PIPE, "text": True}
    for lines in (1, 7, 12):
        with subprocess.Popen([*command, "--again", "5"], **places) as process:
            assert process.stdout is not None
            for _ in range(lines):
                assert "Average temperature in last 3 seconds" in process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    done = subprocess.run([*command, "--once", "--again", "20"], **places, check=True)
    assert done.stdout.count("Average temperature in last 3 seconds") == 20
    found = by_engine(str(tmp_path / "lake" / "temperature_averages"), "psycopg2")
    assert len(found) >= 20
    for end, rows in found.items():
        assert rows == Counter(office(BY_SQL, "UTC", end - timedelta(seconds=3), end))
