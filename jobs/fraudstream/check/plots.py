"""The report's plots as SVG text that takes its text colour from the page, so that it reads on light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fraudstream.check import timeline
from fraudstream.check.latency import STAGES, Latencies
from fraudstream.check.observe import ARCHIVE
from fraudstream.check.resources import Resources

# Of middle lightness: readable on white and on black.
COLOURS = ("#3b82d6", "#d9822b", "#2e9e6b", "#a259c4", "#d64550", "#7d8794")
_INK = "#010203"  # stands for the page's own text colour
_WIDTH = 9.6
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlesize": 10,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#8888884d",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
}


def figure(columns: int = 1, height: float = 2.8, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the page with axes side by side."""
    with mpl.rc_context(_STYLE):
        made = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = made.subplots(1, columns, squeeze=False, **options)[0]
    return made, list(axes)


def as_svg(made: Figure, name: str) -> str:
    """The figure as an SVG element. `name` keeps its ids apart from those of other plots of the page."""
    buffer = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        made.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # names that nothing refers to, the same in every plot
    # Widths in pt become the page's.
    return re.sub(r'<svg ([^>]*?)width="[\d.]+pt" height="[\d.]+pt"', rf'<svg role="img" aria-label="{name}" \1', text)


def rates_plot(series: Mapping[str, Any], rules: Sequence[str]) -> str:
    """Rows per second committed, captured, and processed by each rule."""
    made, (axes,) = figure()
    seconds = series["seconds"]
    # A real-time query reports every 5 s: narrower intervals would show its reports, not its pace.
    width = max(5.0, timeline.interval(seconds[-1]))
    lines = {"committed": series["committed"], "captured": series["captured"]}
    lines |= {f"processed: {rule}": series["read"][rule] for rule in rules}
    for number, (label, totals) in enumerate(lines.items()):
        at, per_second = timeline.rates(seconds, totals, width)
        axes.plot(at, per_second, label=label, color=_colour(number), linestyle="-" if number > 1 else "--")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("changes per second")
    axes.yaxis.set_major_formatter(_thousands())
    _finish(axes)
    return as_svg(made, "rates")


def latency_plot(alerts: Mapping[str, Latencies], begin: float, seconds: float, warm: tuple[float, float]) -> str:
    """p50 and p95 from commit to alert over time, an axes for each rule."""
    made, all_axes = figure(max(1, len(alerts)), sharey=True)
    for number, (axes, (rule, each)) in enumerate(zip(all_axes, alerts.items(), strict=False)):
        found = timeline.latency_over_time(each, begin, timeline.interval(seconds))
        colour = _colour(number + 2)
        axes.axvspan(warm[0] - begin, warm[1] - begin, color="#8888881f", linewidth=0)
        axes.plot(found["seconds"], found["p95"], color=colour, linewidth=1.2, linestyle="--", label="p95")
        axes.plot(found["seconds"], found["p50"], color=colour, label="p50")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))  # labels within one decade too
        axes.yaxis.set_major_formatter(FuncFormatter(_milliseconds))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(0, seconds)
        axes.set_title(rule, loc="left", fontsize=10)
        _finish(axes)
    return as_svg(made, "latency")


def alerts_plot(alerts: Mapping[str, Latencies], begin: float, seconds: float) -> str:
    """Alerts per second over time, an axes for each rule."""
    made, all_axes = figure(max(1, len(alerts)), height=2.4)
    width = timeline.interval(seconds)
    for number, (axes, (rule, each)) in enumerate(zip(all_axes, alerts.items(), strict=False)):
        found = timeline.latency_over_time(each, begin, width)
        heights = [count / width for count in found["count"]]
        axes.bar(found["seconds"], heights, width=0.9 * width, color=_colour(number + 2))
        axes.set_title(f"{rule}: {sum(found['count']):,}", loc="left", fontsize=10)
        axes.set_ylabel("alerts per second" if number == 0 else "")
        axes.set_xlim(0, seconds)
        _finish(axes, legend=False)
    return as_svg(made, "alerts")


def lag_plot(series: Mapping[str, Any], queries: Sequence[str]) -> str:
    """Age of the oldest unprocessed input of each query over time."""
    made, (axes,) = figure()
    found = timeline.lags(series)
    for number, query in enumerate(queries):
        axes.plot(
            series["seconds"],
            found[query],
            label=query,
            color=_colour(number + 2),
            linewidth=1 if query == ARCHIVE else 1.6,
        )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("seconds behind")
    _finish(axes)
    return as_svg(made, "lag")


def memory_plot(readings: Sequence[Resources], begin: float) -> str:
    """Memory of each group of processes over time."""
    made, (axes,) = figure()
    for number, group in enumerate(sorted({name for each in readings for name in each.memory})):
        found = [(each.at - begin, each.memory[group]) for each in readings if group in each.memory]
        axes.plot(*zip(*found, strict=True), label=group, color=_colour(number))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("MiB")
    axes.yaxis.set_major_formatter(_thousands())
    _finish(axes)
    return as_svg(made, "memory")


def stages_plot(stages: Mapping[str, Mapping[str, int | None]]) -> str:
    """Median ms of the stages from commit to alert, a bar for each rule."""
    made, (axes,) = figure(height=0.9 + 0.4 * len(stages))
    rules = list(stages)
    left = [0] * len(rules)
    for number, (stage, label) in enumerate(STAGES.items()):
        widths = [stages[rule][stage] or 0 for rule in rules]
        axes.barh(rules, widths, left=left, label=label, color=_colour(number), height=0.6)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("ms, median")
    _legend(axes)
    return as_svg(made, "stages")


def _finish(axes: Axes, legend: bool = True) -> None:
    axes.set_xlabel("seconds")
    axes.set_xlim(left=0)
    if legend:
        _legend(axes)


def _legend(axes: Axes) -> None:
    """Above the axes, where it hides nothing; a title stays beside it."""
    axes.legend(
        loc="lower right" if axes.get_title(loc="left") else "lower left",
        bbox_to_anchor=(1 if axes.get_title(loc="left") else 0, 1),
        ncols=6, fontsize=9, frameon=False, labelcolor=_INK, borderaxespad=0, handlelength=1.5, columnspacing=1.2,
    )  # fmt: skip


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _thousands() -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{value:,.0f}")


def _milliseconds(value: float, _: object) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"
