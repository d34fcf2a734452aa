"""Folding the rows of a rule with corrections: they are judged as they enter, and again as they are corrected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fraudstream.rulebook.arrivals import Batch, Rows, appended, merged, without
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.corrections import (
    EMPTY,
    JUDGED,
    STANDS,
    Applied,
    Change,
    apply,
    histories,
    joined,
    revision,
    sort_out,
    still_kept,
)
from fraudstream.rulebook.evaluation import Judged, holds
from fraudstream.rulebook.exact import Integers
from fraudstream.rulebook.kept import Kept
from fraudstream.rulebook.payload import alert_payloads, revised, withdrawal_payloads
from fraudstream.rulebook.redelivery import redelivered, superseded

Alerts = list[dict[str, Any]]


def fold_round(rule: Rule, kept: Kept, batch: Batch, topic: str) -> tuple[Kept, Alerts, dict[str, int]]:
    """What is kept after a round (corrections.rounds), the alerts and what became of the rows."""
    rows = merged(kept, batch, rule.key)
    others = without(kept, rows.users)
    is_change = rows.place >= 0
    is_change[is_change] = batch["change"][rows.place[is_change]] != Change.ENTER
    changes, rows = rows.where(is_change), rows.where(~is_change)
    again = redelivered(rows, remembered=rule.remembered, span=rule.span)
    rows = rows.where(~again)
    overtaken = superseded(rows)
    rows = rows.where(~overtaken)
    entered = rows.place >= 0
    positions = np.flatnonzero(entered if rule.snapshot == "judge" else rows.judge)
    found = _judged_first(rule, rows, positions, batch, topic)
    applied, joining, counts = sort_out(rows, changes, batch, rule)
    found += _judged_again(rule, rows, applied, batch, topic)
    counts["judged"] = len(positions)
    counts["history"] += int(entered.sum()) - len(positions)
    counts["redelivered"] += int(again.sum())
    counts["superseded"] = int(overtaken.sum())
    return _kept(rule, joined(rows, joining, batch, rule.key), others), found, counts


def _kept(rule: Rule, rows: Rows, others: Kept) -> Kept:
    some = rows.lengths > 0  # a correction may come for a user of whom nothing is known
    rows = replace(rows, users=rows.users[some], lengths=rows.lengths[some], streamed=rows.streamed[some])
    return appended(others, rows.where(still_kept(rows, rule)), rows.has_streamed)


def _judged_first(rule: Rule, rows: Rows, positions: Integers, batch: Batch, topic: str) -> Alerts:
    if not len(positions):
        return []
    standing, at = histories(rows)
    judged = Judged(standing, at[positions], batch, rows.place[positions])
    hits = np.flatnonzero(holds(rule.alert.when, judged))
    rows.columns["mark"][positions[hits]] |= STANDS
    return [revised(payload, "open", 0) for payload in _payloads(rule, judged, hits, topic)]


def _judged_again(rule: Rule, rows: Rows, applied: Applied, batch: Batch, topic: str) -> Alerts:
    """Apply the changes; the messages on the alerts that they make, amend or end."""
    positions, changes = applied.positions, applied.changes
    if not len(positions):
        return []
    apply(rows, applied, batch)
    marks = rows.columns["mark"][positions]
    again = np.flatnonzero(marks & (JUDGED | EMPTY) == JUDGED)
    standing, at = histories(rows)
    judged = Judged(standing, at[positions[again]], batch, changes[again])
    hits = np.flatnonzero(holds(rule.alert.when, judged)) if len(again) else again
    stood, stands = marks & STANDS > 0, np.zeros(len(marks), dtype=bool)
    stands[again[hits]] = True
    rows.columns["mark"][positions] = np.where(stands, marks | STANDS, marks & ~STANDS)
    revisions = revision(marks).tolist()
    found = [
        revised(payload, "amended" if stood[at] else "open", revisions[at])
        for at, payload in zip(again[hits].tolist(), _payloads(rule, judged, hits, topic), strict=True)
    ]
    ended = np.flatnonzero(stood & ~stands)
    withdrawn = withdrawal_payloads(rule, {name: column[changes[ended]] for name, column in batch.items()}, topic)
    return found + [revised(payload, "withdrawn", revisions[at]) for at, payload in zip(ended, withdrawn, strict=True)]


def _payloads(rule: Rule, judged: Judged, hits: Integers, topic: str) -> Alerts:
    if not len(hits):
        return []
    return alert_payloads(rule, Judged(judged.rows, judged.positions[hits], judged.batch, judged.places[hits]), topic)
