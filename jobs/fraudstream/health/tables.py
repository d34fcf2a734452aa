"""The lake's tables in figures, without Spark. Each is read again only when it has a new version."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fraudstream import lake
from fraudstream.canary import NOT_CANARY

SMALL_BYTES = 1024**2
_DAY_S = 86_400
_FRESH_S = 300


def tables(folder: str, known: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Of each table of the lake: files, small_files (under 1 MiB), bytes."""
    found = {}
    for path in sorted(Path(folder).glob("*/_delta_log")):
        name = path.parent.name
        found[name] = _cached(folder, name, known, _files)
    return {name: each for name, each in found.items() if each is not None}


def alerts(folder: str, known: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Of each rule with alerts in lake/alerts, those of the canary left out: total, and last_day (those detected within
    the last 24 hours)."""
    if not Path(folder, "alerts", "_delta_log").exists():
        return {}
    return _cached(folder, "alerts", known, lambda _: _alerts(folder)) or {}


def _cached(folder: str, name: str, known: dict[str, Any], read: Callable[[Any], Any]) -> Any:
    table = lake.open_table(folder, name)
    if table is None:
        return None
    state = table.version(), time.time() // _FRESH_S  # `last_day` goes on without a new version
    if known.get(name, (None,))[0] != state:
        known[name] = state, read(table)
    return known[name][1]


def _files(table: Any) -> dict[str, int]:
    sizes = lake.file_sizes(table)
    return {"files": len(sizes), "small_files": sum(size < SMALL_BYTES for size in sizes), "bytes": sum(sizes)}


def _alerts(folder: str) -> dict[str, dict[str, int]]:
    day = int((time.time() - _DAY_S) * 1e6)
    rows = lake.query(
        folder,
        "alerts",
        f"""
        SELECT rule, count(*) AS total,
               sum(CASE WHEN CAST(detected_at AS BIGINT) > {day} THEN 1 ELSE 0 END) AS last_day
        FROM alerts WHERE {NOT_CANARY} GROUP BY rule ORDER BY rule
        """,
    )
    return {row["rule"]: {"total": row["total"], "last_day": row["last_day"]} for row in rows.to_pylist()}
