"""report.json and report.html of a comparison, and its summary for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fraudstream import cli
from fraudstream.check.page import templates
from fraudstream.check.plots import as_svg
from fraudstream.compare.answers import shown
from fraudstream.compare.cost import break_even_interval, break_even_readers
from fraudstream.compare.drawing import ALERT_PATHS, DRAWINGS, PATHS
from fraudstream.compare.figures import Figures, gather, model_error, models, value
from fraudstream.compare.run import Outcome
from fraudstream.compare.verdicts import verdicts

_RATES = (0.1, 1.0, 10.0, 100.0, 500.0, 2000.0)
_READERS = (1, 2, 4, 8)


def write_report(home: Path, outcome: Outcome) -> dict[str, Any]:
    """Write report.json and report.html into `home`. Returns the report."""
    figures = gather(outcome.measurements)
    report = assemble(outcome, figures)
    (home / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    plots = {name: as_svg(draw(figures), name) for name, draw in DRAWINGS.items()}
    environment = templates(Path(__file__).parent)
    environment.filters |= {"figure": shown}
    page = environment.get_template("compare.html.j2")
    text = page.render(report=report, figures=figures, plots=plots, paths=PATHS, alert_paths=ALERT_PATHS,
                       get=_getter(figures))  # fmt: skip
    (home / "report.html").write_text(text, encoding="utf-8")
    return report


def assemble(outcome: Outcome, figures: Figures) -> dict[str, Any]:
    """The report as data: passed, failures, what ran, every figure, the break-evens and the decision table."""
    return {
        "passed": not outcome.failures,
        "failures": list(outcome.failures),
        **outcome.about,
        "decisions": [asdict(each) for each in verdicts(figures)],
        "break_even": {
            "database": _break_evens(figures, True),
            "all_processes": _break_evens(figures, False),
        },
        "figures": {
            part: {cell: {path: {name: each._asdict() for name, each in metrics.items()}
                          for path, metrics in paths.items()} for cell, paths in cells.items()}
            for part, cells in figures.items()
        },
    }  # fmt: skip


def _break_evens(figures: Figures, database_only: bool) -> dict[str, Any]:
    terms = models(figures, database_only)
    if not terms:
        return {}
    polling, cdc = terms["poll_updated"], terms["cdc"]
    return {
        "terms": {name: asdict(each) for name, each in terms.items()},
        "median_error": model_error(figures, database_only),
        "interval_s": {str(rate): {str(readers): break_even_interval(polling, cdc, rate, readers)
                                   for readers in _READERS} for rate in _RATES},
        "readers_at_5_s": {str(rate): break_even_readers(polling, cdc, rate, 5.0) for rate in _RATES},
    }  # fmt: skip


def summary(report: Mapping[str, Any]) -> str:
    """The result for the terminal: the decision table."""
    lines = []
    for each in report["decisions"]:
        lines += [cli.paint(f"{each['need']}: {each['use']}", "bold"), f"    {each['because']}"]
    lines += [f"- {failure}" for failure in report["failures"]]
    lines.append(cli.paint("PASSED", "green") if report["passed"] else cli.paint("FAILED", "red"))
    return "\n".join(lines)


def _getter(figures: Figures) -> Any:
    return lambda *place: value(figures, *place)
