"""Corrections: updates and deletes applied to the places that transactions have in their users' histories.

A row that has entered has a place for good. A correction changes what stands there or takes it out; the order of the
places, and what was judged of other rows, stay. docs/semantics.md, "Corrections", is what this does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from fraudstream.rulebook.arrivals import Batch, Rows
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.exact import Integers
from fraudstream.rulebook.windows import LATENESS_US, Histories, Places

# The bits of a place's `mark`; above them is the number of corrections applied to it.
JUDGED, EMPTY, STANDS = 1, 2, 4  # its row is or was judged; nothing stands there; its alert stands
_REVISION = 3


class Change(IntEnum):
    """What a row of a batch does to its user's history (the batch's column `change`)."""

    ENTER = 0  # an insert, or a row of a snapshot
    REPLACE = 1  # an update
    BLANK = 2  # an update to a row that cannot be judged
    DELETE = 3
    LEAVE = 4  # an update takes the row to another user or id
    JOIN = 5  # it comes from there
    FOLLOW = 6  # the same, of a message that is counted as LEAVE already
    BLIND = 7  # a change without the image before it, or without an LSN


OUTCOMES = ("corrected", "history", "redelivered", "not_kept", "uncorrected")


@dataclass(frozen=True)
class Applied:
    """Changes of different users that apply: their places in the batch, and the positions where the rows stand."""

    changes: Integers
    positions: Integers


def revision(mark: Integers) -> Integers:
    """How many corrections have been applied to the places."""
    return mark >> _REVISION


def marked(batch: Batch, rule: Rule) -> Batch:
    """The batch with what a place has besides its row. One without `change` has no corrections."""
    change = batch.get("change", np.full(len(batch["id"]), Change.ENTER.value))
    judged = change == Change.ENTER
    if rule.snapshot != "judge":
        judged &= batch["judge"]
    return {**batch, "change": change, "mark": judged * JUDGED, "rewound": np.zeros(len(judged), dtype=np.int64)}


def rounds(batch: Batch, key: str) -> Iterator[Batch]:
    """The batch in parts to be folded one after the other: in each, a user has at most one correction, the last row."""
    order = np.lexsort((batch["change"], batch["offset"], batch[key]))
    is_change = batch["change"][order] != Change.ENTER
    before = np.cumsum(is_change) - is_change
    users = batch[key][order]
    firsts = np.append(True, users[1:] != users[:-1])[: len(users)]
    before -= np.repeat(before[firsts], np.diff(np.append(np.flatnonzero(firsts), len(users))))
    by_round = np.argsort(before, kind="stable")
    borders = np.flatnonzero(np.diff(before[by_round])) + 1
    for part in np.split(order[by_round], borders):
        yield {name: column[part] for name, column in batch.items()}


def sort_out(rows: Rows, changes: Rows, batch: Batch, rule: Rule) -> tuple[Applied, Integers, dict[str, int]]:
    """Of the `changes`, a row each: those that apply to `rows`, the places in the batch of those that join as rows of
    their own, and how many became what (OUTCOMES)."""
    counts = dict.fromkeys(OUTCOMES, 0)
    applied, joining = [], []
    for user, place in zip(changes.user_of.tolist(), changes.place.tolist(), strict=True):
        change = Change(int(batch["change"][place]))
        position = None if change == Change.BLIND else _position(rows, user, int(batch["id"][place]), rule)
        if change == Change.BLIND:
            outcome = "uncorrected"
        elif position is None:
            outcome = "history" if change in (Change.JOIN, Change.FOLLOW) else "not_kept"
            joining += [place] if outcome == "history" else []
        elif batch["lsn"][place] <= rows.columns["lsn"][position]:
            outcome = "redelivered"
        else:
            outcome = "corrected"
            applied.append((place, position))
        counts[outcome] += change != Change.FOLLOW
    pairs = np.array(applied, dtype=np.int64).reshape(-1, 2)
    return Applied(pairs[:, 0], pairs[:, 1]), np.array(joining, dtype=np.int64), counts


def _position(rows: Rows, user: int, number: int, rule: Rule) -> int | None:
    """Where the transaction stands among the user's rows, if it is one of the kept."""
    end = int(rows.ends[user])
    start = end - int(rows.lengths[user])
    found = np.flatnonzero(rows.columns["id"][start:end] == number)
    if not len(found):
        return None
    position = start + int(found[-1])
    if position >= end - rule.remembered:
        return position
    if not rule.span:
        return None
    newest = int(rows.reach[start:end].max())
    return position if rows.reach[position] > newest - rule.span - LATENESS_US else None


