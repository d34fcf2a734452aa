"""Measurements gathered over the repeats: a median with its spread for each figure, and the figures made from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, NamedTuple

from fraudstream.compare import cost
from fraudstream.compare.measurement import Measurement
from fraudstream.compare.poller import OVERLAP_S

IDLE, BUSY = "one row a minute", "base"
_CPU = ("readers_cpu_s", "database_cpu_s", "broker_cpu_s", "connect_cpu_s", "total_cpu_s", "walsender_cpu_s",
        "capture_sessions_cpu_s")  # fmt: skip
_MISSED = ("missed", "missed_insert", "missed_insert_out_of_order", "missed_update", "missed_delete",
           "missed_intermediate", "late")  # fmt: skip


class Figure(NamedTuple):
    """A figure over n repeats."""

    median: float
    low: float
    high: float
    n: int


Figures = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Figure]]]]
"""By part, cell, path and metric."""


def gather(measurements: Iterable[Measurement]) -> dict[str, dict[str, dict[str, dict[str, Figure]]]]:
    """The measured figures and those made of them, each over its repeats: of cells CPU ms per second (`_ms_per_s`) and
    CPU seconds per million changes (`_per_million`), and shares of what was missed (`_share`)."""
    one: dict[tuple[str, str, int], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for each in measurements:
        one[each.part, each.cell, each.repeat][each.path][each.metric] = each.value
    values: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for (part, cell, _), paths in one.items():
        for path, metrics in paths.items():
            more = derived(metrics, paths["all"]) if part == "cell" and path != "all" else {}
            for metric, value in {**metrics, **more}.items():
                values[part, cell, path, metric].append(value)
    found: dict[str, dict[str, dict[str, dict[str, Figure]]]] = {}
    for (part, cell, path, metric), each_value in values.items():
        figure = Figure(median(each_value), min(each_value), max(each_value), len(each_value))
        found.setdefault(part, {}).setdefault(cell, {}).setdefault(path, {})[metric] = figure
    return found


def derived(metrics: Mapping[str, float], common: Mapping[str, float]) -> dict[str, float]:
    """A path's figures of one cell, made comparable with those of others."""
    window, changes = common["window_s"], max(1.0, common["changes"])
    found = {}
    for name in _CPU:
        if name in metrics:
            plain = name.removesuffix("_cpu_s")
            found[f"{plain}_ms_per_s"] = metrics[name] * 1000 / window
            found[f"{plain}_per_million"] = metrics[name] / changes * 1e6
    kinds = {"missed_intermediate": 0.0, "late": 0.0, "missed": changes}
    for name in _MISSED:
        of = kinds.get(name, common.get(name.replace("missed", "changes"), 0.0)) or changes
        found[f"{name}_share"] = metrics[name] / of
    return found


def value(figures: Figures, part: str, cell: str, path: str, metric: str) -> float | None:
    """A median, None where it was not measured."""
    found = figures.get(part, {}).get(cell, {}).get(path, {}).get(metric)
    return None if found is None else found.median


def models(figures: Figures, database_only: bool) -> dict[str, Any]:
    """The cost model's terms, polling's by its way, from the idle and the base cell; empty without these."""
    cells = figures.get("cell", {})
    if IDLE not in cells or BUSY not in cells:
        return {}
    used = {}
    for cell in (IDLE, BUSY):
        common = _medians(cells[cell]["all"])
        for path in ("poll_id", "poll_updated", "cdc"):
            used[cell, path] = cost.used_by(_medians(cells[cell][path]), common, database_only)
    return {
        "poll_id": cost.polling_of(used[IDLE, "poll_id"], used[BUSY, "poll_id"]),
        "poll_updated": cost.polling_of(used[IDLE, "poll_updated"], used[BUSY, "poll_updated"], OVERLAP_S),
        "cdc": cost.cdc_of(used[IDLE, "cdc"], used[BUSY, "cdc"]),
    }


def model_error(figures: Figures, database_only: bool) -> float | None:
    """Median over the other cells and all paths of |predicted - measured| / measured, of CPU per second."""
    terms = models(figures, database_only)
    errors = []
    for cell, paths in figures.get("cell", {}).items():
        if cell in (IDLE, BUSY) or not terms:
            continue
        common = _medians(paths["all"])
        if not common.get("pace_quick", 1.0):
            continue  # another connector than the model's
        for path in ("poll_id", "poll_updated", "cdc"):
            used = cost.used_by(_medians(paths[path]), common, database_only)
            measured = (used.shared + used.readers) / used.window_s
            rate, readers = used.changes / used.window_s, used.count
            model = terms[path]
            predicted = (
                model.per_second(rate, readers) if path == "cdc" else model.per_second(rate, used.interval_s, readers)
            )
            errors.append(abs(predicted - measured) / measured)
    return median(errors) if errors else None


def _medians(figures: Mapping[str, Figure]) -> dict[str, float]:
    return {name: figure.median for name, figure in figures.items()}
