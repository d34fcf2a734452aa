"""The whole comparison: a stack of its own, every part kept as soon as it is measured, and all cleaned up."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fraudstream import cli
from fraudstream.check.once import Interrupted, alone
from fraudstream.check.report import machine, versions
from fraudstream.compare import capture, database, standing
from fraudstream.compare.alerting import run_alerts
from fraudstream.compare.bulk import run_bulk
from fraudstream.compare.cell import run_cell
from fraudstream.compare.grid import WARM_UP, Cell, Grid
from fraudstream.compare.measurement import Measurement, read_csv, write_csv
from fraudstream.compare.outage import VICTIMS, Victim, run_outage
from fraudstream.stack import lifecycle
from fraudstream.stack.settings import StackSettings, free_ports, load_settings

Found = tuple[list[Measurement], list[str]]
_BULK_ROWS = 1_000_000


@dataclass(frozen=True)
class Part:
    """A piece of the run that is measured at one go."""

    key: str
    measure: Callable[[StackSettings, Path], Found]


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    measurements: Sequence[Measurement]
    failures: Sequence[str]
    about: dict[str, Any]
    """grid, started_at, seconds, versions, machine."""


def parts_of(grid: Grid) -> list[Part]:
    """The run's parts in their order."""
    cells = [Part(cell.key, partial(_cell, cell)) for cell in grid.cells]
    outages = [Part(f"outage_{victim}", partial(_outage, victim, grid.outage_s[victim])) for victim in VICTIMS]
    return [
        *cells,
        Part("cron", lambda settings, folder: (standing.cron_costs(settings), [])),
        Part("bulk", lambda settings, folder: run_bulk(settings, _BULK_ROWS, folder)),
        *outages,
        Part("alerts", run_alerts),
    ]


def _cell(cell: Cell, settings: StackSettings, folder: Path) -> Found:
    return run_cell(settings, cell, folder, cell.repeat)


def _outage(victim: Victim, outage_s: float, settings: StackSettings, folder: Path) -> Found:
    return run_outage(settings, victim, outage_s, folder)


def run(grid: Grid, home: Path, fresh: bool, say: Callable[[str], None]) -> Outcome:
    """Measure the grid in `home`, going on with a run of the same grid that was interrupted unless `fresh`.

    Raises FraudstreamError when a part cannot be measured; what was measured is kept for the next run.
    """
    home.mkdir(parents=True, exist_ok=True)
    with alone(home, "comparison"):
        settings = load_settings(home, ports=free_ports())
        lifecycle.purge(settings)  # of a run that was killed
        parts = parts_of(grid)
        began = _resumed(grid, home, fresh)
        missing = [part for part in parts if not _file(home, part.key).exists()]
        if len(missing) < len(parts):
            say(f"going on with the run of {began}: {len(parts) - len(missing)} of {len(parts)} parts are measured")
        if missing:
            with _stack(settings, home, say):
                _measure(settings, home, parts, missing, say)
        outcome = _collected(grid, home, settings, parts, began)
        _state(home).write_text(json.dumps({**_state_of(grid), "started_at": began, "finished": True}))
        return outcome


def _measure(
    settings: StackSettings, home: Path, parts: Sequence[Part], missing: Sequence[Part], say: Callable[[str], None]
) -> None:
    for part in missing:
        began, folder = time.monotonic(), home / "work" / part.key
        found, failures = part.measure(settings, folder)
        raw = folder / "changes.csv.gz"
        if raw.exists():
            (home / "raw").mkdir(exist_ok=True)
            raw.replace(home / "raw" / f"{part.key}.csv.gz")
        shutil.rmtree(folder, ignore_errors=True)
        _keep(home, part.key, found, failures)
        number = parts.index(part) + 1
        say(f"[{number:>2}/{len(parts)}] {part.key}: {time.monotonic() - began:.0f} s; {told(found)}")
        for failure in failures:
            say(cli.paint(f"      {failure}", "red"))


