"""Folding a micro-batch of rows into the kept rows of its users: the state logic of every rule.

The result depends on the order of each user's rows alone, never on how they were cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.evaluation import Judged, holds
from fraudstream.rulebook.exact import Integers
from fraudstream.rulebook.kept import Kept, nothing_kept, pack, unpack
from fraudstream.rulebook.payload import alert_payloads
from fraudstream.rulebook.windows import LATENESS_US, histories

Batch = Mapping[str, Integers]
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Fold:
    """A batch's outcome: the new state, payloads of the alerts, and what became of each row (the counts add up to the
    batch)."""

    state: bytes
    alerts: list[dict[str, Any]]
    judged: int
    history: int
    redelivered: int
    superseded: int


@dataclass(frozen=True)
class _Rows:
    """Kept and new rows of the batch's users, sorted by user, then order. `place` is a new row's in the batch, -1 for a
    kept one; `judge` is whether the row entered (or would) as a judged one."""

    kept: Kept
    place: Integers

    def take(self, rows: Integers) -> _Rows:
        return _Rows(self.kept.take(rows), self.place[rows])


def fold(rule: Rule, state: bytes | None, batch: Batch, topic: str) -> Fold:
    """Fold `batch` onto `state` (None: nothing kept yet).

    Columns of the batch, as long as each other and in any order: `judge` (bool; False: joins the history only); int64
    `partition`, `offset`, `id`, `user_id`, `cents`, `created_at` (microseconds), `merchant_id`, `lsn`, `tx_id`,
    `committed_ms`, `captured_ms`, of which the last five may be NULL (payload.NULL); `card_type` (object, None for
    null). All changes of a user are in one partition.
    """
    before = nothing_kept() if state is None else unpack(state, cents=rule.keeps_cents, times=rule.keeps_times)
    touched = np.isin(before.user, batch[rule.key])
    rows = _merged(before.take(touched), _new_rows(batch, rule.key))
    redelivered = _redelivered(rows, rule)
    rows = rows.take(~redelivered)
    superseded = _superseded(rows)
    rows = rows.take(~superseded)
    positions = np.flatnonzero((rows.place >= 0) & rows.kept.streamed)
    alerts = _alerts(rule, rows, positions, batch, topic)
    entered = int((rows.place >= 0).sum())
    after = _sorted(before.take(~touched).followed_by(rows.kept.take(_still_kept(rows.kept, rule))))
    return Fold(
        state=pack(after, cents=rule.keeps_cents, times=rule.keeps_times),
        alerts=alerts,
        judged=len(positions),
        history=entered - len(positions),
        redelivered=int(redelivered.sum()),
        superseded=int(superseded.sum()),
    )


def _new_rows(batch: Batch, key: str) -> _Rows:
    order = np.lexsort((batch["offset"], batch[key]))
    rows = Kept(batch[key], batch["id"], batch["judge"].astype(bool), batch["cents"], batch["created_at"])
    return _Rows(rows.take(order), order)


def _merged(kept: Kept, new: _Rows) -> _Rows:
    """By user, the kept rows before the new ones."""
    both = kept.followed_by(new.kept)
    place = np.concatenate([np.full(len(kept), -1, dtype=np.int64), new.place])
    return _Rows(both, place).take(np.argsort(both.user, kind="stable"))


def _sorted(kept: Kept) -> Kept:
    return kept.take(np.argsort(kept.user, kind="stable"))


def _superseded(rows: _Rows) -> Integers:
    """New history rows of users who already have a judged one: the snapshot brings what the stream has brought."""
    history = (rows.place >= 0) & ~rows.kept.streamed
    if not history.any():
        return history
    slices = histories(rows.kept.user, rows.kept.cents, rows.kept.times)
    streamed_before = np.cumsum(rows.kept.streamed) - rows.kept.streamed
    in_slices_before = streamed_before[slices.starts][slices.slice_of]
    result: Integers = history & (streamed_before > in_slices_before)
    return result


def _redelivered(rows: _Rows, rule: Rule) -> Integers:
    """New rows whose id is among the user's kept rows when they arrive."""
    result = np.zeros(len(rows.place), dtype=bool)
    new = rows.place >= 0
    fresh, known = rows.kept.id[new], rows.kept.id[~new]
    # Ids rise: a batch of new transactions is above all kept ones and needs no closer look.
    if len(np.unique(fresh)) == len(fresh) and fresh.min(initial=_LAST) > known.max(initial=-_LAST):
        return result
    ids, times_seen = np.unique(rows.kept.id, return_counts=True)
    repeated = np.isin(rows.kept.id, ids[times_seen > 1])
    slices = histories(rows.kept.user, rows.kept.cents, rows.kept.times)
    for user in np.unique(slices.slice_of[repeated & new]).tolist():
        start, end = int(slices.starts[user]), int(slices.ends[user])
        result[start:end] = _redelivered_of_user(rows.take(np.arange(start, end)), rule)
    return result


def _redelivered_of_user(rows: _Rows, rule: Rule) -> Integers:
    """The same for the rows of one user, one after the other: what is kept depends on what has entered before."""
    entered_at: dict[int, tuple[int, int]] = {}  # id -> number of rows that had entered with it, event time
    entered, newest, has_streamed = 0, -(2**63), False
    result = np.zeros(len(rows.place), dtype=bool)
    columns = (rows.kept.id, rows.kept.times, rows.kept.streamed, rows.place)
    for row, (number, time, streamed, place) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        if place >= 0 and number in entered_at:
            nth, then = entered_at[number]
            if nth > entered - rule.remembered or (rule.span and then > newest - rule.span - LATENESS_US):
                result[row] = True
                continue
        if place >= 0 and not streamed and has_streamed:
            continue  # superseded: it does not enter
        entered += 1
        entered_at[number] = (entered, time)
        newest, has_streamed = max(newest, time), has_streamed or streamed
    return result


def _still_kept(kept: Kept, rule: Rule) -> Integers:
    """The rows that a later row may still see, or be recognised by."""
    slices = histories(kept.user, kept.cents, kept.times)
    result: Integers = np.arange(len(kept)) >= slices.ends[slices.slice_of] - rule.remembered
    if rule.span and len(kept):
        newest = np.maximum.reduceat(kept.times, slices.starts)
        result |= kept.times > newest[slices.slice_of] - rule.span - LATENESS_US
    return result


def _alerts(rule: Rule, rows: _Rows, positions: Integers, batch: Batch, topic: str) -> list[dict[str, Any]]:
    slices = histories(rows.kept.user, rows.kept.cents, rows.kept.times)
    places = rows.place[positions]
    judged = Judged(slices, positions, batch["card_type"][places])
    hits = np.flatnonzero(holds(rule.alert.when, judged))
    if not len(hits):
        return []
    found = Judged(slices, positions[hits], batch["card_type"][places[hits]])
    changes = {name: column[places[hits]] for name, column in batch.items()}
    return alert_payloads(rule, found, changes, topic)
