"""A part's results as a table, the same for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fraudstream.columns import aligned


class Table(NamedTuple):
    """Rows of texts and figures; None is a figure that there is not."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str


def lines(table: Table) -> list[str]:
    """The table for the terminal, an empty line before it; nothing of one without rows."""
    return ["", table.title, *aligned(table.header, table.rows)] if table.rows else []


def whole(value: float | None) -> int | None:
    """The figure rounded; None for none."""
    return None if value is None else round(value)
