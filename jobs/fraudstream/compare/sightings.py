"""What a reader saw, kept compactly while it reads and written as CSV when it ends."""

from __future__ import annotations

import csv
from array import array
from pathlib import Path

from fraudstream.compare.account import Seen

MARKER_VALUE = 999_999_999
"""Cents of a row by which a reader knows where it is; below every value that a plan writes."""
_NONE = -1


class Sightings:
    """Grows by 25 bytes per sighting, so that keeping them hardly shows in the reader's memory."""

    def __init__(self) -> None:
        self._at, self._op, self._id, self._value = array("d"), array("b"), array("q"), array("q")

    def add(self, at: float, op: str, row: int, value: int | None) -> None:
        """Note one sighting; fields as in Seen."""
        self._at.append(at)
        self._op.append(ord(op))
        self._id.append(row)
        self._value.append(_NONE if value is None else value)

    def write(self, path: Path) -> None:
        """One line each: at, op, id, value (-1: none)."""
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = zip(self._at, map(chr, self._op), self._id, self._value, strict=True)
            csv.writer(file).writerows((f"{at:.6f}", *rest) for at, *rest in rows)


def read_sightings(path: Path) -> list[Seen]:
    """What `Sightings.write` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Seen(float(at), op, int(row), _value(value)) for at, op, row, value in csv.reader(file)]


def _value(text: str) -> int | None:
    return None if int(text) == _NONE else int(text)
