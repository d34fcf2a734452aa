"""Which new rows do not enter: those redelivered, and those of a snapshot that the stream has overtaken."""

from __future__ import annotations

import numpy as np

from fraudstream.rulebook.arrivals import Rows
from fraudstream.rulebook.exact import Integers
from fraudstream.rulebook.windows import LATENESS_US


def redelivered(rows: Rows, *, remembered: int, span: int) -> Integers:
    """New rows whose id is among the user's kept rows (the last `remembered`, and with a `span` those within it and the
    lateness) when they arrive."""
    result = np.zeros(len(rows.place), dtype=bool)
    ends = rows.ends
    for user in _users_with_repeated_ids(rows).tolist():
        part = slice(int(ends[user] - rows.lengths[user]), int(ends[user]))
        times = rows.reach[part] if span else result[part]
        columns = (rows.place[part], rows.columns["id"][part], times, rows.judge[part])
        each = zip(*(column.tolist() for column in columns), strict=True)
        result[part] = _redelivered_of_user(list(each), bool(rows.streamed[user]), remembered, span)
    return result


def superseded(rows: Rows) -> Integers:
    """New rows of a snapshot whose user already has a `judge` message: the stream has brought what they bring."""
    history = (rows.place >= 0) & ~rows.judge
    if not history.any():
        return history
    before = np.append(0, np.cumsum(rows.judge))
    in_batch = before[:-1] > np.repeat(before[rows.ends - rows.lengths], rows.lengths)
    result: Integers = history & (rows.streamed[rows.user_of] | in_batch)
    return result


def _users_with_repeated_ids(rows: Rows) -> Integers:
    """Users with a new row whose id stands at an earlier row too."""
    ids, user_of = rows.columns["id"], rows.user_of
    # Ids mostly rise within a user, and then none is repeated.
    falls = np.flatnonzero((ids[1:] <= ids[:-1]) & (user_of[1:] == user_of[:-1])) + 1
    suspects = np.zeros(len(rows.users), dtype=bool)
    suspects[user_of[falls]] = True
    part = np.flatnonzero(suspects[user_of])
    part = part[np.lexsort((ids[part], user_of[part]))]
    is_same = (ids[part][1:] == ids[part][:-1]) & (user_of[part][1:] == user_of[part][:-1])
    return np.unique(user_of[part[1:][is_same & (rows.place[part[1:]] >= 0)]])


def _redelivered_of_user(
    rows: list[tuple[int, int, int, bool]], has_streamed: bool, remembered: int, span: int
) -> list[bool]:
    """The same for the rows (place, id, time, judge) of one user, one after the other: what is kept depends on what has
    entered before."""
    entered_at: dict[int, tuple[int, int]] = {}  # id -> number of rows that had entered with it, event time
    entered, newest = 0, -(2**63)
    result = []
    for place, number, time, judge in rows:
        nth, then = entered_at.get(number, (0, 0))
        is_kept = nth > max(0, entered - remembered) or (nth > 0 and span > 0 and then > newest - span - LATENESS_US)
        result.append(place >= 0 and is_kept)
        if place >= 0 and (is_kept or (not judge and has_streamed)):
            continue
        entered += 1
        entered_at[number] = (entered, time)
        newest, has_streamed = max(newest, time), has_streamed or judge
    return result
