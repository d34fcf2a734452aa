"""Folding a micro-batch of rows into the kept rows of its users: the state logic of every rule.

The result depends on the order of each user's rows alone, never on how they were cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fraudstream.rulebook.arrivals import Batch, Rows, merged
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.corrections import marked, rounds
from fraudstream.rulebook.evaluation import Judged, holds
from fraudstream.rulebook.exact import Integers
from fraudstream.rulebook.kept import Kept, nothing_kept, pack, unpack
from fraudstream.rulebook.past import Bases, after, behind, opened
from fraudstream.rulebook.payload import alert_payloads
from fraudstream.rulebook.redelivery import redelivered, superseded
from fraudstream.rulebook.rejudging import fold_round
from fraudstream.rulebook.windows import Histories


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
    corrected: int = 0
    not_kept: int = 0
    uncorrected: int = 0


def fold(rule: Rule, state: bytes | None, batch: Batch, topic: str, bases: Bases | None = None) -> Fold:
    """Fold `batch` onto `state` (None: nothing kept yet), which may keep rows in `bases`. Raises ValueError for a state
    of another version or rule.

    Columns of the batch, as long as each other and in any order: `judge` (bool; False: a row of a snapshot, which
    only joins the history unless the rule has `snapshot: judge`); int64 `partition`, `offset`, `id`, `user_id`,
    `cents`, `created_at` (microseconds), `merchant_id`, `lsn`, `tx_id`, `committed_ms`, `captured_ms`, of which the
    last five may be NULL (payload.NULL); `card_type` (object, None for null); for a rule with corrections `change`
    (corrections.Change; all rows enter without it). All changes of a user are in one partition.
    """
    if rule.corrections == "on":
        kept = nothing_kept(rule.columns) if state is None else unpack(state, rule.columns)
        return _corrected(rule, kept, batch, topic)
    past = opened(state, rule, bases)
    arriving = behind(past.logged(batch[rule.key]), batch, rule.key)
    first = len(arriving["offset"]) - len(batch["offset"])
    rows = merged(past.base, arriving, rule.key)
    again = redelivered(rows, remembered=rule.remembered, span=rule.span)
    rows = rows.where(~again)
    overtaken = superseded(rows)
    rows = rows.where(~overtaken)
    entered = rows.place >= first
    positions = np.flatnonzero(entered if rule.snapshot == "judge" else entered & rows.judge)
    return Fold(
        state=after(past, rows, entered, rule, bases),
        alerts=_alerts(rule, rows, positions, batch, topic, first),
        judged=len(positions),
        history=int(entered.sum()) - len(positions),
        redelivered=int(again.sum()),
        superseded=int(overtaken.sum()),
    )


def _corrected(rule: Rule, kept: Kept, batch: Batch, topic: str) -> Fold:
    counts = dict.fromkeys(
        ("judged", "history", "redelivered", "superseded", "corrected", "not_kept", "uncorrected"), 0
    )
    alerts = []
    for part in rounds(marked(batch, rule), rule.key):
        kept, found, counted = fold_round(rule, kept, part, topic)
        alerts += found
        counts = {name: count + counted[name] for name, count in counts.items()}
    return Fold(pack(kept), alerts, **counts)


def state_of(rule: Rule, history: Batch) -> bytes:
    """The state after `history` (columns as of `fold`): a new rule starts from it as if it had always been there."""
    return fold(rule, None, history, "").state


def _alerts(
    rule: Rule, rows: Rows, positions: Integers, batch: Batch, topic: str, first: int
) -> list[dict[str, Any]]:  # fmt: skip
    """The alerts at these positions of the rows; the batch's first one has the place `first`."""
    histories = Histories(rows.columns, rows.ends - rows.lengths, rows.user_of)
    judged = Judged(histories, positions, batch, rows.place[positions] - first)
    hits = np.flatnonzero(holds(rule.alert.when, judged))
    if not len(hits):
        return []
    return alert_payloads(rule, Judged(histories, positions[hits], batch, judged.places[hits]), topic)
