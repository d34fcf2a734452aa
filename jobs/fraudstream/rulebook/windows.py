"""Windows over a user's earlier rows, for all rows of all users at once.

Rows are sorted by user and, within a user, by their order; a user's rows are a slice of the arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraudstream.rulebook.exact import Integers, prefix_sums
from fraudstream.rulebook.expressions import Window

# A redelivered change is recognised by its id among the user's last rows, at least so many.
REMEMBERED = 64
LATENESS_US = 600_000_000  # 10 minutes: how far behind a user's newest event time a row is still visible


@dataclass(frozen=True)
class Histories:
    """Entered rows by user and order. `starts` and `ends` are the users' slices; `slice_of` gives each row's user."""

    columns: Mapping[str, Integers]
    starts: Integers
    ends: Integers
    slice_of: Integers

    @property
    def cents(self) -> Integers:
        """Amounts."""
        return self.columns["cents"]

    @property
    def times(self) -> Integers:
        """Event times in microseconds."""
        return self.columns["created_at"]


@dataclass(frozen=True)
class Visible:
    """What the judged rows see in one window: rows low to high, or where a user's event times are out of order the
    rows listed in `scattered`, by position among the judged rows."""

    low: Integers
    high: Integers
    scattered: dict[int, Integers]


def visible(window: Window, rows: Histories, judged: Integers) -> Visible:
    """What each of the `judged` rows (positions) sees in the window."""
    start = rows.starts[rows.slice_of[judged]]
    if window.rows:
        return Visible(np.maximum(start, judged - window.rows), judged, {})
    disordered = slices_out_of_order(rows)
    low = np.maximum(start, _first_within(window.span, rows, judged))
    scattered = {
        place: _seen_out_of_order(window.span, rows, int(judged[place]))
        for place in np.flatnonzero(disordered[rows.slice_of[judged]]).tolist()
    }
    return Visible(low, judged, scattered)


def slices_out_of_order(rows: Histories) -> Integers:
    """For each user, whether an event time is before the one it follows."""
    falls = np.zeros(len(rows.times), dtype=bool)
    falls[1:] = rows.times[1:] < rows.times[:-1]
    falls[rows.starts] = False
    disordered = np.zeros(len(rows.starts), dtype=bool)
    disordered[rows.slice_of[falls]] = True
    return disordered


def _first_within(span: int, rows: Histories, judged: Integers) -> Integers:
    """The first row of the judged row's user with an event time > t - span, where the user's times are in order.

    One search over all users: times are shifted so that each user's lie above those of the user before.
    """
    earliest = int(rows.times.min()) if len(rows.times) else 0
    reach = (int(rows.times.max()) if len(rows.times) else 0) - earliest + span + 1
    if reach * (len(rows.starts) + 1) < 2**62:
        shift = rows.slice_of * reach - earliest
        keys = rows.times + shift
        found: Integers = np.searchsorted(_rising(keys, rows), keys[judged] - span, "right")
        return found
    return np.array(
        [
            start + np.searchsorted(rows.times[start:row], rows.times[row] - span, "right")
            for row, start in zip(judged.tolist(), rows.starts[rows.slice_of[judged]].tolist(), strict=True)
        ],
        dtype=np.int64,
    )


def _rising(keys: Integers, rows: Histories) -> Integers:
    """The keys, with those of users out of order flattened: nobody searches them, but they must not break the search
    of the others."""
    disordered = slices_out_of_order(rows)
    if not disordered.any():
        return keys
    flat = np.where(disordered[rows.slice_of], keys[rows.starts][rows.slice_of], keys)
    result: Integers = np.maximum.accumulate(flat)
    return result


def _seen_out_of_order(span: int, rows: Histories, row: int) -> Integers:
    start = int(rows.starts[rows.slice_of[row]])
    earlier, time = rows.times[start:row], int(rows.times[row])
    newest = max(time, int(earlier.max()) if len(earlier) else time)
    lower = max(time - span, newest - span - LATENESS_US)
    return start + np.flatnonzero((earlier > lower) & (earlier <= time))


def counts(seen: Visible) -> Integers:
    """Number of rows seen."""
    result: Integers = seen.high - seen.low
    for place, found in seen.scattered.items():
        result[place] = len(found)
    return result


def sums(seen: Visible, values: Integers) -> Integers:
    """Sum of the values of the rows seen; 0 for none."""
    totals = prefix_sums(values)
    result: Integers = totals[seen.high] - totals[seen.low]
    for place, found in seen.scattered.items():
        result[place] = values[found].sum() if len(found) else 0
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
    reduce: Callable[[Integers], Any] = choose.reduce
    for place, found in seen.scattered.items():
        result[place] = reduce(values[found]) if len(found) else 0
    return result
