"""What a full run measures beside the race: parts of a few steps each, every step a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudstream.bench import ablation, agents, arrivals, capture, direct, growth, latency, mirror, setups
from fraudstream.bench.tables import Table
from fraudstream.stack.settings import StackSettings


@dataclass(frozen=True)
class Part:
    """Named measurements. `measure` takes the user's stack, a folder and a step's name; its result is JSON-ready."""

    name: str
    steps: Sequence[str]
    measure: Callable[[StackSettings, Path, str], dict[str, Any]]


def _latency(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    if step in direct.STEPS:
        return direct.measure(home / "direct", direct.STEPS[step])
    return latency.measure(user, home / "latency", latency.STEPS[step])


def _capture(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    return capture.measure(home / "capture", step)


def _mirror(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    return mirror.measure(home / "mirror", mirror.STEPS[step])


def _growth(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    return growth.measure(home, growth.STEPS[step])


def _agents(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    return agents.measure(user, home / "agents", agents.STEPS[step])


def _ablation(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    return ablation.measure(user, home, ablation.STEPS[step])


_ALL = (
    Part("latency", (*latency.STEPS, *direct.STEPS), _latency),
    Part("capture", tuple(setups.STEPS), _capture),
    Part("mirror", tuple(mirror.STEPS), _mirror),
    Part("growth", tuple(growth.STEPS), _growth),
    Part("agents", tuple(agents.STEPS), _agents),
    Part("ablation", tuple(ablation.STEPS), _ablation),
)
PARTS: Mapping[str, Part] = {part.name: part for part in _ALL}


def gathered(results: Sequence[Mapping[str, Any]], part: str) -> dict[str, Any]:
    """The part's results so far, by step, with the code that they are of and when they were there; without those that
    have nothing but failures, of which there is nothing to be shown in a table."""
    return {
        result["step"]: {**result["found"], "code": result["code"], "at": result["at"]}
        for result in results if result.get("part") == part and result["found"].keys() != {"failures"}
    }  # fmt: skip


def tables(report: Mapping[str, Any]) -> list[Table]:
    """The tables of the parts, as far as they were measured."""
    every = (
        latency.table(report["latency_ms"]),
        growth.table(report["growth"]),
        agents.table(report["agents"]),
        arrivals.table(report["capture"]),
        mirror.table(report["mirror"]),
        ablation.table(report["ablation"]),
    )
    return [table for table in every if table.rows]
