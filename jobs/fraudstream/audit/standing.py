"""Which of a row's changes stands: the rule of docs/semantics.md, "The mirror", one change at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from fraudstream.audit.checksums import FIRST_SHOWN, LAST_SHOWN, Row
from fraudstream.cdc.envelope import ChangeEvent


class Change(NamedTuple):
    """A change of a row at its place in the topic; `row` is None for a delete, `at` its commit in milliseconds."""

    partition: int
    offset: int
    op: str
    lsn: int | None
    at: int | None
    row: Row | None


def change_of(event: ChangeEvent, partition: int, offset: int) -> Change:
    """The change of an event that has a row."""
    assert event.row is not None
    row = event.row
    image = row_of(row.user_id, row.cents, row.card_type, row.merchant_id, row.created_at)
    return Change(partition, offset, event.op, event.lsn, event.committed_ms, None if event.op == "d" else image)


def row_of(user: int, cents: int | None, card: str | None, merchant: int | None, created: int | None) -> Row:
    """A row with what a table can show of its time."""
    shown = created if created is not None and FIRST_SHOWN <= created <= LAST_SHOWN else None
    return (user, cents, card, merchant, created, shown)


def standing(changes: Iterable[Change], truncated: int | None = None) -> Change | None:
    """The change that stands, as a delete if a truncate with LSN `truncated` came after it; None of nothing."""
    by_partition: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        by_partition[change.partition].append(change)
    found: Change | None = None
    for part in by_partition.values():
        last: Change | None = None
        for change in sorted(set(part), key=lambda each: each.offset):
            if last is None or _follows(change, last):
                last = change
        if last is not None and (found is None or _is_later(last, found)):
            found = last
    if found is not None and truncated is not None and found.lsn is not None and found.lsn < truncated:
        return found._replace(op="t", row=None)
    return found


def _follows(change: Change, last: Change) -> bool:
    """Whether a change wins over one that came before it in its partition. A row of an incremental snapshot, which has
    no LSN, is as new as its place; one of an initial snapshot may be older than what was streamed before it."""
    if change.op != "r" or last.op == "r" or change.lsn is None:
        return True
    return last.lsn is None or change.lsn > last.lsn


def _is_later(change: Change, other: Change) -> bool:
    """Whether a change wins over one of another partition."""
    if change.lsn is None or other.lsn is None:
        return (change.at or 0) > (other.at or 0)
    return change.lsn > other.lsn or (change.lsn == other.lsn and change.op != "d" and other.op == "d")
