"""Moments and durations as people write them, in microseconds since 1970 (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fraudstream import alerts
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.expressions import micros

DAY_US = 86_400_000_000
LONGEST_DAYS = 3650
_YEARS = range(1970, 9000)  # a datetime ends with 9999, and a duration may come on top
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str, option: str) -> int:
    """A time in ISO 8601, UTC unless it says otherwise. Raises FraudstreamError naming the option."""
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise FraudstreamError(f"{option} is {text!r}; write a time like 2026-03-01T12:00:00Z.") from None
    if found.year not in _YEARS:
        raise FraudstreamError(f"{option} is {text!r}; its year must be from {_YEARS[0]} to {_YEARS[-1]}.")
    return to_micros(found)


def duration(text: str, option: str) -> int:
    """A duration like 24h or 7d, longer than nothing. Raises FraudstreamError naming the option."""
    try:
        found = micros(text)
    except ValueError as error:
        raise FraudstreamError(f"{option}: {error}.") from None
    if not 0 < found <= LONGEST_DAYS * DAY_US:
        raise FraudstreamError(f"{option} is {text!r}; it must be longer than nothing and at most {LONGEST_DAYS}d.")
    return found


def to_micros(time: datetime) -> int:
    """A time with its zone, in microseconds."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def now() -> int:
    """The wall clock, in microseconds: for what a person decides now."""
    return to_micros(alerts.now())


def to_time(micros_: int) -> datetime:
    """The inverse of to_micros, in UTC."""
    return _EPOCH + timedelta(microseconds=micros_)


def shown(micros_: int) -> str:
    """ "2026-03-01 12:00:00" in UTC, cut to whole seconds."""
    return f"{to_time(micros_):%Y-%m-%d %H:%M:%S}"
