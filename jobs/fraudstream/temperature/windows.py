"""The windows over which temperatures are averaged: aligned to 1970-01-01 00:00:00 UTC, whoever asks and whenever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from fraudstream.errors import FraudstreamError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
_MOST_OVERLAPPING = 1000


class Window(NamedTuple):
    """Instants in UTC with start <= t < end."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of `length` s that end at every multiple of `interval` s. Raises FraudstreamError if senseless."""

    length: int = 600
    interval: int = 600

    def __post_init__(self) -> None:
        for option, value, most in (("--window", self.length, 366 * _DAY_S), ("--interval", self.interval, _DAY_S)):
            if not 1 <= value <= most:
                raise FraudstreamError(f"{option} is {value} s; it must lie between 1 and {most} s.")
        if self.length > _MOST_OVERLAPPING * self.interval:
            raise FraudstreamError(
                f"--window is {self.length} s and --interval {self.interval} s, so each reading lies in over "
                f"{_MOST_OVERLAPPING} windows; make the interval longer."
            )

    def closed(self, now: datetime, count: int = 1) -> list[Window]:
        """The last `count` windows that have ended at `now`, the oldest first."""
        last = (now - _EPOCH) // timedelta(seconds=self.interval)
        return [self.ending(last - back) for back in range(count - 1, -1, -1)]

    def ending(self, multiple: int) -> Window:
        """The window that ends at that multiple of the interval."""
        end = _EPOCH + multiple * timedelta(seconds=self.interval)
        return Window(end - timedelta(seconds=self.length), end)

    def next_end(self, now: datetime) -> datetime:
        """When the window that is open at `now` ends."""
        return self.closed(now)[0].end + timedelta(seconds=self.interval)


def spoken(seconds: int) -> str:
    """600 -> "10 minutes", 3600 -> "1 hour", 90 -> "90 seconds"."""
    units = ((3600, "hour"), (60, "minute"), (1, "second"))
    number, name = next((seconds // size, name) for size, name in units if seconds % size == 0)
    return f"{number} {name}{'' if number == 1 else 's'}"


def micros(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant(text: str) -> datetime:
    """An ISO 8601 time, UTC if it names no zone. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def literals(instants: Sequence[datetime]) -> str:
    """The instants as SQL texts that compare with timestamps, in Spark and in deltalake."""
    return ", ".join(f"'{each:%Y-%m-%dT%H:%M:%S}Z'" for each in instants)
