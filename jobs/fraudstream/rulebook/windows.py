"""Windows over a user's earlier rows, for all rows of all users at once.

Rows are sorted by user and, within a user, by their order; a user's rows are a slice of the arrays. For a rule with
another key than user_id, "user" is that key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fraudstream.rulebook.disorder import running_sums
from fraudstream.rulebook.earlier import Window
from fraudstream.rulebook.exact import NULL, Integers, prefix_sums
from fraudstream.rulebook.ranks import at_least

# A redelivered change is recognised by its id among the user's last rows, at least so many.
REMEMBERED = 64
LATENESS_US = 600_000_000  # 10 minutes: how far behind a user's newest event time a row is still visible


@dataclass(frozen=True)
class Places:
    """Of rows with places between them that corrections have left empty: the number of each one's place, and the user's
    greatest event time up to there, which a correction may have taken away since."""

    numbers: Integers
    newest: Integers


@dataclass(frozen=True)
class Histories:
    """Entered rows by user and order. `starts` are those of the users' slices; `slice_of` gives each row's user;
    `places`: where they stand if not one behind the other."""

    columns: Mapping[str, Integers]
    starts: Integers
    slice_of: Integers
    places: Places | None = None

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
        return self._running(np.maximum, 1) if self.places is None else self.places.newest

    @cached_property
    def oldest_ahead(self) -> Integers:
        """The user's smallest event time from each row on."""
        return self._running(np.minimum, -1)

    def _running(self, choose: np.ufunc, step: int) -> Integers:
        """The extreme of the user's event times so far, going forwards (step 1) or backwards (-1)."""
        if not self.falls.any():
            return self.times
        found = self.times.copy()
        ends = np.append(self.starts[1:], len(found))
        for user in np.unique(self.slice_of[self.falls]).tolist():
            part = found[self.starts[user] : ends[user]][::step]
            choose.accumulate(part, out=part)
        return found


@dataclass(frozen=True)
class Visible:
    """What the judged rows see in one window: rows low to high, of these the `wanted` ones. The `scattered` ones
    (places among the judged, ascending by row), whose user's event times are out of order there, see of these only
    those with an event time in (after, own time]."""

    rows: Histories
    judged: Integers
    low: Integers
    scattered: Integers
    after: Integers
    wanted: Integers | None = None  # bool, per row; None: all

    @property
    def high(self) -> Integers:
        """Behind the last row in front of each judged one."""
        return self.judged

    def where(self, wanted: Integers) -> Visible:
        """Of what is seen, the rows of the mask."""
        return replace(self, wanted=wanted if self.wanted is None else self.wanted & wanted)

    def looks(self) -> Iterator[tuple[int, Integers]]:
        """The scattered places, each with the positions of the rows seen there."""
        for place, after in zip(self.scattered.tolist(), self.after.tolist(), strict=True):
            part = np.arange(int(self.low[place]), int(self.high[place]))
            times = self.rows.times[part]
            is_seen = (times > after) & (times <= self.rows.times[self.judged[place]])
            if self.wanted is not None:
                is_seen &= self.wanted[part]
            yield place, part[is_seen]


def visible(window: Window, rows: Histories, judged: Integers) -> Visible:
    """What each of the `judged` rows (positions) sees in the window."""
    start = rows.starts[rows.slice_of[judged]]
    if window.rows:
        nowhere = np.zeros(0, dtype=np.int64)
        return Visible(rows, judged, _among_last(window.rows, rows, start, judged), nowhere, nowhere)
    time, newest = rows.times[judged], rows.newest[judged]
    after = np.maximum(time - window.span, newest - window.span - LATENESS_US)
    # No row in front of `low` is later than `after`. Behind it one may be as early, and one later than the judged row.
    low = _first_over(after, rows.newest, start, judged)
    scattered = np.flatnonzero((low < judged) & ((newest > time) | (rows.oldest_ahead[low] <= after)))
    return Visible(rows, judged, low, scattered, after[scattered])


def _among_last(number: int, rows: Histories, start: Integers, judged: Integers) -> Integers:
    """The first row on the `number` places in front of each judged one."""
    if rows.places is None:
        first: Integers = np.maximum(start, judged - number)
        return first
    places = rows.places.numbers
    return _first_over(places[judged] - number - 1, places, start, judged)


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


def alike(seen: Visible, columns: tuple[str, ...]) -> Visible:
    """Of what is seen, the rows that have the judged row's values in the columns: the same windows over histories of
    their own, one for each user and value. NULL is like nothing."""
    rows = seen.rows
    keys = [rows.slice_of, *(rows.columns[name] for name in columns)]
    order = np.lexsort(keys[::-1])
    is_first = np.zeros(len(order), dtype=bool)
    is_first[:1] = True
    for key in keys:
        is_first[1:] |= key[order[1:]] != key[order[:-1]]
    groups = np.cumsum(is_first) - 1
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    apart = Histories({name: values[order] for name, values in rows.columns.items()}, np.flatnonzero(is_first), groups)
    judged = place[seen.judged]
    low = np.searchsorted(groups * len(order) + order, groups[judged] * len(order) + seen.low)
    is_null = np.zeros(len(judged), dtype=bool)
    for name in columns:
        is_null |= rows.columns[name][seen.judged] == NULL
    by_row = np.argsort(judged[seen.scattered])
    by_row = by_row[~is_null[seen.scattered[by_row]]]
    return Visible(apart, judged, np.where(is_null, judged, low), seen.scattered[by_row], seen.after[by_row])