def apply(rows: Rows, applied: Applied, batch: Batch) -> None:
    """Change the columns of the rows where the changes stand. Marks count the revision; STANDS is left as it was."""
    columns, at = rows.columns, applied.positions
    fills = np.isin(batch["change"][applied.changes], (Change.REPLACE, Change.JOIN, Change.FOLLOW))
    to, new = at[fills], applied.changes[fills]
    if "rewound" in columns:
        columns["rewound"][to] = np.maximum(rows.reach[to] - batch["created_at"][new], 0)
    for name in columns.keys() - {"mark", "rewound", "lsn"}:
        columns[name][to] = batch[name][new]
    columns["lsn"][at] = batch["lsn"][applied.changes]
    columns["mark"][at] = (columns["mark"][at] & ~EMPTY | np.where(fills, 0, EMPTY)) + (1 << _REVISION)


def joined(rows: Rows, joining: Integers, batch: Batch, key: str) -> Rows:
    """The rows with those of the batch at these places behind the last of their users."""
    if not len(joining):
        return rows
    users = np.searchsorted(rows.users, batch[key][joining])
    at = rows.ends[users]
    lengths = rows.lengths.copy()
    lengths[users] += 1
    columns = {name: np.insert(column, at, batch[name][joining]) for name, column in rows.columns.items()}
    judge = np.insert(rows.judge, at, False)
    return replace(rows, lengths=lengths, place=np.insert(rows.place, at, joining), judge=judge, columns=columns)


def histories(rows: Rows) -> tuple[Histories, Integers]:
    """The rows that stand, and for each position of `rows` its own there."""
    places = np.arange(len(rows.place))
    some = rows.lengths > 0
    lengths = rows.lengths[some]
    whole = Histories(rows.columns, np.cumsum(lengths) - lengths, np.repeat(np.arange(len(lengths)), lengths))
    stands = rows.columns["mark"] & EMPTY == 0
    disturbed = ~stands
    if "rewound" in rows.columns:
        disturbed |= rows.columns["rewound"] > 0
    if not disturbed.any():
        return whole, places
    reached = Histories({"created_at": rows.reach}, whole.starts, whole.slice_of).newest if _has_times(rows) else places
    columns = {name: column[stands] for name, column in rows.columns.items()}
    _, starts, users = np.unique(whole.slice_of[stands], return_index=True, return_inverse=True)
    standing = Places(places[stands], reached[stands])
    return Histories(columns, starts, users, standing), np.cumsum(stands) - 1


def _has_times(rows: Rows) -> bool:
    return "rewound" in rows.columns


def still_kept(rows: Rows, rule: Rule) -> Integers:
    """The rows that a later row may see, or be recognised by, and those that one of these has seen: it may be judged
    again. Every user has a row."""
    number = np.arange(len(rows.place))
    kept = number >= np.repeat(rows.ends - rule.remembered, rows.lengths)
    if not len(number):
        return kept
    newest, reach = number, number
    if rule.span:
        reach = rows.reach
        newest = Histories({"created_at": reach}, rows.ends - rows.lengths, rows.user_of).newest
        kept |= reach > np.repeat(newest[rows.ends - 1] - rule.span - LATENESS_US, rows.lengths)
    # The next of the kept rows at or behind each; the user's last one is kept.
    following = np.minimum.accumulate(np.where(kept, number, len(number))[::-1])[::-1]
    seen = following - number <= max((window.rows for window in rule.windows), default=0)
    if rule.span:
        seen |= reach > newest[following] - rule.span - LATENESS_US
    result: Integers = kept | seen
    return result
