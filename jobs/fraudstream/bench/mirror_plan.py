"""What the benchmark of the mirror writes, and what the table must hold afterwards: planned in numpy. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraudstream.alerts import format_cents
from fraudstream.bench.dataset import PARTITIONS, Columns, Ints
from fraudstream.bench.messages import values
from fraudstream.input.plan import REACH

Flags = npt.NDArray[np.bool_]

FILL_ROWS = 200_000
"""Inserts in a batch of the filling: conf/pipeline.yaml's maxOffsetsPerTrigger, as after an outage."""
WARM = 2
"""Batches before those that are measured: the JVM compiles."""
_UPDATED, _DELETED = 0.01, 0.002
# Rows are deleted or updated, none both.
_DELETED_EVERY = 10
_MODULUS = 1_000_003


@dataclass(frozen=True, kw_only=True)
class Load:
    """A table of `table_rows`, and the batches of `batch_rows` changes that are then merged into it: inserts, 1 %
    updates, 0.2 % deletes."""

    table_rows: int
    batch_rows: int = 60_000
    """By default what 30 s bring at 2,000 rows/s."""
    batches: int = 18
    """Measured, after WARM others."""
    upkeep_every: int = 20
    """Batches from one upkeep of the tables to the next; by default those of conf/'s 10 minutes, one in 30 s."""
    spread: bool = False
    """Updates and deletes are of any row in the table, not of the last ones and the batch's own as in the input."""
    alerts: bool = False
    """The rows are alerts, and the table is their archive: new ones, and copies of 1 %."""

    @property
    def updates(self) -> int:
        """Of a batch."""
        return round(self.batch_rows * _UPDATED)

    @property
    def deletes(self) -> int:
        """Of a batch."""
        return round(self.batch_rows * _DELETED)

    @property
    def inserts(self) -> int:
        """Of a batch."""
        return self.batch_rows - self.updates - self.deletes

    @property
    def rows(self) -> int:
        """In the table at the end, deleted ones among them."""
        return self.table_rows + (WARM + self.batches) * self.inserts


@dataclass
class Rows:
    """The rows by place; row 0 has the id 1. Those from `existing` on are still to be inserted."""

    cents: Ints
    deleted: Flags
    offsets: Ints
    """The next one of each partition."""
    existing: int = 0


def no_rows(data: Columns) -> Rows:
    """An empty table for these events."""
    return Rows(data.cents.copy(), np.zeros(len(data), np.bool_), np.zeros(PARTITIONS, np.int64))


@dataclass(frozen=True)
class Batch:
    """Places of the rows that a batch inserts, updates and deletes."""

    inserts: Ints
    updates: Ints
    deletes: Ints

    @property
    def changes(self) -> int:
        """How many there are."""
        return len(self.inserts) + len(self.updates) + len(self.deletes)


def filling(load: Load) -> Iterator[Batch]:
    """The batches that make the table: inserts alone."""
    none = np.zeros(0, np.int64)
    for begin in range(0, load.table_rows, FILL_ROWS):
        yield Batch(np.arange(begin, min(begin + FILL_ROWS, load.table_rows)), none, none)


def next_batch(load: Load, rows: Rows, random: np.random.Generator) -> Batch:
    """The next batch of the load. A row is deleted at most once, and none that is ever updated."""
    inserts = np.arange(rows.existing, rows.existing + load.inserts)
    recent = np.arange(max(rows.existing - REACH, 0), rows.existing + load.inserts)
    reach = np.arange(rows.existing) if load.spread else recent
    doomed = reach % _DELETED_EVERY == _DELETED_EVERY - 1
    return Batch(
        inserts,
        np.sort(random.choice(reach[~doomed], load.updates, replace=False)),
        np.sort(random.choice(reach[doomed & ~rows.deleted[reach]], load.deletes, replace=False)),
    )


def written(rows: Rows, batch: Batch) -> None:
    """Note a batch in `rows`: an update adds a cent."""
    rows.existing += len(batch.inserts)
    rows.cents[batch.updates] += 1
    rows.deleted[batch.deletes] = True


def messages_of(data: Columns, rows: Rows, batch: Batch) -> tuple[Ints, list[str]]:
    """Place and message of each change of the batch, as the connector writes it, in the order of the commits: inserts,
    updates, deletes. `rows` are as they were before the batch."""
    messages = list(values(data, batch.inserts, "envelope"))
    newest = json.loads(messages[-1])
    for op, places in (("u", batch.updates), ("d", batch.deletes)):
        originals = map(json.loads, values(data, places, "envelope"))
        for original, cents in zip(originals, rows.cents[places].tolist(), strict=True):
            before = {**original["after"], "amount": format_cents(cents)}
            after = {**before, "amount": format_cents(cents + 1)} if op == "u" else None
            changed = {**newest, "before": before, "after": after, "op": op}
            messages.append(json.dumps(changed, separators=(",", ":")))
    return np.concatenate([batch.inserts, batch.updates, batch.deletes]), messages


def offsets_of(partition: Ints, rows: Rows) -> Ints:
    """The offset of each record of a batch: a partition's records count on from those in `rows`, which are advanced."""
    found = np.zeros(len(partition), np.int64)
    for number in range(PARTITIONS):
        own = np.flatnonzero(partition == number)
        found[own] = rows.offsets[number] + np.arange(len(own))
        rows.offsets[number] += len(own)
    return found


CHECKSUM = (
    "count(1) as rows", "count(distinct id) as ids", "count_if(deleted) as deleted",
    "sum(cast(amount * 100 as long)) as cents",
    f"sum((id * cast(amount * 100 as long)) % {_MODULUS}) as mixed",
)  # fmt: skip
"""Of lake/transactions, what `checksum` works out from the plan; `mixed` tells amounts that changed places."""


def checksum(rows: Rows) -> dict[str, int]:
    """{rows, ids, deleted, cents, mixed}: what CHECKSUM must say of the table."""
    cents = rows.cents[: rows.existing]
    ids = np.arange(1, rows.existing + 1)
    return {
        "rows": rows.existing, "ids": rows.existing, "deleted": int(rows.deleted.sum()), "cents": int(cents.sum()),
        "mixed": int((ids * cents % _MODULUS).sum()),
    }  # fmt: skip
