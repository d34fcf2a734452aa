"""What the streaming queries of a home have done, from the files that they leave behind: no Spark is needed."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PARTS = ("judged", "history", "corrected", "unjudged", "unreadable", "ignored")
_MIRROR = "mirror_transactions"


def queries(home: Path) -> dict[str, Any]:
    """As JSON-ready values: pid of the last driver that reported (None: none has); drivers: the checkpoints that a
    driver holds now; quarantined: messages that could not be read; queries: name -> state (running, done, stopped, or
    failed and why), batches, read, parts, and `holds`: whether read is the sum of the parts (None: it has none)."""
    pid, states = query_states(str(home / "progress"))
    held = held_checkpoints(home / "checkpoints")
    names = {*states, *held, *(path.stem for path in (home / "progress").glob("*.jsonl"))}
    found = {name: _query(home, name, states.get(name, ""), name in held) for name in sorted(names)}
    quarantined = found[_MIRROR]["parts"].get("unreadable", 0) if _MIRROR in found else 0
    return {"pid": pid, "drivers": held, "quarantined": quarantined, "queries": found}


def _query(home: Path, name: str, told: str, held: bool) -> dict[str, Any]:
    lines = progress_lines(str(home / "progress"), name)
    read = sum(line.get("read", 0) for line in lines)
    judges = any("judged" in line for line in lines)
    parts = {part: sum(line.get(part) or 0 for line in lines) for part in _PARTS} if judges else {}
    # What a driver told last holds until its end; a killed one has left "running" behind.
    state = told if "failed" in told or (told and held) else "running" if held else "stopped"
    return {
        "state": state, "batches": len(lines), "read": read, "parts": parts,
        "holds": read == sum(parts.values()) if judges else None,
    }  # fmt: skip


def query_states(progress: str) -> tuple[int | None, dict[str, str]]:
    """The pid of the application whose queries report to this folder, and each query's state; (None, {}) without."""
    path = Path(progress, "queries.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None, {}
    return found["pid"], found["queries"]


def progress_lines(folder: str, query: str) -> list[dict[str, Any]]:
    """The newest line of every committed batch of the query; a line cut short by a crash is passed over."""
    path = Path(folder) / f"{query}.jsonl"
    newest: dict[int, dict[str, Any]] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        newest[line["batch_id"]] = line
    return list(newest.values())


def held_checkpoints(folder: Path) -> list[str]:
    """Names of the checkpoints below `folder` whose lock a living driver holds."""
    return sorted(path.name[1:].removesuffix(".lock") for path in folder.glob(".*.lock") if _is_held(path))


def _is_held(lock: Path) -> bool:
    with lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def broken(found: Mapping[str, Any]) -> list[str]:
    """Names of the queries that failed or whose parts are not what they read. A shadow's failure harms nobody."""
    return [
        name for name, each in found["queries"].items() if each["state"].startswith("failed") or each["holds"] is False
    ]


def sums(each: Mapping[str, Any]) -> str:
    """What a query has read and where that went, for people."""
    if each["holds"] is None:
        return f"read {each['read']:,}"
    parts = [f"{part} {count:,}" for part, count in each["parts"].items() if count or part != "corrected"]
    return f"read {each['read']:,} {'=' if each['holds'] else '≠'} {' + '.join(parts)}"
