"""The backtest's plots, for the page as SVG and for the notebook as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fraudstream.check.plots import COLOURS, figure

_SHARES = {"precision": "precision", "recall": "recall", "f1": "F1", "money_share": "fraudulent money caught"}
_MOST_RULES = len(COLOURS)


def swept(report: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """By rule the entries of those that were tried with several parameters."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in report["rules"]:
        if "not_judged" not in entry:
            found.setdefault(entry["rule"], []).append(entry)
    return {rule: entries for rule, entries in found.items() if len(entries) > 1}


def sweep(entries: Sequence[Mapping[str, Any]]) -> Figure:
    """Shares and alerts a day of one rule by its parameters; a dotted line marks the configured ones."""
    made, (left, right) = figure(2, height=3.2)
    names = list(dict.fromkeys(name for entry in entries for name in entry["changed"]))
    numbers = _numbers(entries, names)
    if numbers is None:
        at: list[float] = [float(place) for place in range(len(entries))]
        labels = [", ".join(entry["changed"].values()) or "configured" for entry in entries]
    else:
        entries = [entry for _, entry in sorted(zip(numbers, entries, strict=True), key=lambda pair: pair[0])]
        at, labels = sorted(numbers), []
    for number, (name, label) in enumerate(_SHARES.items()):
        points = [(x, entry[name]) for x, entry in zip(at, entries, strict=True) if entry[name] is not None]
        left.plot(
            [x for x, _ in points], [y for _, y in points], "o-", markersize=4, color=COLOURS[number], label=label
        )
    right.plot(at, [entry["alerts_per_day"] for entry in entries], "o-", markersize=4, color=COLOURS[5])
    left.set_ylim(0, 1)
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    right.set_ylim(bottom=0)
    right.set_title("alerts a day", loc="left", fontsize=10)
    for axes in (left, right):
        _mark(axes, at, labels, entries, ", ".join(names))
    made.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=4, fontsize=8, frameon=False)
    return made


def _numbers(entries: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[float] | None:
    """The values of the only parameter that is swept, if they are numbers."""
    if len(names) != 1:
        return None
    try:
        return [float(entry["parameters"][names[0]]) for entry in entries]
    except ValueError:
        return None


def _mark(
    axes: Axes, at: Sequence[float], labels: Sequence[str], entries: Sequence[Mapping[str, Any]], name: str
) -> None:
    axes.set_xlabel(name)
    if labels:
        axes.set_xticks(at, labels, rotation=30 if len(labels) > 4 else 0, ha="right" if len(labels) > 4 else "center")
    for x, entry in zip(at, entries, strict=True):
        if not entry["changed"]:
            axes.axvline(x, color="#888888", linestyle=":", linewidth=1)


def alerts_by_day(report: Mapping[str, Any]) -> Figure:
    """Alerts of each day, of the configured rules that have most."""
    made, (axes,) = figure(height=2.8)
    entries = [entry for entry in report["rules"] if not entry["changed"] and entry.get("alerts")]
    entries.sort(key=lambda entry: -entry["alerts"])
    for number, entry in enumerate(entries[:_MOST_RULES]):
        axes.plot(entry["by_day"], color=COLOURS[number], linewidth=1.2, label=entry["rule"])
    days = report["period"]["days"]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda day, _: days[int(day)] if 0 <= day < len(days) else ""))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("alerts a day")
    made.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=6, fontsize=8, frameon=False)
    return made


def scenarios(report: Mapping[str, Any]) -> Figure:
    """Rule by kind: the share of the kind's payments that alert; honest kinds in brackets, in another colour."""
    judged = [entry for entry in report["rules"] if "not_judged" not in entry and not entry["changed"]]
    entries = [*judged, *([{**report["together"], "rule": "all together"}] if report["together"] else [])]
    kinds = sorted(entries[0]["kinds"], key=lambda name: not entries[0]["kinds"][name]["fraud"])
    made, (axes,) = figure(height=0.9 + 0.32 * len(entries))
    for row, entry in enumerate(entries):
        for column, name in enumerate(kinds):
            kind = entry["kinds"][name]
            share = kind["share"] or 0
            colour = COLOURS[2] if kind["fraud"] else COLOURS[4]
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colour, alpha=0.7 * share, linewidth=0))
            axes.text(column, row, f"{share:.1%}", ha="center", va="center", fontsize=8)
    is_fraud = entries[0]["kinds"]
    names = [name.replace("_", " ") for name in kinds]
    labels = [text if is_fraud[name]["fraud"] else f"({text})" for name, text in zip(kinds, names, strict=True)]
    axes.set_xticks(range(len(kinds)), labels, fontsize=8)
    axes.set_yticks(range(len(entries)), [entry["rule"] for entry in entries])
    axes.set_xlim(-0.5, max(1, len(kinds)) - 0.5)
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.xaxis.tick_top()
    return made
