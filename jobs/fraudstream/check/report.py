"""report.json of a demo: what the check found, how fast the pipeline was, and on what."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from fraudstream.check import latency, timeline
from fraudstream.check.latency import Latencies
from fraudstream.check.observe import Progress, Sample
from fraudstream.check.resources import Resources
from fraudstream.stack.java import require_java
from fraudstream.stack.settings import StackSettings


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: what was asked for, when (epoch seconds), and what was observed."""

    options: Mapping[str, Any]
    began: float
    """First sample, before the producer's first row."""
    produced: tuple[float, float]
    """First and last commit."""
    stack_start_s: float
    submitted: float
    """When Spark was started."""
    spark_start_s: float
    samples: Sequence[Sample]
    alerts: Mapping[str, Latencies]
    progress: Mapping[str, Progress]
    batched: Sequence[str]
    """Rules whose progress tells their lag: those in micro-batches."""
    resources: Sequence[Resources] = ()

    @property
    def warm(self) -> tuple[float, float]:
        """The window in which figures are taken as typical."""
        return timeline.warm_window(*self.produced)


def assemble(run: Run, checked: Mapping[str, Any], settings: StackSettings, series_file: str) -> dict[str, Any]:
    """The report: the check's result with latency and lag of the warm window, versions and machine beside it."""
    found = timeline.series(run.samples, run.began)
    rules = {
        name: {**figures, **_speed(run, name), "stages_ms": _stages(run, name)}
        for name, figures in checked["rules"].items()
    }
    return {
        "passed": checked["passed"],
        "failures": checked["failures"],
        "options": dict(run.options),
        "started_at": datetime.fromtimestamp(run.began, UTC).isoformat(timespec="seconds"),
        "versions": versions(settings),
        "machine": machine(),
        "stack_start_s": round(run.stack_start_s, 1),
        "spark_start_s": round(run.spark_start_s, 1),
        "rates": _rates(run),
        "warm_window_s": [round(each - run.began, 1) for each in run.warm],
        **{name: value for name, value in checked.items() if name not in ("passed", "failures", "rules")},
        "rules": rules,
        "lag": _lag(run, found),
        "queries": {name: _batches(each, run.warm) for name, each in run.progress.items()},
        "series_file": series_file,
    }


def _speed(run: Run, rule: str) -> dict[str, Any]:
    alerts = run.alerts.get(rule, Latencies())
    return {
        "latency_warm_ms": timeline.percentiles(alerts.between(*run.warm)),
        "record_to_alert_ms": timeline.percentiles(latency.since_record(alerts, run.warm)),
    }


def _stages(run: Run, rule: str) -> dict[str, int | None]:
    batches = run.progress[rule].begun if rule in run.batched else []
    return latency.stages(run.alerts.get(rule, Latencies()), batches, run.warm)


def _rates(run: Run) -> dict[str, float]:
    """Changes per second that the producer committed."""
    seconds = max(run.produced[1] - run.produced[0], 1e-9)
    return {"committed_per_s": round(run.samples[-1].committed / seconds, 1)} if run.samples else {}


def _lag(run: Run, series: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of input that each query was behind in the warm window; a real-time query reports only every 5 s, so
    that its lag cannot be told from outside."""
    low, high = (each - run.began for each in run.warm)
    return {
        query: timeline.lag_figures(series["seconds"], lag, (low, high))
        for query, lag in timeline.lags(series).items()
        if query in run.batched
    }


def _batches(progress: Progress, window: tuple[float, float]) -> dict[str, Any]:
    """A query's sums over all its batches, and the median length of a batch in the warm window."""
    lengths = [milliseconds for at, milliseconds, _ in progress.durations if window[0] <= at < window[1]]
    return {**progress.sums, "batches": progress.batches, "batch_ms": timeline.percentiles(lengths)}


def versions(settings: StackSettings) -> dict[str, str]:
    """What ran: the stack's components, Spark, Delta, Python and Java."""
    stack = {name: settings.versions[name] for name in ("postgres", "kafka", "debezium")}
    packages = {"pyspark": version("pyspark"), "delta-spark": version("delta-spark")}
    return {**stack, **packages, "python": platform.python_version(), "java": _java()}


def _java() -> str:
    found = subprocess.run([require_java(), "-version"], capture_output=True, text=True, check=False)
    said = re.search(r'version "([^"]+)"', found.stderr + found.stdout)
    return said[1] if said else "unknown"


def machine() -> dict[str, Any]:
    """The machine that the figures hold for."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_1_min": round(os.getloadavg()[0], 1),
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or sys.platform
