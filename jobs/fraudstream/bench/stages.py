"""Where the time of a micro-batch goes, by the stages that Spark reports of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from statistics import median
from typing import Any

from fraudstream.bench.figures import STEADY

Stages = Mapping[str, float]


def steady_stages(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Median ms of each stage, from a query's progress: of the batches that end in the steady part of what it read.
    Empty where none does."""
    known = [line for line in lines if line.get("stages_ms")]
    until = list(accumulate(line["read"] for line in known))
    low, high = (share * until[-1] if until else 0 for share in STEADY)
    return _medians([line["stages_ms"] for line, end in zip(known, until, strict=True) if low <= end <= high])


def of_runs(runs: Sequence[Mapping[str, Stages]]) -> dict[str, dict[str, float]]:
    """The medians of several runs' stages, by rule."""
    rules = dict.fromkeys(rule for run in runs for rule in run)
    return {rule: _medians([run[rule] for run in runs if rule in run]) for rule in rules}


def _medians(found: Sequence[Stages]) -> dict[str, float]:
    names = dict.fromkeys(name for stages in found for name in stages)
    return {name: median(stages[name] for stages in found if name in stages) for name in names}
