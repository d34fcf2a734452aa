"""The benchmark's plots, as SVG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from fraudstream.bench import growth, latency
from fraudstream.check.latency import STAGES
from fraudstream.check.plots import COLOURS, as_svg, figure

_STYLES = ("-", "--", ":", "-.")


def plots(name: str, entries: Sequence[Mapping[str, Any]], progress: Mapping[str, Any]) -> dict[str, str]:
    """rates: the steady rate of each system with its spread; progress: the course of one run of each."""
    return {"rates": _rates(name, entries), "progress": _progress(name, progress)}


def of_tables(report: Mapping[str, Any]) -> dict[str, str]:
    """The plots of parts by the titles of their tables: the stages of a latency, and what an event costs by users."""
    drawn = {latency.TITLE: (_stages, report["latency_ms"]), growth.TITLE: (_growth, report["growth"])}
    return {title: draw(found) for title, (draw, found) in drawn.items() if found}


def _stages(found: Mapping[str, Mapping[str, Any]]) -> str:
    known = {
        f"{step}: {rule}": each["stages_ms"] for step, run in found.items() for rule, each in run["rules"].items()
        if each["stages_ms"]["work_to_alert"] is not None
    }  # fmt: skip
    made, (axes,) = figure(height=1.2 + 0.32 * len(known))
    begin = np.zeros(len(known))
    for (stage, words), colour in zip(STAGES.items(), COLOURS, strict=False):
        lengths = [stages[stage] or 0 for stages in known.values()]
        axes.barh(range(len(known)), lengths, left=begin, height=0.6, color=colour, label=words)
        begin += lengths
    axes.set_yticks(range(len(known)), list(known))
    axes.invert_yaxis()
    axes.set_xlabel("ms, medians of the stages; real-time rules have no batch to wait for")
    made.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=5, fontsize=8, frameon=False)
    return as_svg(made, "stages")


def _growth(found: Mapping[str, Mapping[str, Any]]) -> str:
    made, (axes,) = figure(height=3.6)
    lines: dict[tuple[int, int], list[tuple[int, float]]] = defaultdict(list)
    for each in found.values():
        if each["us_per_event"]:
            lines[each["batch"], each["buckets"]].append((each["users"], each["us_per_event"]))
    for ((batch, buckets), points), (style, colour) in zip(lines.items(), product(_STYLES, COLOURS), strict=False):
        users, cost = zip(*sorted(points), strict=True)
        label = f"{buckets:,} buckets, {batch:,} a batch"
        axes.plot(users, cost, marker="o", label=label, linewidth=1.4, color=colour, linestyle=style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("users with whole histories")
    axes.set_ylabel("us an event")
    _thousands(axes, "x")
    _thousands(axes, "y")
    made.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4, fontsize=8, frameon=False)
    return as_svg(made, "growth")


def _rates(name: str, entries: Sequence[Mapping[str, Any]]) -> str:
    known = [entry for entry in entries if entry["steady_per_s"]]
    made, (axes,) = figure(height=0.9 + 0.32 * len(known))
    for place, entry in enumerate(known):
        steady = entry["steady_per_s"]
        colour = COLOURS[0] if entry["system"].startswith("ours") else COLOURS[-1]
        axes.barh(place, steady["median"], height=0.6, color=colour, alpha=1.0 if entry["fault_tolerant"] else 0.45)
        axes.plot([steady["min"], steady["max"]], [place, place], color=COLOURS[1], linewidth=2.0)
    axes.set_yticks(range(len(known)), [entry["system"] for entry in known])
    axes.invert_yaxis()
    axes.set_xlabel("events per second, steady; pale: not fault tolerant; line: all runs")
    _thousands(axes, "x")
    return as_svg(made, f"rates: {name}")


def _progress(name: str, progress: Mapping[str, Sequence[Sequence[float]]]) -> str:
    made, (axes,) = figure(height=3.6)
    for (system, points), (style, colour) in zip(progress.items(), cycle(product(_STYLES, COLOURS)), strict=False):
        seconds, events = zip(*points, strict=True)
        axes.plot(seconds, events, label=system, linewidth=1.4, color=colour, linestyle=style)
    axes.set_xlabel("seconds since the start of the process")
    axes.set_ylabel("events judged")
    _thousands(axes, "y")
    if progress:
        made.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=5, fontsize=8, frameon=False)
    return as_svg(made, f"progress: {name}")


def _thousands(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
