"""What each path needs before it reads a row: processes, settings, seconds to start; and what one run of cron costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from fraudstream.compare.measurement import Measurement, measured
from fraudstream.compare.usage import children_seconds, memory
from fraudstream.stack.processes import pid_of
from fraudstream.stack.settings import DOCKER, StackSettings

_CRON_RUNS = 10
# The exercise's question, asked by a process that starts, asks, prints and ends.
_ONCE = """
import os
import psycopg2
connection = psycopg2.connect(os.environ["ONCE_DSN"])
cursor = connection.cursor()
cursor.execute(
    "SELECT avg(temperature) FROM temperature_readings WHERE recorded_at >= localtimestamp - interval '10 minutes'"
)
average = cursor.fetchone()[0]
print("No data in last 10 minutes" if average is None else average)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_LOGICAL = ("wal_level", "max_replication_slots", "max_wal_senders", "max_slot_wal_keep_size", "logical_decoding")


def start_costs(settings: StackSettings, up_s: float, postgres_s: float, connector_s: float) -> list[Measurement]:
    """Seconds, processes and lines of settings of each path beside PostgreSQL itself."""
    components = {name: pid_of(settings, name) for name in ("kafka", "connect")}
    cdc = {
        "stack_start_s": up_s, "connector_start_s": connector_s, "processes": len(components),
        "settings": settings_lines(), "broker_rss_kib": memory(components["kafka"] or 0)["rss_kib"],
        "connect_rss_kib": memory(components["connect"] or 0)["rss_kib"],
    }  # fmt: skip
    return [
        *measured("start", "start", 1, "cdc", cdc),
        *measured("start", "start", 1, "poll_id", {"stack_start_s": postgres_s, "processes": 0, "settings": 0}),
    ]


def memory_at_the_end(settings: StackSettings) -> list[Measurement]:
    """Peak memory of the broker and of Connect over the whole run."""
    figures = {f"{name}_peak_kib": memory(pid_of(settings, name) or 0)["peak_kib"] for name in ("kafka", "connect")}
    return measured("start", "start", 1, "cdc", figures)


def settings_lines(docker: Path = DOCKER) -> int:
    """Lines that CDC needs and polling does not: the connector's, the worker's and the broker's settings, and
    PostgreSQL's for logical decoding."""
    connector = json.loads((docker / "connect" / "transactions.json").read_text(encoding="utf-8"))["config"]
    files = [docker / "connect" / "worker.properties", docker / "kafka" / "broker.properties"]
    postgres = _settings((docker / "postgres" / "postgresql.conf").read_text(encoding="utf-8").splitlines())
    logical = [line for line in postgres if line.startswith(_LOGICAL)]
    others = [line for file in files for line in _settings(file.read_text(encoding="utf-8").splitlines())]
    return len(connector) + len(others) + len(logical)


def _settings(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.strip() and not line.startswith("#")]


def cron_costs(settings: StackSettings) -> list[Measurement]:
    """Means over some runs of the temperature question as a process of its own."""
    postmaster = pid_of(settings, "postgres") or 0
    before, began = children_seconds(postmaster), time.monotonic()
    seconds, peak = 0.0, 0
    for _ in range(_CRON_RUNS):
        environment = {**os.environ, "ONCE_DSN": settings.dsn("batch", "office_db")}
        process = subprocess.Popen([sys.executable, "-c", _ONCE], stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        # Its own word on its peak: what wait4 tells counts the memory of the process that started it, too.
        peak = max(peak, int(process.stdout.read().split()[-1]))
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
        seconds += usage.ru_utime + usage.ru_stime
    figures = {
        "runs": _CRON_RUNS, "failed": process.returncode, "wall_s": (time.monotonic() - began) / _CRON_RUNS,
        "process_cpu_s": seconds / _CRON_RUNS, "peak_kib": peak,
        "database_cpu_s": (children_seconds(postmaster) - before) / _CRON_RUNS,
    }  # fmt: skip
    return measured("cost", "one row a minute", 1, "cron", figures)
