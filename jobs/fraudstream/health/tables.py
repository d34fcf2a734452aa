"""The lake's tables in figures, without Spark. Each is read again only when it has a new version."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fraudstream import lake
from fraudstream.canary import NOT_CANARY
from fraudstream.errors import FraudstreamError

SMALL_BYTES = 1024**2
_DAY_S = 86_400
_FRESH_S = 300


def tables(folder: str, known: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each table of the lake: files, small_files (under 1 MiB), bytes; and damaged, why it cannot be read (None:
    it can)."""
    names = [path.parent.name for path in sorted(Path(folder).glob("*/_delta_log"))]
    found = {name: _table(folder, name, known) for name in names}
    return {name: each for name, each in found.items() if each is not None}


def _table(folder: str, name: str, known: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return _cached(folder, name, known, lambda table: _files(f"{folder}/{name}", table))
    except FraudstreamError as error:
        return {"files": None, "small_files": None, "bytes": None, "damaged": str(error)}


def alerts(folder: str, known: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Of each rule with alerts in lake/alerts, those of the canary left out: total, and last_day (those detected within
    the last 24 hours)."""
    if not Path(folder, "alerts", "_delta_log").exists():
        return {}
    return _cached(folder, "alerts", known, lambda _: _alerts(folder)) or {}


def _cached(
    folder: str, name: str, known: dict[str, Any], read: Callable[[Any], dict[str, Any]]
) -> dict[str, Any] | None:
    table = lake.open_table(folder, name)
    if table is None:
        return None
    state = table.version(), time.time() // _FRESH_S  # `last_day` goes on without a new version
    if known.get(name, (None,))[0] != state:
        known[name] = state, read(table)
    found: dict[str, Any] = known[name][1]
    return found


def _files(path: str, table: Any) -> dict[str, Any]:
    files = lake.files(table)
    gone = [name for name in files if not Path(path, name).exists()]
    damaged = f"{len(gone):,} of its {len(files):,} files are gone, among them {gone[0]}" if gone else None
    small = sum(size < SMALL_BYTES for size in files.values())
    return {"files": len(files), "small_files": small, "bytes": sum(files.values()), "damaged": damaged}


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
