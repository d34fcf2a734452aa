"""Windows over a user's earlier rows, for all rows of all users at once.

Rows are sorted by user and, within a user, by their order; a user's rows are a slice of the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fraudstream.rulebook.disorder import running_sums
from fraudstream.rulebook.exact import Integers, prefix_sums
from fraudstream.rulebook.expressions import Window

# A redelivered change is recognised by its id among the user's last rows, at least so many.
REMEMBERED = 64
LATENESS_US = 600_000_000  # 10 minutes: how far behind a user's newest event time a row is still visible


@dataclass(frozen=True)
class Histories:
    """Entered rows by user and order. `starts` are those of the users' slices; `slice_of` gives each row's user."""

    columns: Mapping[str, Integers]
    starts: Integers
    slice_of: Integers

    @property
    def cents(self) -> Integers:
        """Amounts."""
        return self.columns["cents"]

    @property
    def times(self) -> Integers:
        """Event times in microseconds."""
        return self.columns["created_at"]

    @cached_property
    def falls(self) -> Integers:
        """Whether a row's event time is before that of the user's row in front of it."""
        falls = np.zeros(len(self.times), dtype=bool)
        falls[1:] = self.times[1:] < self.times[:-1]
        falls[self.starts] = False
        return falls

    @cached_property
    def newest(self) -> Integers:
        """The user's greatest event time up to and including each row."""
        newest = self.times
        if self.falls.any():
            newest = newest.copy()
            ends = np.append(self.starts[1:], len(newest))
            for user in np.unique(self.slice_of[self.falls]).tolist():
                part = newest[self.starts[user] : ends[user]]
                np.maximum.accumulate(part, out=part)
        return newest


@dataclass(frozen=True)
class Visible:
    """What the judged rows see in one window: rows low to high. The `scattered` ones (places among the judged), whose
    user's event times are out of order there, see of these only those with an event time in (after, own time]."""

    rows: Histories
    judged: Integers
    low: Integers
    scattered: Integers
    after: Integers

    @property
    def high(self) -> Integers:
        """Behind the last row in front of each judged one."""
        return self.judged


def visible(window: Window, rows: Histories, judged: Integers) -> Visible:
    """What each of the `judged` rows (positions) sees in the window."""
    start = rows.starts[rows.slice_of[judged]]
    if window.rows:
        nowhere = np.zeros(0, dtype=np.int64)
        return Visible(rows, judged, np.maximum(start, judged - window.rows), nowhere, nowhere)
    time, newest = rows.times[judged], rows.newest[judged]
    after = np.maximum(time - window.span, newest - window.span - LATENESS_US)
    # No row in front of `low` is later than `after`. Where times do not fall from there on, all behind it are, and
    # none is later than the judged row.
    low = _first_over(after, rows.newest, start, judged)
    falls = np.cumsum(rows.falls)
    scattered = np.flatnonzero(falls[judged] > falls[np.minimum(low, judged)])
    return Visible(rows, judged, low, scattered, after[scattered])


def _first_over(bound: Integers, keys: Integers, start: Integers, end: Integers) -> Integers:
    """The first position from `start` whose key is over the bound, else `end`; the keys rise from start to end.

    A binary search for all rows at once.
    """
    low, high = start, end
    while (is_open := low < high).any():
        middle = (low + high) >> 1
        is_over = keys[middle] > bound
        low, high = np.where(is_open & ~is_over, middle + 1, low), np.where(is_open & is_over, middle, high)
    return low


def counts(seen: Visible) -> Integers:
    """Number of rows seen."""
    result: Integers = seen.high - seen.low
    for places, found in _scattered_sums(seen, np.ones(len(seen.rows.slice_of), dtype=np.int64)):
        result[places] = found
    return result


def sums(seen: Visible, values: Integers) -> Integers:
    """Sum of the values of the rows seen; 0 for none."""
    totals = prefix_sums(values)
    result: Integers = totals[seen.high] - totals[seen.low]
    for places, found in _scattered_sums(seen, values):
        result[places] = found
    return result


def extremes(seen: Visible, values: Integers, greatest: bool) -> Integers:
    """Greatest or smallest value of the rows seen; 0 where none is seen (counts says so)."""
    choose: Any = np.maximum if greatest else np.minimum
    result = np.zeros(len(seen.low), dtype=values.dtype)
    some = np.flatnonzero(seen.high > seen.low)
    if len(some):
        # reduceat takes pairs low, high of which every first result is the wanted one; high may be one past the end.
        bounds = np.stack([seen.low[some], seen.high[some]], axis=1).ravel()
        result[some] = choose.reduceat(np.append(values, values[-1:]), bounds)[::2]
    for place, after in zip(seen.scattered.tolist(), seen.after.tolist(), strict=True):
        part = slice(int(seen.low[place]), int(seen.high[place]))
        times = seen.rows.times[part]
        found = values[part][(times > after) & (times <= seen.rows.times[part.stop])]
        result[place] = choose.reduce(found) if len(found) else 0
    return result


def _scattered_sums(seen: Visible, values: Integers) -> Iterator[tuple[Integers, list[int]]]:
    """Places and sums of the scattered rows, user by user."""
    users = seen.rows.slice_of[seen.judged[seen.scattered]]
    for part in np.split(np.arange(len(users)), np.flatnonzero(users[1:] != users[:-1]) + 1) if len(users) else []:
        places = seen.scattered[part]
        asked = seen.judged[places]
        first, end = int(seen.low[places].min()), int(asked[-1]) + 1
        yield places, running_sums(seen.rows.times[first:end], values[first:end], asked - first, seen.after[part])
