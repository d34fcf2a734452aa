"""Whether what must stay as it is grows over a run: memory, lag, the length of batches, latency, files.

A machine that is not ours alone does not stay as it is. Figures in units of time may grow as the CPU time of a piece of
work does that is always the same: in an hour's run all stages of all batches took a third longer for ten minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from fraudstream.check import timeline

if TYPE_CHECKING:
    from fraudstream.check.report import Run

# A run shorter than this tells nothing: the JVMs fill their heaps and the users' histories grow to their length first.
LONG_S = 1800
_WARM_SHARE = 1 / 3
_SLOT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How much larger the end may be than the middle: by a factor, or by an amount where that is more."""

    factor: float
    amount: float


# MiB; seconds; ms; files of a table (compaction joins small ones, so their number must not follow the time).
LIMITS = {
    "memory_mib": Limit(factor=1.1, amount=64),
    "lag_s": Limit(factor=1.2, amount=1.0),
    "batch_ms": Limit(factor=1.2, amount=100),
    "latency_p50_ms": Limit(factor=1.2, amount=100),
    "files": Limit(factor=1.5, amount=40),
    "work_ms": Limit(factor=float("inf"), amount=0),
}
_TIMED = ("lag_s", "batch_ms", "latency_p50_ms")
# A rule may have nothing to alert on for most of a run; its lag and its batches are told all the same.
_MAY_LACK = ("latency_p50_ms",)


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Medians of the first and the last third of what comes after the warm-up, and the greatest value of all."""

    middle: float
    end: float
    greatest: float
    grows: bool


def trend(seconds: Sequence[float], values: Sequence[float], limit: Limit) -> Trend | None:
    """The trend of values read at `seconds` of a run; None for fewer than nine after the warm-up."""
    if not seconds:
        return None
    warm = seconds[0] + (seconds[-1] - seconds[0]) * _WARM_SHARE
    later = [value for at, value in zip(seconds, values, strict=True) if at >= warm]
    third = len(later) // 3
    if third < 3:
        return None
    middle, end = median(later[:third]), median(later[-third:])
    grows = end > max(middle * limit.factor, middle + limit.amount)
    return Trend(middle=round(middle, 2), end=round(end, 2), greatest=round(max(values), 2), grows=grows)


def of_run(run: Run, series: Mapping[str, Any]) -> dict[str, Any]:
    """{figure: {of what: trend}} of a run, with `failures`: in words what grows, or could not be told, where the run
    was long enough to tell; and `untold`: what could not be told, and need not be."""
    found: dict[str, dict[str, Any]] = {}
    failures: list[str] = []
    untold: list[str] = []
    figures = _figures(run, series)
    work = trend(*figures["work_ms"]["machine"], LIMITS["work_ms"])
    slower = max(work.end / work.middle, 1.0) if work else 1.0
    for figure, each in figures.items():
        limit = LIMITS[figure]
        if figure in _TIMED:
            limit = Limit(factor=limit.factor * slower, amount=limit.amount * slower)
        told = {name: trend(seconds, values, limit) for name, (seconds, values) in each.items()}
        found[figure] = {name: asdict(one) for name, one in told.items() if one}
        failures += [
            f"{figure} of {name} grows: {one.middle:,} in the middle of the run, {one.end:,} at its end"
            for name, one in told.items()
            if one and one.grows
        ]
        lacking = [f"{figure} of {name}: too few readings to tell" for name, one in told.items() if one is None]
        (untold if figure in _MAY_LACK else failures).extend(lacking)
    is_long = run.produced[1] - run.produced[0] >= LONG_S
    return {**found, "failures": failures if is_long else [], "untold": untold}


_Series = tuple[Sequence[float], Sequence[float]]


def _figures(run: Run, series: Mapping[str, Any]) -> dict[str, dict[str, _Series]]:
    begin, end = run.produced
    readings = [each for each in run.resources if begin <= each.at <= end]
    times = [each.at for each in readings]
    groups = sorted({name for each in readings for name in each.memory})
    tables = sorted({name for each in readings for name in each.files})
    lags = {name: lag for name, lag in timeline.lags(series).items() if name in run.batched}
    sampled = [at + run.began for at in series["seconds"]]
    return {
        "work_ms": {"machine": (times, [each.work_ms for each in readings])},
        "memory_mib": {name: (times, [each.memory.get(name, 0.0) for each in readings]) for name in groups},
        "files": {name: (times, [float(each.files[name]) for each in readings]) for name in tables},
        "lag_s": {name: _by_slot(sampled, lag, begin, end) for name, lag in lags.items()},
        "batch_ms": {
            name: _by_slot([at for at, _, _ in each.durations], [ms for _, ms, _ in each.durations], begin, end)
            for name, each in run.progress.items()
            if name in run.batched
        },
        "latency_p50_ms": {
            name: _by_slot(each.committed(), np.array(each.total), begin, end) for name, each in run.alerts.items()
        },
    }


def _by_slot(at: Any, values: Any, begin: float, end: float) -> _Series:
    """Medians per minute between begin and end, at the minutes that have values."""
    times, found = np.asarray(at, float), np.asarray(values, float)
    inside = (times >= begin) & (times <= end) & ~np.isnan(found)
    slots = np.floor((times[inside] - begin) / _SLOT_S)
    minutes = np.unique(slots)
    medians = [float(np.median(found[inside][slots == minute])) for minute in minutes]
    return [float(begin + minute * _SLOT_S) for minute in minutes], medians
