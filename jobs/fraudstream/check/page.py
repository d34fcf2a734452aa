"""report.html: one page that needs no network and no JavaScript."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fraudstream.check import plots, timeline
from fraudstream.check.live import duration
from fraudstream.check.observe import ARCHIVE, MIRROR
from fraudstream.check.report import Run

_SHOWN_PER_RULE = 3


def write_page(path: Path, report: Mapping[str, Any], run: Run, alerts_table: str) -> None:
    """Render the report with its plots and some alerts of the table lake/alerts."""
    template = templates().get_template("report.html.j2")
    text = template.render(report=report, plots=_plots(report, run), examples=example_alerts(alerts_table))
    path.write_text(text, encoding="utf-8")


def templates(*folders: Path) -> Environment:
    """Templates of `folders` and of this one, whose page.css all pages share."""
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"ms": milliseconds, "n": number, "share": share}
    return environment


def _plots(report: Mapping[str, Any], run: Run) -> dict[str, str]:
    rules = list(report["rules"])
    alerts = {rule: run.alerts[rule] for rule in rules if rule in run.alerts}
    series = timeline.series(run.samples, run.began)
    written = run.produced[1] - run.began
    return {
        "rates": plots.rates_plot(series, rules),
        "latency": plots.latency_plot(alerts, run.began, written, run.warm),
        "stages": plots.stages_plot({rule: report["rules"][rule]["stages_ms"] for rule in rules}),
        "alerts": plots.alerts_plot(alerts, run.began, written),
        "lag": plots.lag_plot(series, [*run.batched, MIRROR, ARCHIVE]),
        "memory": plots.memory_plot(run.resources, run.began) if run.resources else "",
    }


def example_alerts(table: str) -> list[dict[str, Any]]:
    """Some alerts of each rule, spread over the run, their evidence as (name, figure) pairs."""
    if not DeltaTable.is_deltatable(table):
        return []
    columns = ["rule", "event_time", "user_id", "transaction_id", "amount", "card_type", "reason", "evidence"]
    found: pa.Table = DeltaTable(table).to_pyarrow_table(columns=columns).sort_by("event_time")
    rows = found.to_pylist()
    chosen = []
    for rule in sorted({row["rule"] for row in rows}):
        own = [row for row in rows if row["rule"] == rule]
        places = [len(own) * (2 * n + 1) // (2 * _SHOWN_PER_RULE) for n in range(_SHOWN_PER_RULE)]
        chosen += [own[place] for place in dict.fromkeys(places)]
    return [{**row, "evidence": list(json.loads(row["evidence"] or "{}").items())} for row in chosen]


def milliseconds(value: float | None) -> str:
    """1250 -> "1.25 s"; a dash for None."""
    return duration(value) or "-"


def number(value: float | None) -> str:
    """12345 -> "12,345"; a dash for None."""
    return "-" if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """0.9312 -> "93.1 %"; a dash for None."""
    return "-" if value is None else f"{value * 100:.1f} %"
