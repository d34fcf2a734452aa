"""Measurements: one figure each, of one path in one cell; kept and shared as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measurement:
    """`value` of `metric` (its unit is the name's end: _s, _ms, _bytes, _kib; else a count)."""

    part: str
    """cell, outage, bulk, start, cost or alerts."""
    cell: str
    repeat: int
    path: str
    """poll_id, poll_updated, cdc, spark_jdbc, copy, cron, database, poll_1s, poll_5s or all."""
    metric: str
    value: float


def measured(part: str, cell: str, repeat: int, path: str, figures: Mapping[str, float | None]) -> list[Measurement]:
    """The figures of one path; None is what could not be measured and is left out."""
    return [
        Measurement(part, cell, repeat, path, name, round(float(value), 6))
        for name, value in figures.items()
        if value is not None
    ]


def write_csv(path: Path, found: Iterable[Measurement]) -> None:
    """All measurements, a line each under a heading."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Measurement)], lineterminator="\n")
        writer.writeheader()
        for each in found:
            row = asdict(each)
            writer.writerow({**row, "value": f"{each.value:.6f}".rstrip("0").rstrip(".")})


def read_csv(path: Path) -> list[Measurement]:
    """What `write_csv` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Measurement(row["part"], row["cell"], int(row["repeat"]), row["path"], row["metric"], float(row["value"]))
            for row in csv.DictReader(file)
        ]
