"""A run's samples and alerts as figures over time. Pure functions; seconds count from the run's begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fraudstream.check.latency import Latencies, Numbers
from fraudstream.check.observe import Sample

WARM_AFTER_S = 20.0
WARM_WINDOW_S = 60.0


def warm_window(begin: float, end: float) -> tuple[float, float]:
    """The part of a run in which figures are taken as typical: its last 60 s, without the first 20 s (the JVM compiles
    and the Python workers start then), or the second half of a run shorter than 40 s."""
    return max(end - WARM_WINDOW_S, min(begin + WARM_AFTER_S, (begin + end) / 2)), end


def percentiles(values: npt.ArrayLike) -> dict[str, int | None]:
    """p50, p95 and p99 in whole ms; None without values."""
    found = np.asarray(values, float)
    return {f"p{share}": round(float(np.percentile(found, share))) if found.size else None for share in (50, 95, 99)}


def lag_seconds(times: npt.ArrayLike, written: npt.ArrayLike, read: npt.ArrayLike) -> Numbers:
    """Age of the oldest unread input at each time: how long ago `written` (a total over time) passed what is read."""
    at, total, done = (np.asarray(each, float) for each in (times, written, read))
    grows = np.concatenate([[True], np.diff(total) > 0])
    passed = np.interp(done, total[grows], at[grows])
    return np.where(done >= total, 0.0, np.maximum(0.0, at - passed))


def lag_figures(times: npt.ArrayLike, lag: npt.ArrayLike, window: tuple[float, float]) -> dict[str, Any]:
    """Mean lag in both halves of the window and the greatest, in seconds; `grows`: the second mean is over 0.5 s above
    the first."""
    at, values = np.asarray(times, float), np.asarray(lag, float)
    middle = sum(window) / 2
    halves = [values[(at >= low) & (at < high)] for low, high in ((window[0], middle), (middle, window[1]))]
    if not all(half.size for half in halves):
        return {"first_half_s": None, "second_half_s": None, "max_s": None, "grows": None}
    first, second = (float(half.mean()) for half in halves)
    return {
        "first_half_s": round(first, 2),
        "second_half_s": round(second, 2),
        "max_s": round(max(float(half.max()) for half in halves), 2),
        "grows": second > first + 0.5,
    }


def series(samples: Sequence[Sample], begin: float) -> dict[str, Any]:
    """The samples as columns, as they are kept beside the report."""
    queries = samples[-1].read if samples else {}
    rules = samples[-1].alerts if samples else {}
    at = [sample.at - begin for sample in samples]
    captured = [sample.captured for sample in samples]
    read = {query: [sample.read.get(query, 0) for sample in samples] for query in queries}
    return {
        "seconds": [round(each, 2) for each in at],
        "committed": [sample.committed for sample in samples],
        "captured": captured,
        "read": read,
        "behind": {query: [sample.behind(query) for sample in samples] for query in queries},
        "alerts": {rule: [sample.alerts.get(rule, 0) for sample in samples] for rule in rules},
        "quarantined": [sample.quarantined for sample in samples],
    }


def rates(seconds: Sequence[float], totals: Sequence[float], width: float) -> tuple[Numbers, Numbers]:
    """(middles of intervals of `width` seconds, growth per second in each) of a total sampled at `seconds`."""
    edges = np.arange(0, max(seconds, default=0) + width, width)
    at_edges = np.interp(edges, seconds, totals)
    return (edges[:-1] + edges[1:]) / 2, np.diff(at_edges) / width


def latency_over_time(alerts: Latencies, begin: float, width: float) -> dict[str, list[float]]:
    """p50 and p95 in ms of the alerts on changes committed in each interval of `width` seconds that has any, at its
    middle (seconds)."""
    total = np.array(alerts.total)
    slots = np.floor((alerts.committed() - begin) / width)
    found: dict[str, list[float]] = {"seconds": [], "p50": [], "p95": [], "count": []}
    for slot in np.unique(slots[slots >= 0]):
        chosen = total[slots == slot]
        found["seconds"].append(float((slot + 0.5) * width))
        found["p50"].append(float(np.percentile(chosen, 50)))
        found["p95"].append(float(np.percentile(chosen, 95)))
        found["count"].append(int(chosen.size))
    return found


def interval(seconds: float) -> float:
    """Width of the intervals of a plot over so many seconds: about 40 of them, of at least a second."""
    return float(max(1, round(seconds / 40)))


def lags(found: Mapping[str, Any]) -> dict[str, Numbers]:
    """The lag in seconds of every query at each time of a series; of the archive, against the alerts."""
    alerts = np.sum([np.zeros(len(found["seconds"])), *(np.array(each) for each in found["alerts"].values())], axis=0)
    return {
        query: lag_seconds(found["seconds"], alerts if query == "archive_alerts" else found["captured"], read)
        for query, read in found["read"].items()
    }
