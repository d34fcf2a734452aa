"""What the streaming queries of a home have done, from the files that they leave behind: no Spark is needed."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTS = ("judged", "history", "corrected", "unjudged", "unreadable", "ignored")
_MIRROR = "mirror_transactions"
_MANIFEST = "fraudstream.json"  # streams.manifest.FILE


def queries(progress: Path, checkpoints: Path) -> dict[str, Any]:
    """As JSON-ready values: pid of the last driver that reported (None: none has); drivers: the checkpoints that a
    driver holds now; quarantined: messages that could not be read; queries: name -> state (running, done, stopped, or
    failed and why), batches, read, parts, and `holds`: whether read is the sum of the parts (None: it has none)."""
    pid, _ = query_states(str(progress))
    states, held = states_of(progress, checkpoints), held_checkpoints(checkpoints)
    found = {name: {"state": state, **_sums(progress, name)} for name, state in states.items()}
    quarantined = found[_MIRROR]["parts"].get("unreadable", 0) if _MIRROR in found else 0
    return {"pid": pid, "drivers": held, "quarantined": quarantined, "queries": found}


def states_of(progress: Path, checkpoints: Path) -> dict[str, str]:
    """The state of every query that has left a trace, by the names of rules where it judges by them: running, done,
    stopped, or failed and why."""
    told, held = query_states(str(progress))[1], held_queries(checkpoints)
    names = {*told, *held, *(path.stem for path in progress.glob("*.jsonl"))}
    return {name: _state(told.get(name, ""), name in held) for name in sorted(names)}


def _state(told: str, held: bool) -> str:
    # What a driver told last holds until its end; a killed one has left "running" behind.
    return told if "failed" in told or (told and held) else "running" if held else "stopped"


def _sums(progress: Path, name: str) -> dict[str, Any]:
    lines = progress_lines(str(progress), name)
    sums = {part: sum(line.get(part) or 0 for line in lines) for part in ("read", *PARTS)}
    return {"batches": len(lines), **conserved(sums, any("judged" in line for line in lines))}


def conserved(sums: Mapping[str, int], judges: bool) -> dict[str, Any]:
    """What a query has read, the parts it made of that if it `judges`, and whether these make up what was read."""
    read = sums.get("read", 0)
    parts = {part: sums.get(part, 0) for part in PARTS} if judges else {}
    return {"read": read, "parts": parts, "holds": read == sum(parts.values()) if judges else None}


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


def held_queries(folder: Path) -> list[str]:
    """Names of the queries whose checkpoint a living driver holds; of rules where they share one."""
    names = []
    for name in held_checkpoints(folder):
        try:
            rules = json.loads((folder / name / _MANIFEST).read_text(encoding="utf-8")).get("shared_by", name)
        except (FileNotFoundError, ValueError):
            rules = name
        names += rules.split(", ")
    return names


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
