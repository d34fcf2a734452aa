"""The whole table at once: COPY, Spark JDBC, and a Debezium snapshot read from Kafka; and what a Spark driver costs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg2
from confluent_kafka import Consumer
from pyarrow import csv

from fraudstream.cdc.generic import read_table_change
from fraudstream.compare import capture, database
from fraudstream.compare.measurement import Measurement, measured
from fraudstream.compare.usage import children_seconds, cpu_seconds, tree
from fraudstream.errors import FraudstreamError
from fraudstream.stack import connect
from fraudstream.stack.processes import pid_of, uninterrupted
from fraudstream.stack.settings import REPOSITORY, StackSettings

TABLE = "compare_bulk"
_SNAPSHOT, _SLOT = "compare_snapshot", "compare_snapshot_slot"
_IDLE_S = 10.0
_PATIENCE_S = 300.0
Answer = tuple[int, int]


def run_bulk(settings: StackSettings, rows: int, folder: Path) -> tuple[list[Measurement], list[str]]:
    """Each way's measurements, and what was not equal: rows and sum of cents must be the same by every way."""
    folder.mkdir(parents=True, exist_ok=True)
    database.create_table(settings, TABLE, rows, "full")
    try:
        expected = _expected(settings)
        capture.await_decoded(settings)
        found = measured("bulk", "bulk", 1, "all", {"rows": rows})
        failures = []
        for way, read in (("copy", _copy), ("spark_jdbc", _spark), ("cdc", _snapshot)):
            answers, figures = read(settings, rows, folder)
            found += measured("bulk", "bulk", 1, way, figures)
            failures += [f"bulk: {way} read {answer}, the table has {expected}" for answer in answers
                         if answer != expected]  # fmt: skip
        return found, failures
    finally:
        connect.delete_connector(settings, _SNAPSHOT)
        database.drop_slot(settings, _SLOT)
        database.drop_table(settings, TABLE)


def _expected(settings: StackSettings) -> Answer:
    with psycopg2.connect(settings.dsn("batch")) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), sum(amount * 100)::bigint FROM public.{TABLE}")
        ((count, total),) = cursor.fetchall()
    return count, total


def _database_cpu(settings: StackSettings) -> float:
    """CPU seconds of all of PostgreSQL so far."""
    pid = pid_of(settings, "postgres")
    if pid is None:
        return 0.0
    alive = psutil.Process(pid).children(recursive=True)
    return children_seconds(pid) + sum(cpu_seconds(child.pid) for child in alive)


def _copy(settings: StackSettings, rows: int, folder: Path) -> tuple[list[Answer], dict[str, float]]:
    """COPY of every column into memory, parsed by Arrow."""
    before, own, began = _database_cpu(settings), time.process_time(), time.monotonic()
    buffer = io.BytesIO()
    with psycopg2.connect(settings.dsn("batch")) as connection, connection.cursor() as cursor:
        cursor.copy_expert(f"COPY public.{TABLE} TO STDOUT (FORMAT csv, HEADER)", buffer)
    buffer.seek(0)
    table = csv.read_csv(buffer)
    answer = (table.num_rows, int(np.rint(table["amount"].to_numpy() * 100).sum()))
    seconds = time.monotonic() - began
    figures = {"seconds": seconds, "rows_per_s": rows / seconds, "reader_cpu_s": time.process_time() - own,
               "database_cpu_s": _database_cpu(settings) - before}  # fmt: skip
    return [answer], figures


def _spark(settings: StackSettings, rows: int, folder: Path) -> tuple[list[Answer], dict[str, float]]:
    """A Spark driver of its own: start, the whole table with one partition and partitioned, polls, idling."""
    figures: dict[str, float] = {}
    answers: list[Answer] = []
    database_before = _database_cpu(settings)
    with _driver(settings, rows, folder) as (process, lines):
        for name, said in lines:
            now = tree(process.pid)
            figures[f"{name}_cpu_s"] = now["cpu_s"] - figures.get("cpu_so_far_s", 0.0)
            figures["cpu_so_far_s"] = now["cpu_s"]
            figures[f"{name}_s"] = said["seconds"]
            database_now = _database_cpu(settings)
            figures[f"{name}_database_cpu_s"] = database_now - database_before
            database_before = database_now
            if "cents" in said:
                answers.append((said["rows"], said["cents"]))
                figures[f"{name}_rows_per_s"] = said["rows"] / said["seconds"]
        time.sleep(_IDLE_S)
        after = tree(process.pid)
        figures["idle_cpu_s_per_s"] = (after["cpu_s"] - figures["cpu_so_far_s"]) / _IDLE_S
        figures |= {"peak_kib": after["peak_kib"], "processes": after["processes"]}
    return answers, figures


@contextmanager
def _driver(
    settings: StackSettings, rows: int, folder: Path
) -> Iterator[tuple[subprocess.Popen[str], Iterator[tuple[str, dict[str, Any]]]]]:
    secret = settings.dsn("batch").split("password='")[1].split("'")[0]
    options = {"port": settings.postgres_port, "table": TABLE, "rows": rows}
    log = folder / "spark.log"
    with log.open("wb") as errors, uninterrupted():
        process = subprocess.Popen(
            [sys.executable, "-m", "fraudstream.compare.spark_reader", json.dumps(options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "jobs"), "FRAUDSTREAM_BATCH_PASSWORD": secret},
        )  # fmt: skip

    def lines() -> Iterator[tuple[str, dict[str, Any]]]:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                said = json.loads(line)
                if said["name"] == "end":
                    return
                yield said["name"], said
        raise FraudstreamError(f"the Spark reader ended by itself; see {log}.")

    try:
        yield process, lines()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _snapshot(settings: StackSettings, rows: int, folder: Path) -> tuple[list[Answer], dict[str, float]]:
    """A connector that snapshots the table, and one consumer of its topic."""
    topic = capture.topic_of(TABLE, _SNAPSHOT)
    capture.create_topic(settings, topic)
    components = {name: pid_of(settings, name) or 0 for name in ("kafka", "connect")}
    before = {name: cpu_seconds(pid) for name, pid in components.items()}
    database_before, own, began = _database_cpu(settings), time.process_time(), time.monotonic()
    connect.put_connector(settings, capture.connector(_SNAPSHOT, _SLOT, rf"public\.{TABLE}", "initial"))
    answer = _consumed(settings, topic, rows)
    seconds = time.monotonic() - began
    figures = {
        "seconds": seconds, "rows_per_s": rows / seconds, "reader_cpu_s": time.process_time() - own,
        "database_cpu_s": _database_cpu(settings) - database_before,
        "broker_cpu_s": cpu_seconds(components["kafka"]) - before["kafka"],
        "connect_cpu_s": cpu_seconds(components["connect"]) - before["connect"],
    }  # fmt: skip
    return [answer], figures


def _consumed(settings: StackSettings, topic: str, rows: int) -> Answer:
    consumer: Any = Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": topic, "auto.offset.reset": "earliest",
         "isolation.level": "read_committed", "enable.auto.commit": False, "log_level": 0}
    )  # fmt: skip
    consumer.subscribe([topic])
    count = total = 0
    heard = time.monotonic()
    try:
        while count < rows and time.monotonic() - heard < _PATIENCE_S:
            for message in consumer.consume(10_000, 0.5):
                if message.error() is None:
                    image = read_table_change(message.value()).after
                    if image is not None:
                        count += 1
                        total += int(Decimal(image["amount"]) * 100)
                        heard = time.monotonic()
        return count, total
    finally:
        consumer.close()
