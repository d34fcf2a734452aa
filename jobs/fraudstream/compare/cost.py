"""A cost model with as few terms as the paths have, its terms read off two cells, and where the paths cost the same.

CPU seconds per second at r changes/s, an interval of i seconds and n readers:
    polling: n * (per_poll / i + per_row * r * (1 + overlap / i)), the overlap being what each poll reads again
    CDC:     fixed + shared_per_change * r + n * (fixed_reader + per_read * r)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Polling:
    """CPU seconds of a poll that finds nothing, and of each change it brings; seconds that it reads again."""

    per_poll: float
    per_row: float
    overlap_s: float = 0.0

    def per_second(self, rate: float, interval_s: float, readers: int) -> float:
        """CPU seconds per second."""
        again = 1 + self.overlap_s / interval_s
        return readers * (self.per_poll / interval_s + self.per_row * rate * again)


@dataclass(frozen=True, kw_only=True)
class Cdc:
    """CPU seconds per second with nothing to do, and of each change: once for all readers, and once for each."""

    fixed: float
    shared_per_change: float
    fixed_reader: float
    per_read: float

    def per_second(self, rate: float, readers: int) -> float:
        """CPU seconds per second."""
        return self.fixed + self.shared_per_change * rate + readers * (self.fixed_reader + self.per_read * rate)


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a cell used: CPU seconds `shared` by all readers and of the `readers` in all, in a window."""

    window_s: float
    changes: float
    shared: float
    readers: float
    count: int
    interval_s: float = 1.0
    polls: float = 0.0


def polling_of(idle: Used, busy: Used, overlap_s: float = 0.0) -> Polling:
    """The terms of polling from a cell with (almost) nothing to read and one with much. Changes cost nothing rather
    than less than nothing where noise would say so."""
    per_poll = idle.readers / max(1.0, idle.polls)
    read = busy.changes * busy.count * (1 + overlap_s / busy.interval_s)
    per_row = (busy.readers - per_poll * busy.polls) / read
    return Polling(per_poll=per_poll, per_row=max(0.0, per_row), overlap_s=overlap_s)


def cdc_of(idle: Used, busy: Used) -> Cdc:
    """The terms of CDC from a cell with (almost) nothing to read and one with much."""
    fixed, fixed_reader = idle.shared / idle.window_s, idle.readers / idle.window_s / idle.count
    shared = (busy.shared - fixed * busy.window_s) / busy.changes
    per_read = (busy.readers / busy.count - fixed_reader * busy.window_s) / busy.changes
    return Cdc(fixed=fixed, shared_per_change=max(0.0, shared), fixed_reader=fixed_reader, per_read=max(0.0, per_read))


def break_even_interval(polling: Polling, cdc: Cdc, rate: float, readers: int) -> float | None:
    """The poll interval below which polling costs more than CDC; None where polling costs more at any interval."""
    left = cdc.per_second(rate, readers) - readers * polling.per_row * rate
    return readers * (polling.per_poll + polling.per_row * rate * polling.overlap_s) / left if left > 0 else None


def break_even_readers(polling: Polling, cdc: Cdc, rate: float, interval_s: float) -> float | None:
    """The number of readers from which on CDC costs less; None where it never does."""
    each = polling.per_second(rate, interval_s, 1) - cdc.fixed_reader - cdc.per_read * rate
    return (cdc.fixed + cdc.shared_per_change * rate) / each if each > 0 else None


def used_by(figures: Mapping[str, float], common: Mapping[str, float], database_only: bool) -> Used:
    """What one path used in a cell, from its measurements; a CDC path's reading costs the database nothing."""
    is_cdc = "connect_cpu_s" in figures
    database = figures["database_cpu_s"]
    shared = database if is_cdc else 0.0
    if is_cdc and not database_only:
        shared += figures["broker_cpu_s"] + figures["connect_cpu_s"]
    readers = 0.0 if is_cdc else database
    if not database_only:
        readers += figures["readers_cpu_s"]
    return Used(
        window_s=common["window_s"], changes=common["changes"], shared=shared, readers=readers,
        count=int(common["consumers"]), interval_s=common["interval_s"], polls=figures.get("polls", 0.0),
    )  # fmt: skip
