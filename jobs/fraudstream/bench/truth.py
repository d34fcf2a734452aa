"""The alerts that every system must find: the rules' definitions as one plain loop over each user's events.

Written apart from the rules and their language (docs/semantics.md has the definitions), so that both must be wrong in
the same way to agree wrongly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.bench.dataset import PARTITIONS, Columns, Ints

RULES = ("anomaly", "velocity")
Earlier = Callable[[Ints], Ints]
"""The cents of what these users paid long before the first event: a row per user, the oldest first."""

_MINUTE_US = 60_000_000
_LOT = 10_000
_NAMES = ("transaction_id", "partition", "place")


@dataclass(frozen=True)
class Truth:
    """A rule's alerts: the transactions' ids, each with its partition and its place there, counted from 1."""

    transaction_id: Ints
    partition: Ints
    place: Ints

    def __len__(self) -> int:
        return len(self.transaction_id)


def expected(columns: Columns, history: int | None = 50, earlier: Earlier | None = None) -> dict[str, Truth]:
    """The alerts of each rule; with `earlier` those of users who had paid before. With another `history` than 50 (None:
    unbounded) anomaly's are wrong ones, to compare with."""
    order = np.argsort(columns.user_id, kind="stable")
    found: dict[str, list[int]] = {name: [] for name in RULES}
    for place, anomaly, velocity in _judged(columns, order, history, earlier):
        if anomaly:
            found["anomaly"].append(place)
        if velocity:
            found["velocity"].append(place)
    places = _places(columns)
    alerts = {name: np.array(sorted(each), np.int64) for name, each in found.items()}
    return {name: Truth(each + 1, columns.partition[each], places[each]) for name, each in alerts.items()}


def _judged(
    columns: Columns, order: Ints, history: int | None, earlier: Earlier | None
) -> Iterator[tuple[int, bool, bool]]:
    """(index, anomaly, velocity) of the events that alert, user by user."""
    users, amounts, times = (each[order].tolist() for each in (columns.user_id, columns.cents, columns.created_at))
    known = _rows(earlier, np.unique(columns.user_id)) if earlier else repeat([])
    user, past, total, minute = None, deque[int](), 0, deque[int]()
    for index, who, cents, at in zip(order.tolist(), users, amounts, times, strict=True):
        if who != user:
            user, past, minute = who, deque[int](deque(next(known), history)), deque[int]()
            total = sum(past)
        n = len(past)
        anomaly = n >= 3 and cents * n > 3 * total and cents > 500_00
        while minute and minute[0] <= at - _MINUTE_US:
            minute.popleft()
        minute.append(at)
        velocity = len(minute) > 5 and cents > 4000_00  # 40 points and 50, an alert if over 70
        past.append(cents)
        total += cents
        if history is not None and n == history:
            total -= past.popleft()
        if anomaly or velocity:
            yield index, anomaly, velocity


def _rows(earlier: Earlier, users: Ints) -> Iterator[list[int]]:
    """What each of the users paid, asked for by the ten thousand: of a million it would be half a gigabyte."""
    for begin in range(0, len(users), _LOT):
        yield from earlier(users[begin : begin + _LOT]).tolist()


def _places(columns: Columns) -> Ints:
    """Of each event its place in its partition, counted from 1."""
    places = np.zeros(len(columns), np.int64)
    for partition in range(PARTITIONS):
        own = columns.partition == partition
        places[own] = np.arange(1, own.sum() + 1)
    return places


def write_truth(path: Path, found: dict[str, Truth]) -> None:
    """Keep the alerts of all rules in a Parquet file."""
    parts = [
        pa.table({"rule": [rule] * len(truth), **{name: getattr(truth, name) for name in _NAMES}})
        for rule, truth in found.items()
    ]
    fresh = path.with_suffix(".new")
    pq.write_table(pa.concat_tables(parts), fresh)
    fresh.replace(path)


def read_truth(path: Path) -> dict[str, Truth]:
    """What `write_truth` kept."""
    table = pq.read_table(path)
    rules = np.array(table["rule"].to_pylist())
    columns = {name: table[name].to_numpy() for name in _NAMES}
    return {rule: Truth(*(columns[name][rules == rule] for name in _NAMES)) for rule in RULES}
