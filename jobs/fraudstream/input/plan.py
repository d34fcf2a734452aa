"""Database transactions cut from a profile's rows, with updates and deletes of earlier rows mixed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from fraudstream.input.rows import RowArray

REACH = 50_000
"""Updates and deletes find rows among this many last inserted ones."""

UPDATED_FIELDS = ("cents", "card", "merchant_id", "user_id")
_FIELD_SHARES = (0.5, 0.15, 0.2, 0.15)


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """One database transaction. Rows go by ordinal: the n-th insert of the run, from 0, in the order of the plan."""

    first: int
    inserts: RowArray
    updated: npt.NDArray[np.int64]
    """Ordinals of the rows to update."""
    values: RowArray
    """For each updated row, where its new value stands..."""
    fields: npt.NDArray[np.int64]
    """... and which of UPDATED_FIELDS it is."""
    deleted: npt.NDArray[np.int64]
    copy: bool = False

    def changes(self) -> int:
        """Number of rows that change."""
        return len(self.inserts) + len(self.updated) + len(self.deleted)


Step = tuple[Planned, ...]
"""Transactions open at the same time, whose inserts take turns. The last one commits first."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How rows become database transactions."""

    batch_size: int
    update_share: float = 0.0
    delete_share: float = 0.0
    mixed: bool = False
    """Some transactions as pairs open at the same time, some inserts by COPY."""
    copy: bool = False
    rows: int | None = None
    """Stop after this many inserts; the last transaction is then a smaller one."""


def steps(blocks: Iterator[RowArray], cut: Cut, seed: int) -> Iterator[Step]:
    """The blocks' rows as transactions, whose order of commit is the order of the rows."""
    random = np.random.default_rng([seed, 0])
    targets = _Targets(np.random.default_rng([seed, 3]), cut)
    first = 0
    batches = _batches(blocks, cut.batch_size, cut.rows)
    for batch in batches:
        together = [batch]
        if cut.mixed and random.random() < 0.3:
            together = [*islice(batches, 1), batch]
        copies = [cut.copy or (cut.mixed and random.random() < 0.3) for _ in together]
        step = []
        for inserts, copy in zip(together, copies, strict=True):
            updated, deleted = targets.choose(len(inserts))
            values, fields = targets.values(inserts, len(updated))
            step.append(Planned(first, inserts, updated, values, fields, deleted, copy))
            first += len(inserts)
        targets.inserted(first)
        yield tuple(step)


def _batches(blocks: Iterator[RowArray], size: int, limit: int | None) -> Iterator[RowArray]:
    left = limit if limit is not None else -1
    rest = next(blocks)
    while left:
        wanted = size if left < 0 else min(size, left)
        parts = [rest]
        while sum(map(len, parts)) < wanted:
            parts.append(next(blocks))
        rest = np.concatenate(parts) if len(parts) > 1 else rest
        yield rest[:wanted]
        rest = rest[wanted:]
        left -= wanted if left > 0 else 0


class _Targets:
    """Chooses the rows to update and delete: inserted by an earlier step, not deleted, one change each in a step."""

    def __init__(self, random: np.random.Generator, cut: Cut) -> None:
        self._random = random
        self._cut = cut
        self._end = 0
        self._deleted: set[int] = set()
        self._taken: set[int] = set()

    def choose(self, inserts: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Ordinals to update and ordinals to delete in a transaction of so many inserts."""
        updates = int(self._random.binomial(inserts, self._cut.update_share))
        deletes = int(self._random.binomial(inserts, self._cut.delete_share))
        if not self._end or not updates + deletes:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        drawn = self._random.integers(max(0, self._end - REACH), self._end, updates + deletes).tolist()
        free = [n for n in dict.fromkeys(drawn) if n not in self._deleted and n not in self._taken]
        self._taken.update(free)
        self._deleted.update(free[updates:])
        return np.array(free[:updates], np.int64), np.array(free[updates:], np.int64)

    def values(self, inserts: RowArray, count: int) -> tuple[RowArray, npt.NDArray[np.int64]]:
        """New values: those of some of the rows inserted beside, so that they are typical of the profile."""
        places = self._random.integers(0, len(inserts), count)
        return inserts[places], self._random.choice(len(UPDATED_FIELDS), count, p=_FIELD_SHARES)

    def inserted(self, end: int) -> None:
        """A step ends: the rows before ordinal `end` can be chosen from now on."""
        self._end = end
        self._taken.clear()
        if len(self._deleted) > REACH:
            self._deleted = {n for n in self._deleted if n >= end - REACH}
