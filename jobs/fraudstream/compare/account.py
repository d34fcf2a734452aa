"""What a reader saw, held against the ledger of what was committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from fraudstream.input.ledger import LedgerTransaction

KINDS = ("insert", "insert_out_of_order", "update", "delete")


class Change(NamedTuple):
    """A committed change. `at`: epoch seconds at which its COMMIT was answered; `value`: the row's cents after it."""

    at: float
    kind: str
    """One of KINDS; out of order: a row with a greater id had been committed before."""
    id: int
    value: int | None
    final: bool
    """Whether the row is not changed again."""


class Seen(NamedTuple):
    """What a reader had in hand `at`: the state of a row (op "s"), or a change (c, u, d)."""

    at: float
    op: str
    id: int
    value: int | None


@dataclass(frozen=True, kw_only=True)
class Account:
    """The result for one reader."""

    committed: Mapping[str, int]
    """Changes by kind."""
    missed: Mapping[str, int]
    """Those never seen, by kind."""
    missed_intermediate: int
    """Missed inserts and updates whose row was changed again: states that were overwritten unseen."""
    late: int
    """Seen, but later than the bound after the commit."""
    repeated: int
    """Sightings beyond the first one of a change."""
    unknown: int
    """Sightings of what was never committed."""
    freshness_s: Sequence[float] = field(repr=False)
    """Commit to first sighting, of the changes seen."""
    lacking_rows: int = 0
    """Rows of the table at the end that the reader's copy has not."""
    stale_rows: int = 0
    """Rows whose last state it has not."""
    ghost_rows: int = 0
    """Rows deleted in the table that its copy still has."""

    @property
    def missed_in_all(self) -> int:
        """Changes never seen."""
        return sum(self.missed.values())

    @property
    def wrong_rows(self) -> int:
        """Rows in which a copy that was kept from what the reader saw differs from the table."""
        return self.lacking_rows + self.stale_rows + self.ghost_rows


def changes_of(ledger: Iterable[LedgerTransaction]) -> list[Change]:
    """The ledger's changes in the order of their commits."""
    transactions = list(ledger)
    flat = [change for transaction in transactions for change in transaction.changes]
    last = {change[1]: number for number, change in enumerate(flat)}
    found: list[Change] = []
    highest = -1
    for transaction in transactions:
        highest_before = highest
        for op, row, *rest in transaction.changes:
            kind = {"u": "update", "d": "delete"}.get(op, "insert")
            if op == "c":
                kind = "insert_out_of_order" if row < highest_before else kind
                highest = max(highest, row)
            value = None if op == "d" else cents(rest[1])
            found.append(Change(transaction.at, kind, row, value, last[row] == len(found)))
    return found


def cents(amount: str) -> int:
    """An amount's text with up to two decimal places as whole cents."""
    return int(Decimal(amount) * 100)


def account(changes: Sequence[Change], seen: Sequence[Seen], late_after_s: float) -> Account:
    """The account of one reader; `seen` in the order in which it saw. A state is known by its row and its value, which
    no other state of that row has."""
    first: dict[tuple[int, int | None], float] = {}
    for sighting in seen:
        first.setdefault((sighting.id, sighting.value), sighting.at)
    known = {(change.id, change.value) for change in changes}
    missed, committed = Counter[str](), Counter[str]()
    freshness: list[float] = []
    intermediate = 0
    for change in changes:
        committed[change.kind] += 1
        at = first.get((change.id, change.value))
        if at is None:
            missed[change.kind] += 1
            intermediate += change.kind != "delete" and not change.final
        else:
            freshness.append(at - change.at)
    lacking, stale, ghosts = _copy(changes, seen)
    unknown = sum((sighting.id, sighting.value) not in known for sighting in seen)
    return Account(
        committed={kind: committed[kind] for kind in KINDS}, missed={kind: missed[kind] for kind in KINDS},
        missed_intermediate=intermediate, late=sum(each > late_after_s for each in freshness),
        repeated=len(seen) - len(first), unknown=unknown, freshness_s=freshness,
        lacking_rows=lacking, stale_rows=stale, ghost_rows=ghosts,
    )  # fmt: skip


def _copy(changes: Sequence[Change], seen: Sequence[Seen]) -> tuple[int, int, int]:
    """Lacking, stale and ghost rows of a copy that began as the table was before the first change."""
    inserted = {change.id for change in changes if change.kind.startswith("insert")}
    copy: dict[int, int | None] = {}
    for sighting in seen:
        copy[sighting.id] = sighting.value
    lacking = stale = ghosts = 0
    for change in changes:
        if not change.final:
            continue
        has = change.id in copy or change.id not in inserted
        if change.kind == "delete":
            ghosts += has and copy.get(change.id, -1) is not None
        elif not has:
            lacking += 1
        else:
            stale += copy.get(change.id) != change.value
    return lacking, stale, ghosts
