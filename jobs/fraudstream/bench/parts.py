"""What a full run measures beside the race: parts of a few steps each, every step a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudstream.bench import agents, growth, latency
from fraudstream.stack.settings import StackSettings


@dataclass(frozen=True)
class Part:
    """Named measurements. `measure` takes the user's stack, a folder and a step's name; its result is JSON-ready."""

    name: str
    steps: Sequence[str]
    measure: Callable[[StackSettings, Path, str], dict[str, Any]]


def _latency(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    return latency.measure(user, home / "latency", latency.STEPS[step])


def _growth(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    return growth.measure(home, growth.STEPS[step])


def _agents(user: StackSettings, home: Path, step: str) -> dict[str, Any]:
    return agents.measure(user, home / "agents", agents.STEPS[step])


_ALL = (
    Part("latency", tuple(latency.STEPS), _latency),
    Part("growth", tuple(growth.STEPS), _growth),
    Part("agents", tuple(agents.STEPS), _agents),
)
PARTS: Mapping[str, Part] = {part.name: part for part in _ALL}


def gathered(results: Sequence[Mapping[str, Any]], part: str) -> dict[str, Any]:
    """The part's results so far, by step."""
    return {result["step"]: result["found"] for result in results if result.get("part") == part}
