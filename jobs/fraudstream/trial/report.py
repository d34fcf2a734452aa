"""A comparison as report.json, report.html and text."""

from __future__ import annotations

import json
from pathlib import Path

from fraudstream.check.page import templates
from fraudstream.columns import aligned
from fraudstream.stack.settings import load_settings
from fraudstream.trial.comparison import CELLS, Comparison

_TITLES = {"both": "fired in both", "only_new": "only new", "only_old": "only old"}


def folder_of(rule: str) -> Path:
    """Where a rule's comparison is kept."""
    return load_settings().home / "compare_rules" / rule


def write_report(found: Comparison) -> Path:
    """Write report.json and report.html. Returns the path of the latter."""
    folder = folder_of(found.rule)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")
    page = templates(Path(__file__).parent).get_template("comparison.html.j2")
    path = folder / "report.html"
    path.write_text(page.render(found=found, titles=_TITLES), encoding="utf-8")
    return path


def as_text(found: Comparison) -> str:
    """The comparison for the terminal."""
    against = f"{found.against} ({found.against_version})" if found.against else "no live rule"
    header = ["", "alerts", "confirmed", "dismissed", "unlabelled", "amount"]
    cells = [(name, found.cells[name]) for name in CELLS]
    rows = [[_TITLES[name], c.alerts, c.confirmed, c.dismissed, c.unlabelled, c.amount] for name, c in cells]
    last = "Alerts of the last seconds may not have been archived yet."
    first = f"{found.rule} ({found.version}, shadow) against {against}: {found.records:,} records that both have judged"
    return "\n".join([first, *aligned(header, rows), last])
