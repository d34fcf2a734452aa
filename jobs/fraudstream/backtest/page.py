"""report.json, report.html and problems.csv of a backtest, and its summary for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fraudstream.backtest.drawing import alerts_by_day, sweep, swept
from fraudstream.backtest.run import Backtest
from fraudstream.backtest.source import write_problems
from fraudstream.check.page import share, templates
from fraudstream.check.plots import as_svg
from fraudstream.columns import aligned
from fraudstream.errors import FraudstreamError

CELLS = {
    "tp": "fraud that alerts",
    "fp": "honest, but alerts",
    "fn": "fraud without an alert",
    "tn": "honest without an alert, the largest",
    "unknown": "alerts on which nothing is known",
}


def write_report(home: Path, found: Backtest, command: str) -> None:
    """Write report.json, report.html and, if rows could not be judged, problems.csv into `home`. Raises
    FraudstreamError if that fails."""
    report = {"command": command, **found.report}
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (home / "report.html").write_text(page(report), encoding="utf-8")
        (home / "problems.csv").unlink(missing_ok=True)
        if found.history.problems:
            write_problems(home / "problems.csv", found.history.problems)
    except OSError as error:
        raise FraudstreamError(f"{home}: cannot be written ({error}); name another folder with --home.") from error


def page(report: Mapping[str, Any]) -> str:
    """The report as one page that needs nothing else."""
    environment = templates(Path(__file__).parent)
    environment.filters |= {"seconds": lasting, "money": money, "cell": CELLS.get}
    plots = {f"sweep_{rule}": as_svg(sweep(entries), f"sweep_{rule}") for rule, entries in swept(report).items()}
    if any(entry.get("alerts") for entry in report["rules"]):
        plots["by_day"] = as_svg(alerts_by_day(report), "by_day")
    judged = [entry for entry in report["rules"] if "not_judged" not in entry]
    kinds = {name: kind["fraud"] for entry in judged for name, kind in entry["kinds"].items()}
    ordered = sorted(kinds, key=lambda name: not kinds[name])
    return environment.get_template("backtest.html.j2").render(
        report=report, judged=judged, plots=plots, kinds=ordered, is_fraud=kinds, cells=list(CELLS), swept=swept(report)
    )


def summary(report: Mapping[str, Any]) -> str:
    """The result for the terminal: a line for each rule."""
    header = ("rule", "alerts", "a day", "precision", "recall", "F1", "money", "found", "detection")
    judged = [entry for entry in report["rules"] if "not_judged" not in entry]
    rows = [(entry["variant"], *_cells(entry)) for entry in judged]
    if report["together"]:
        rows.append((f"all {report['together']['rules']} as configured", *_cells(report["together"])))
    lines = aligned(header, rows) if rows else []
    lines += [
        f"{entry['variant']}: not judged: {entry['not_judged']}" for entry in report["rules"] if entry not in judged
    ]
    known, source = report["known"], report["source"]
    lines.append(
        f"{source['in_period']:,} transactions from {report['period']['from'][:10]} to {report['period']['to'][:10]} "
        f"({known['fraud']:,} fraud, {known['honest']:,} honest, {known['unknown']:,} unknown); "
        f"{source['before']:,} before them warmed the rules up"
    )
    if source["problems"]:
        reasons = ", ".join(f"{count:,} x {reason}" for reason, count in source["problems"].items())
        lines.append(f"not judged: {reasons} (problems.csv)")
    return "\n".join(lines)


def _cells(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    shares = (share(entry[name]) for name in ("precision", "recall", "f1", "money_share", "episodes_share"))
    return entry["alerts"], f"{entry['alerts_per_day']:.1f}", *shares, lasting(entry["detection_p50_s"])


def lasting(seconds: float | None) -> str:
    """5400 -> "1.5 h"; a dash for None."""
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def money(cents: int | None) -> str:
    """1234567 -> "12,346"."""
    return "-" if cents is None else f"{cents / 100:,.0f}"
