"""Transactions of history, from the lake or a file, as the columns that a rule's fold takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraudstream import lake
from fraudstream.canary import NOT_CANARY
from fraudstream.changes import COLUMNS, CORRECTS, ENTERS, batch_of, corrected_batch
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.exact import NULL

Ints = npt.NDArray[np.int64]


class Problem(NamedTuple):
    """A row of the source that no rule can judge: `outcome` unreadable or unjudged, `row` its number from 1."""

    row: int
    outcome: str
    reason: str
    text: str


@dataclass(frozen=True)
class History:
    """Transactions in the order in which they are judged. `batch` are the rows that enter; `corrected`, for rules with
    corrections, these with the updates and deletes among them (None: there are none). What the source has besides is in
    `left_out` (unjudged, unreadable, ignored), and row by row in `problems` where it can be mended."""

    source: str
    topic: str
    batch: Batch
    corrected: Batch | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows enter."""
        return len(self.batch["id"])

    @property
    def read(self) -> int:
        """How many rows the source has."""
        return self.rows + sum(self.left_out.values())

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows have which problem, the commonest first."""
        return dict(Counter(problem.reason for problem in self.problems).most_common())

    @cached_property
    def by_id(self) -> tuple[Ints, Ints]:
        """Transaction ids, ascending, and the place in `batch` of the first row of each."""
        return np.unique(self.batch["id"], return_index=True)

    def places(self, ids: Iterable[int]) -> Ints:
        """The place of each transaction; -1 for one that is not there."""
        known, places = self.by_id
        wanted = np.fromiter(ids, dtype=np.int64)
        if not len(known):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[at] == wanted, places[at], -1)

    def until(self, moment: int | None) -> History:
        """What was known at a moment (microseconds since 1970; None: everything)."""
        if moment is None:
            return self
        corrected = None if self.corrected is None else _known(self.corrected, moment)
        return replace(self, batch=_known(self.batch, moment), corrected=corrected)


def _known(batch: Batch, moment: int) -> Batch:
    """The rows that were captured by then; of a source without capture times, those that had happened."""
    captured = batch["captured_ms"]
    known_at = np.where(captured == NULL, batch["created_at"], captured * 1000)
    return {name: column[known_at <= moment] for name, column in batch.items()}


def history_of_lake(folder: str) -> History:
    """The changes that the mirror has written, in the order of the topic; the canary's are left out. Raises
    FraudstreamError if there are none."""
    table = "transaction_changes"
    named = ", ".join(f'"{name}"' for name in COLUMNS)
    order = 'ORDER BY "partition", "offset"'
    wanted = f"({ENTERS} OR {CORRECTS}) AND {NOT_CANARY}"
    changes = lake.query(folder, table, f"SELECT {named} FROM {table} WHERE {wanted} {order}")
    topics = sorted(set(changes["topic"].unique().to_pylist()))
    if not topics:
        raise FraudstreamError(
            f"{folder}/{table} has no transactions yet; run `./spark-submit.sh mirror_transactions`, or name a file "
            "with --transactions."
        )
    if len(topics) > 1:
        raise FraudstreamError(
            f"{folder}/{table} has changes of {len(topics)} topics ({', '.join(topics[:3])}), which have no order "
            "among each other; a backtest takes a lake with one."
        )
    entry = f"CASE WHEN {NOT_CANARY} THEN entry ELSE 'canary' END"
    others = f"NOT ({ENTERS} AND {NOT_CANARY})"
    counts = lake.query(
        folder, table, f"SELECT {entry} AS entry, count(*) AS rows FROM {table} WHERE {others} GROUP BY {entry}"
    )
    left_out = dict(sorted((row["entry"], row["rows"]) for row in counts.to_pylist()))
    return history_of_changes(changes, topics[0], f"{folder}/{table}", left_out)


def history_of_changes(
    changes: pa.Table, topic: str, source: str, left_out: Mapping[str, int] | None = None
) -> History:
    """Rows of lake/transaction_changes that a rule takes, in the order of the topic, as a history."""
    enters = np.isin(changes["entry"].to_pandas().to_numpy(dtype=object), ("judge", "history"))
    corrected = None if enters.all() else corrected_batch(changes)[0]
    return History(source, topic, batch_of(changes.filter(pa.array(enters))), corrected, left_out or {})


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """The problems as CSV: row, outcome, reason, text."""
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Problem._fields)
        writer.writerows(problems)