def counts(seen: Visible) -> Integers:
    """Number of rows seen."""
    if seen.wanted is not None:
        return sums(seen, np.ones(len(seen.rows.slice_of), dtype=np.int64))
    result: Integers = seen.high - seen.low
    for places, found in _scattered_sums(seen, np.ones(len(seen.rows.slice_of), dtype=np.int64)):
        result[places] = found
    return result


def sums(seen: Visible, values: Integers) -> Integers:
    """Sum of the values of the rows seen; 0 for none."""
    if seen.wanted is not None:
        values = np.where(seen.wanted, values, 0)
    totals = prefix_sums(values)
    result: Integers = totals[seen.high] - totals[seen.low]
    for places, found in _scattered_sums(seen, values):
        result[places] = found
    return result


def extremes(seen: Visible, values: Integers, greatest: bool) -> Integers:
    """Greatest or smallest value of the rows seen; any number where none is seen (counts says so)."""
    choose: Any = np.maximum if greatest else np.minimum
    result = np.zeros(len(seen.low), dtype=values.dtype)
    some = np.flatnonzero(seen.high > seen.low)
    if len(some):
        eligible = values if seen.wanted is None else np.where(seen.wanted, values, _outdone(greatest))
        # reduceat takes pairs low, high of which every first result is the wanted one; high may be one past the end.
        bounds = np.stack([seen.low[some], seen.high[some]], axis=1).ravel()
        result[some] = choose.reduceat(np.append(eligible, eligible[-1:]), bounds)[::2]
    for place, positions in seen.looks():
        result[place] = choose.reduce(values[positions]) if len(positions) else 0
    return result


def _outdone(greatest: bool) -> int:
    """A number that any amount or time outdoes."""
    return -(2**62) if greatest else 2**62


def nth(seen: Visible, back: int, values: Integers) -> tuple[Integers, Integers]:
    """The value of the `back`-th last of the rows seen, and whether there is one."""
    among = np.arange(len(values)) if seen.wanted is None else np.flatnonzero(seen.wanted)
    place = np.searchsorted(among, seen.high) - back
    exists = place >= np.searchsorted(among, seen.low)
    position = among[np.where(exists, place, 0)] if len(among) else np.zeros(len(place), dtype=np.int64)
    for each, positions in seen.looks():
        exists[each] = len(positions) >= back
        position[each] = positions[-back] if exists[each] else 0
    return values[position], exists


def distinct(seen: Visible, values: Integers) -> Integers:
    """Number of different values of the rows seen, without NULL."""
    wanted = values != NULL if seen.wanted is None else (values != NULL) & seen.wanted
    seen = replace(seen, wanted=wanted)
    # A row counts unless its value's last row in front of it is seen too.
    again = at_least(_last_alike(seen.rows, wanted, values), _starts(seen), seen.judged, seen.low - _starts(seen) + 1)
    result: Integers = counts(replace(seen, scattered=seen.scattered[:0], after=seen.after[:0])) - again
    for place, positions in seen.looks():
        result[place] = len(np.unique(values[positions]))
    return result


def not_over(seen: Visible, values: Integers, bounds: Integers) -> Integers:
    """Number of rows seen whose value is at most the judged row's bound. Values of 2^62 are over every bound."""
    is_any = values < 2**62
    among = np.flatnonzero(is_any if seen.wanted is None else is_any & seen.wanted)
    ranks = np.unique(values[among])
    first, end = np.searchsorted(among, seen.low), np.searchsorted(among, seen.high)
    over = np.searchsorted(ranks, bounds, "right")  # the lowest rank that is over the bound
    result: Integers = end - first - at_least(np.searchsorted(ranks, values[among]), first, end, over)
    for place, positions in seen.looks():
        result[place] = np.count_nonzero(values[positions] <= bounds[place])
    return result


def _starts(seen: Visible) -> Integers:
    """Where the user of each judged row begins."""
    return seen.rows.starts[seen.rows.slice_of[seen.judged]]


def _last_alike(rows: Histories, wanted: Integers, values: Integers) -> Integers:
    """For each wanted row, the last wanted one of the user in front of it with the same value, as its number (from 1)
    among the user's rows; 0 for none."""
    users = rows.slice_of
    among = np.flatnonzero(wanted)
    among = among[np.lexsort((values[among], users[among]))]
    before, here = among[:-1], among[1:]
    is_again = (users[before] == users[here]) & (values[before] == values[here])
    result = np.zeros(len(values), dtype=np.int64)
    result[here[is_again]] = (before - rows.starts[users[before]] + 1)[is_again]
    return result


def _scattered_sums(seen: Visible, values: Integers) -> Iterator[tuple[Integers, list[int]]]:
    """Places and sums of the scattered rows, user by user."""
    users = seen.rows.slice_of[seen.judged[seen.scattered]]
    for part in np.split(np.arange(len(users)), np.flatnonzero(users[1:] != users[:-1]) + 1) if len(users) else []:
        places = seen.scattered[part]
        asked = seen.judged[places]
        first, end = int(seen.low[places].min()), int(asked[-1]) + 1
        yield places, running_sums(seen.rows.times[first:end], values[first:end], asked - first, seen.after[part])
