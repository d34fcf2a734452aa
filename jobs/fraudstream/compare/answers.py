"""docs/comparison.md: the exercise's questions answered in order, with the figures of a run put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fraudstream.compare.cost import break_even_interval
from fraudstream.compare.drawing import ALERT_PATHS, PATHS
from fraudstream.compare.figures import Figures, model_error, models, value
from fraudstream.compare.verdicts import verdicts


def answers(about: Mapping[str, Any], figures: Figures, people: Sequence[Mapping[str, Any]]) -> str:
    """The page as Markdown; `people` is what `query_people --json` wrote. Needs every part of the small grid: raises
    TypeError where one was not measured."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    database_error, all_error = (model_error(figures, database_only) for database_only in (True, False))
    return environment.get_template("comparison.md.j2").render(
        about=about, people=people, date=about["started_at"][:10], paths=PATHS, decisions=verdicts(figures),
        g=lambda *place: value(figures, *place),
        c=lambda *place: value(figures, "cell", *place),
        b=lambda *place: value(figures, "bulk", "bulk", *place),
        a=lambda *place: value(figures, "alerts", "alerts", *place), alert_paths=ALERT_PATHS,
        s=lambda *place: value(figures, "start", "start", "cdc", *place),
        f=shown, p=_percent, ms=_milliseconds, sec=_seconds, mib=_mebibytes,
        break_even=lambda readers: _interval(figures, readers),
        database_error=database_error or 0.0, all_error=all_error or 0.0,
    )  # fmt: skip


def shown(number: float | None) -> str:
    """Three figures of a number: 1234.5 -> "1,234", 0.0123 -> "0.0123"; a dash for None."""
    if number is None:
        return "-"
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    if number == int(number):
        return f"{number:.0f}"
    return f"{number:,.1f}" if abs(number) >= 10 else f"{number:.3g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %" if share else "0"


def _milliseconds(number: float | None) -> str:
    return "-" if number is None else f"{number / 1000:.1f} s" if number >= 1000 else f"{number:.0f} ms"


def _seconds(number: float | None) -> str:
    return "-" if number is None else f"{number:.1f} s"


def _mebibytes(kib: float | None) -> str:
    return "-" if kib is None else f"{kib / 1024:,.0f}"


def _interval(figures: Figures, readers: int) -> str:
    """The interval, at the base cell's rate, below which polling costs the database more than CDC."""
    terms, rate = models(figures, database_only=True), value(figures, "cell", "base", "all", "rate") or 0.0
    found = break_even_interval(terms["poll_updated"], terms["cdc"], rate, readers)
    return "at any interval" if found is None else f"below an interval of {shown(found)} s"
