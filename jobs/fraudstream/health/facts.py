"""What is known of a pipeline at one moment, gathered once for all who judge it: the doctor, the metrics, supervision.

Each part is asked for within a bound. What does not answer makes its facts empty, never an error.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fraudstream.config import Pipeline
from fraudstream.errors import ConfigError
from fraudstream.health import lag, tables
from fraudstream.health.drivers import driver
from fraudstream.health.memory import Memory
from fraudstream.stack import connect, guard, offsets, postgres, status
from fraudstream.stack.artifacts import require_locked
from fraudstream.stack.asking import answers
from fraudstream.stack.settings import StackSettings

CANARY_FILE = "canary.json"
_SECONDS = 10.0
_HEARTBEAT = re.compile(r"\bdbz\.heartbeat\b.*\bid\s*=\s*([0-9]+)", re.DOTALL)
Facts = dict[str, Any]


def gather(settings: StackSettings, pipeline: Pipeline, memory: Memory | None = None) -> Facts:
    """The facts of now, JSON-ready; a `memory` that is kept makes the next time cheaper. Beside those of
    status.components:

    at: epoch seconds; captures: connector -> slot, database, prefix (of its topics), heartbeat (id of the row that it
    writes, or None); heartbeats: connector -> seconds since it did (None: there is no such row), of those that do;
    ahead: connector -> slot and stored, the two positions where the slot stands past what the connector has stored;
    restored: connector -> end and stored, where PostgreSQL's log ends before what the connector has stored;
    versions: part -> expected, found; locked: why the versions do not fit the locked jars, or None; driver, queries:
    see drivers.driver and Memory.queries, each query also with lag_records and lag_s (None: unknown); tables, alerts:
    see tables; disks: see `disks`; canary: see `noted`.
    """
    memory = memory or Memory()
    queries = memory.queries(pipeline)  # before the topics: a query's position never lies behind an end seen later
    found: Facts = {"at": time.time(), "topic": pipeline.kafka.transactions_topic, **status.components(settings)}
    found["alerts_topic"] = pipeline.kafka.alerts_topic
    running = {name for name, each in found["components"].items() if each["state"] == "running"}
    databases = {slot["database"] for slot in found["slots"]}
    questions: dict[str, Callable[[], Any]] = {
        "tables": lambda: tables.tables(pipeline.lake, memory.tables),
        "alerts": lambda: tables.alerts(pipeline.lake, memory.alerts),
    }
    if "postgres" in running:
        questions["heartbeats"] = lambda: postgres.heartbeat_ages(settings, databases)
        questions["server"] = lambda: postgres.server_version(settings)
    if "connect" in running:
        questions["captures"] = lambda: _captures(connect.connectors(settings))
        questions["worker"] = lambda: connect.versions(settings)
    elif "kafka" in running:
        questions["captures"] = lambda: _captures(offsets.stored_connectors(settings))
    if "kafka" in running:
        questions["lag"] = lambda: lag.lags(pipeline, found["topics"], queries)
    asked = answers(questions, _SECONDS)
    lags, captures = asked.get("lag") or {}, asked.get("captures") or {}
    return {
        **found,
        "captures": captures,
        "heartbeats": _heartbeats(captures, asked.get("heartbeats")),
        **_gaps(settings, found, captures if {"postgres", "kafka"} <= running else {}),
        "versions": _versions(settings, asked.get("server"), asked.get("worker") or {}),
        "locked": _locked(settings),
        "driver": driver(pipeline, queries),
        "queries": {name: {**each, **lags.get(name, lag.UNKNOWN)} for name, each in queries.items()},
        "tables": asked["tables"] or {},
        "alerts": asked["alerts"] or {},
        "disks": disks(settings, pipeline),
        "canary": noted(pipeline),
    }


def _captures(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "slot": guard.slot_of(config)[0],
            "database": guard.slot_of(config)[1],
            "prefix": str(config.get("topic.prefix")),
            "heartbeat": _heartbeat_of(config),
        }
        for name, config in configs.items()
        if "postgresql" in str(config.get("connector.class"))
    }


def _heartbeat_of(config: Mapping[str, Any]) -> int | None:
    found = _HEARTBEAT.search(str(config.get("heartbeat.action.query", "")))
    return int(found[1]) if found else None


def _heartbeats(
    captures: Mapping[str, Mapping[str, Any]], ages: Mapping[tuple[str, int], float] | None
) -> dict[str, float | None]:
    """The fact of this name; without `ages` nothing is known."""
    writing = {name: (each["database"], each["heartbeat"]) for name, each in captures.items()}
    return {name: ages.get(row) for name, row in writing.items() if row[1] is not None} if ages is not None else {}


def _gaps(settings: StackSettings, found: Facts, captures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The facts `ahead`, of slots that nobody reads (those of a running connector follow what it stores), and
    `restored`."""
    idle = {slot["name"] for slot in found["slots"] if not slot["active"]}

    def gaps() -> dict[str, Any]:
        ahead, restored = {}, {}
        for name, each in captures.items():
            at = guard.positions(settings, name, each["slot"], each["database"])
            if at.stored is not None and at.stored > at.end:
                restored[name] = {"end": guard.lsn_text(at.end), "stored": guard.lsn_text(at.stored)}
            elif at.stored is not None and at.slot is not None and at.slot > at.stored and each["slot"] in idle:
                ahead[name] = {"slot": guard.lsn_text(at.slot), "stored": guard.lsn_text(at.stored)}
        return {"ahead": ahead, "restored": restored}

    return answers({"gaps": gaps}, _SECONDS)["gaps"] or {"ahead": {}, "restored": {}}


def _versions(settings: StackSettings, server: str | None, worker: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The versions that could be asked for, beside what docker/.env says."""
    known = {"postgres": server, "kafka": worker.get("kafka"), "debezium": worker.get("debezium")}
    known |= {"spark": _package("pyspark"), "delta": _package("delta-spark")}
    return {
        name: {"expected": settings.versions[name], "found": found}
        for name, found in known.items()
        if found is not None
    }


def _package(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _locked(settings: StackSettings) -> str | None:
    try:
        require_locked(settings.versions)
    except ConfigError as error:
        return str(error)
    return None


def disks(settings: StackSettings, pipeline: Pipeline) -> dict[str, int]:
    """Folder -> free bytes, of each disk that the stack or a job writes to."""
    return status.disks(
        Path(folder) for folder in (settings.home, pipeline.lake, pipeline.checkpoints, pipeline.progress)
    )


def noted(pipeline: Pipeline) -> dict[str, Any] | None:
    """What canaries.note wrote last; None if no canary was ever sent."""
    try:
        return dict(json.loads(Path(pipeline.progress, CANARY_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
