"""Rows as aligned columns of text."""

from __future__ import annotations

from collections.abc import Sequence

from fraudstream.cli import paint


def aligned(header: Sequence[str], rows: Sequence[Sequence[object]], *, indent: str = "") -> list[str]:
    """The header and the rows as lines; a column whose values are all numbers is aligned to the right. None is "-"."""
    texts = [["-" if value is None else _text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    right = [all(_is_number(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in (header, *texts)
    ]
    return [indent + paint(lines[0], "dim"), *(indent + line for line in lines[1:])]


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool)) or _is_decimal(str(value))


def _is_decimal(text: str) -> bool:
    digits = text.removeprefix("-").removesuffix(" %").replace(".", "", 1)
    return digits.isdecimal()