def told(found: Sequence[Measurement]) -> str:
    """The figures of a part that tell most, in a line."""
    figures = {(each.path, each.metric): each.value for each in found}
    said = []
    for path in ("poll_id", "poll_updated", "cdc"):
        if (path, "missed") in figures:
            p50 = figures.get((path, "fresh_p50_ms"))
            fresh = "nothing seen" if p50 is None else f"p50 {p50:,.0f} ms"
            said.append(f"{path} {fresh}, missed {figures[path, 'missed']:,.0f}")
    said += [f"{path} {value:.1f} s" for (path, metric), value in figures.items() if metric == "seconds"
             and path != "all"]  # fmt: skip
    return "; ".join(said) or f"{len(found)} figures"


@contextmanager
def _stack(settings: StackSettings, home: Path, say: Callable[[str], None]) -> Iterator[None]:
    """The comparison's stack with its publication and connector; afterwards nothing of it is left."""
    os.environ["FRAUDSTREAM_HOME"] = str(home)
    say("starting PostgreSQL, Kafka and Connect")
    try:
        up_s = lifecycle.up(settings, connector=None)
        postgres_s = database.enable_statements(settings)
        database.create_publication(settings)
        connector_s = capture.start(settings)
        if not _file(home, "start").exists():
            _keep(home, "start", standing.start_costs(settings, up_s, postgres_s, connector_s), [])
        say(f"warming up for {WARM_UP.seconds:.0f} s: a JVM's first changes are its dearest")
        run_cell(settings, WARM_UP, home / "work" / WARM_UP.key)
        shutil.rmtree(home / "work" / WARM_UP.key)
        yield
        _keep(home, "memory", standing.memory_at_the_end(settings), [])
    except (Exception, Interrupted):
        logs = settings.folder / "logs"
        if logs.exists():
            shutil.copytree(logs, home / "logs", dirs_exist_ok=True)
        raise
    finally:
        _clean(settings, say)


def _clean(settings: StackSettings, say: Callable[[str], None]) -> None:
    say("removing slots, topics and tables, stopping the stack")
    try:
        capture.remove(settings)
    finally:
        lifecycle.purge(settings)


def _collected(grid: Grid, home: Path, settings: StackSettings, parts: Sequence[Part], began: str) -> Outcome:
    keys = ["start", "memory", *(part.key for part in parts)]
    measurements, failures = [], []
    for key in keys:
        if _file(home, key).exists():
            measurements += read_csv(_file(home, key))
            failures += json.loads(_file(home, key).with_suffix(".json").read_text(encoding="utf-8"))
    write_csv(home / "measurements.csv", measurements)
    about = {
        "grid": grid.name, "repeats": grid.repeats, "outage_s": dict(grid.outage_s), "started_at": began,
        "versions": versions(settings), "machine": machine(),
    }  # fmt: skip
    return Outcome(measurements, failures, about)


def _keep(home: Path, key: str, found: Sequence[Measurement], failures: Sequence[str]) -> None:
    path = _file(home, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(list(failures)), encoding="utf-8")
    fresh = path.with_suffix(".new")
    write_csv(fresh, found)
    fresh.replace(path)


def _file(home: Path, key: str) -> Path:
    return home / "parts" / f"{key}.csv"


def _state(home: Path) -> Path:
    return home / "run.json"


def _state_of(grid: Grid) -> dict[str, Any]:
    """What makes two runs the same: the grid and the code that measures."""
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return {"grid": grid.name, "cells": len(grid.cells), "code": hashlib.sha256(code).hexdigest()[:12]}


def _resumed(grid: Grid, home: Path, fresh: bool) -> str:
    """When the run to go on with began; a new one forgets the files of the run before."""
    try:
        state = json.loads(_state(home).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        state = {}
    same = {name: state.get(name) for name in _state_of(grid)} == _state_of(grid)
    if same and not state.get("finished") and not fresh:
        return str(state["started_at"])
    for name in ("parts", "raw", "work", "logs"):
        shutil.rmtree(home / name, ignore_errors=True)
    for name in ("measurements.csv", "report.html", "report.json"):
        (home / name).unlink(missing_ok=True)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    _state(home).write_text(json.dumps({**_state_of(grid), "started_at": began, "finished": False}), encoding="utf-8")
    return began
