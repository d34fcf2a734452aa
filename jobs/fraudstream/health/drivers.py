"""The process of the streaming queries: whether it lives."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from fraudstream.config import Pipeline
from fraudstream.stack.queries import held_checkpoints, query_states

_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def driver(pipeline: Pipeline, queries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """pid of the application that reported last (None: none has); alive: whether it holds a checkpoint; dead: the
    queries that it left behind as running; frozen: pids of it and its children that are stopped by a signal; uptime_s.
    """
    pid, _ = query_states(pipeline.progress)
    dead = [name for name, each in queries.items() if each["told"] == "running" and each["state"] == "stopped"]
    if _another_starts(pipeline):
        dead = []
    alive = any(each["state"] == "running" for each in queries.values())
    found: dict[str, Any] = {"pid": pid, "alive": alive, "dead": dead, "frozen": [], "uptime_s": None}
    if pid is None or not alive:
        return found
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        frozen = [each.pid for each in family if each.status() in _STOPPED]
        return found | {"frozen": frozen, "uptime_s": time.time() - process.create_time()}
    except psutil.Error:
        return found


def _another_starts(pipeline: Pipeline) -> bool:
    """Whether a driver holds a checkpoint that it took after the last one told of its queries."""
    told = Path(pipeline.progress, "queries.json")
    try:
        locks = [Path(pipeline.checkpoints, f".{name}.lock") for name in held_checkpoints(Path(pipeline.checkpoints))]
        return any(lock.stat().st_mtime > told.stat().st_mtime for lock in locks)
    except OSError:
        return False
