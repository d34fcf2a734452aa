"""The cells of the comparison: one axis at a time round a base cell, or, in the full grid, also crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Identity = Literal["full", "default"]
Pace = Literal["quick", "once a second"]
ONE_A_MINUTE = 1 / 60


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one cell writes and who reads it; both paths read the same rows at the same time."""

    name: str
    rate: float = 500.0
    """Changes per second."""
    interval_s: float = 5.0
    """Between two polls."""
    table_rows: int = 100_000
    """Rows of the table before the first change."""
    consumers: int = 1
    """Readers of each path, one process each."""
    identity: Identity = "full"
    """The table's REPLICA IDENTITY."""
    pace: Pace = "quick"
    """Of the connector: docker/connect's, whose Kafka transactions end with every poll, or one that ends them later."""
    seconds: float = 45.0
    repeat: int = 1

    @property
    def key(self) -> str:
        """Name of the cell's files."""
        return f"{self.name.replace(' ', '_')}-{self.repeat}"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A run's cells and outages."""

    name: str
    cells: Sequence[Cell]
    outage_s: Mapping[str, float]
    """How long each of reader, connect and database is away."""
    repeats: int


BASE = Cell(name="base")
# After 20,000 changes the next cell still took twice the CPU of the one after it.
WARM_UP = replace(BASE, name="warm-up", rate=2000.0, interval_s=1.0, table_rows=1000, seconds=40.0)
"""Not measured."""
_AXES = (
    replace(BASE, name="one row a minute", rate=ONE_A_MINUTE),
    replace(BASE, name="rate 20", rate=20.0),
    replace(BASE, name="rate 2000", rate=2000.0),
    replace(BASE, name="interval 1 s", interval_s=1.0),
    replace(BASE, name="interval 30 s", interval_s=30.0),
    replace(BASE, name="table 10k", table_rows=10_000),
    replace(BASE, name="table 1M", table_rows=1_000_000),
    replace(BASE, name="consumers 2", consumers=2),
    replace(BASE, name="consumers 4", consumers=4),
    replace(BASE, name="consumers 8", consumers=8),
    replace(BASE, name="identity default", identity="default"),
    replace(BASE, name="CDC once a second", pace="once a second"),
)


def small() -> Grid:
    """Thirteen cells of 45 s, each once: fits into 20 minutes on two cores."""
    return Grid(
        name="small", cells=(BASE, *_AXES), outage_s={"reader": 60.0, "connect": 15.0, "database": 60.0}, repeats=1
    )


def full(repeats: int = 3) -> Grid:
    """The small grid and the rates crossed with the intervals, cells of 60 s, everything repeated: about two hours."""
    crossed = [
        replace(BASE, name=f"rate {rate:g} interval {interval:g} s", rate=rate, interval_s=interval)
        for rate in (20.0, 2000.0)
        for interval in (1.0, 30.0)
    ]
    cells = [
        replace(cell, seconds=60.0, repeat=repeat)
        for repeat in range(1, repeats + 1)
        for cell in (BASE, *_AXES, *crossed)
    ]
    return Grid(
        name="full", cells=cells, outage_s=dict.fromkeys(("reader", "connect", "database"), 60.0), repeats=repeats
    )


GRIDS = {"small": small, "full": full}
