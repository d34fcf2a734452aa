"""The comparison's plots, for the page as SVG and for the notebook as figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fraudstream.check.plots import COLOURS, figure
from fraudstream.compare.cost import break_even_interval
from fraudstream.compare.figures import BUSY, Figures, models, value

PATHS = {"poll_id": "polling by id", "poll_updated": "polling by updated_at", "cdc": "CDC"}
ALERT_PATHS = {"poll_5s": "polling every 5 s", "poll_1s": "polling every 1 s", "cdc": "CDC and Spark, micro-batches",
               "cdc_real_time": "CDC and Spark, real-time mode"}  # fmt: skip
_COLOUR = dict(zip(PATHS, (COLOURS[1], COLOURS[3], COLOURS[0]), strict=True))
_INTERVALS = {"interval 1 s": 1, BUSY: 5, "interval 30 s": 30}
_CONSUMERS = {BUSY: 1, "consumers 2": 2, "consumers 4": 4, "consumers 8": 8}
_KINDS = {"insert": "inserts", "insert_out_of_order": "inserts out of id order", "update": "updates",
          "delete": "deletes"}  # fmt: skip
_READERS = (1, 2, 4, 8)


def freshness_and_cost(figures: Figures) -> Figure:
    """Of each path and interval: p95 of the freshness against the database's CPU, with one reader."""
    made, (axes,) = figure(height=3.2)
    for path, label in PATHS.items():
        points = [
            (
                value(figures, "cell", cell, path, "fresh_p95_ms"),
                value(figures, "cell", cell, path, "database_ms_per_s"),
            )
            for cell in _INTERVALS
        ]
        known = [(x / 1000, y, seconds) for (x, y), seconds in zip(points, _INTERVALS.values(), strict=True)
                 if x is not None and y is not None]  # fmt: skip
        axes.plot([x for x, _, _ in known], [y for _, y, _ in known], "o-", color=_COLOUR[path], label=label)
        for x, y, seconds in known if path != "cdc" else []:
            axes.annotate(f"{seconds} s", (x, y), textcoords="offset points", xytext=(5, 5), fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel("seconds from commit to reader, p95")
    axes.set_ylabel("database CPU, ms per s")
    axes.set_ylim(bottom=0)
    _legend(made, axes)
    return made


def cost_by_readers(figures: Figures) -> Figure:
    """CPU of the database and of all processes by the number of readers."""
    made, both = figure(2, height=3.0)
    for axes, metric, title in zip(both, ("database_ms_per_s", "total_ms_per_s"), ("database", "all processes"),
                                   strict=True):  # fmt: skip
        for path, label in PATHS.items():
            known = [(count, found) for cell, count in _CONSUMERS.items()
                     if (found := value(figures, "cell", cell, path, metric)) is not None]  # fmt: skip
            axes.plot([x for x, _ in known], [y for _, y in known], "o-", color=_COLOUR[path], label=label)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("readers")
        axes.set_xticks(list(_CONSUMERS.values()))
        axes.set_ylim(bottom=0)
    both[0].set_ylabel("CPU, ms per s")
    _legend(made, both[0])
    return made


def missed_by_interval(figures: Figures) -> Figure:
    """Missed changes by poll interval, by what they are."""
    made, all_axes = figure(len(PATHS), height=3.0, sharey=True)
    cells = [cell for cell in _INTERVALS if cell in figures.get("cell", {})]
    for axes, (path, label) in zip(all_axes, PATHS.items(), strict=True):
        below = np.zeros(len(cells))
        for number, (kind, name) in enumerate(_KINDS.items()):
            counts = [value(figures, "cell", cell, path, f"missed_{kind}") or 0.0 for cell in cells]
            of = [value(figures, "cell", cell, "all", "changes") or 1.0 for cell in cells]
            heights = np.array([100 * count / changes for count, changes in zip(counts, of, strict=True)])
            axes.bar([f"{_INTERVALS[cell]} s" for cell in cells], heights, bottom=below, width=0.6,
                     color=COLOURS[number + 1], label=name)  # fmt: skip
            below += heights
        for place, height in enumerate(below):
            axes.annotate(f"{height:.1f} %", (place, height), ha="center", va="bottom", fontsize=8)
        axes.set_title(label, loc="left", fontsize=10)
        axes.set_xlabel("poll interval" if path != "cdc" else "poll interval of the others")
    all_axes[0].set_ylabel("% of all changes missed")
    _legend(made, all_axes[0])
    return made


def break_even(figures: Figures) -> Figure:
    """By the rate of changes: the staleness below which polling costs more CPU than CDC."""
    made, both = figure(2, height=3.2, sharey=True)
    rates = np.logspace(-2, 4, 121)
    for axes, database_only in zip(both, (True, False), strict=True):
        terms = models(figures, database_only)
        for number, readers in enumerate(_READERS if terms else ()):
            lines = [break_even_interval(terms["poll_updated"], terms["cdc"], rate, readers) for rate in rates]
            heights = [np.nan if each is None else each for each in lines]
            axes.plot(rates, heights, color=COLOURS[number], label=f"{readers} reader{'s' * (readers > 1)}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(0.005, 100)
        axes.set_title("database" if database_only else "all processes", loc="left", fontsize=10)
        axes.set_xlabel("changes per second")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    both[0].set_ylabel("seconds between polls")
    both[1].annotate("above the line: polling costs less", (0.02, 0.93), xycoords="axes fraction", fontsize=8)
    _legend(made, both[0])
    return made


def freshness_by_cell(figures: Figures) -> Figure:
    """p50, p95 and p99 from commit to reader of every cell and path."""
    cells = list(figures.get("cell", {}))
    made, (axes,) = figure(height=1.0 + 0.34 * len(cells))
    for number, (path, label) in enumerate(PATHS.items()):
        for place, cell in enumerate(cells):
            found = [value(figures, "cell", cell, path, f"fresh_p{share}_ms") for share in (50, 95, 99)]
            seconds = [each / 1000 for each in found if each is not None]
            at = place + 0.22 * (number - 1)
            axes.plot(seconds, [at] * len(seconds), "-", color=_COLOUR[path], linewidth=1.2)
            axes.plot(seconds[:1], [at] * len(seconds[:1]), "o", color=_COLOUR[path], markersize=4,
                      label=label if place == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(cells)), cells)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel("seconds from commit to reader: dot p50, line to p99")
    _legend(made, axes)
    return made


DRAWINGS: Mapping[str, Any] = {
    "freshness_and_cost": freshness_and_cost,
    "cost_by_readers": cost_by_readers,
    "missed_by_interval": missed_by_interval,
    "break_even": break_even,
    "freshness_by_cell": freshness_by_cell,
}


def _legend(made: Figure, axes: Axes) -> None:
    made.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4, fontsize=8, frameon=False)
