"""What a rule has of its users between two batches: a state value alone, or with it a base and a log.

A state value passes whole through Python, the JVM and the state store with every micro-batch that touches it. With all
histories in it (velocity at 2,000 rows/s: 18.7 MB in two values), a batch took 1.1 s instead of the 0.6 s of the first
minutes. So where batches are small beside what is kept, the rows lie in a base, a file that is read where a batch's
users need it, and the value has the rows that have entered since: the log. A log that has become a 16th of its base
becomes one with it, in a new base. The fold of base, log and batch is that of all rows in one batch, which is the same
however rows are cut into batches.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from fraudstream.rulebook.arrivals import Batch, Rows, among, appended, merged, without
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.exact import Integers
from fraudstream.rulebook.kept import Kept, narrowed, nothing_kept, pack, unpack
from fraudstream.rulebook.windows import LATENESS_US

_FORMAT = 3
_HEAD = struct.Struct("<BIQ")  # format, bytes of the head in JSON, rows of the log
FULL_LOG = 16
"""Part of its base's rows that a log has at most."""


class Bases(Protocol):
    """Where the bases of one state lie."""

    def is_due(self, kept: int, arriving: int) -> bool:
        """Whether a state of so many rows should keep them in a base when so many arrive."""

    def read(self, name: str) -> memoryview:
        """The bytes of the base."""

    def write(self, folds: int, value: bytes) -> str:
        """Keep a base; its name, the same for the same bytes at as many folds."""

    def delete(self, replaced: Sequence[tuple[int, str]], folds: int) -> list[tuple[int, str]]:
        """Delete the bases (folds at which they were replaced, name) that no retained state has any more at so many
        folds; the others."""


@dataclass(frozen=True)
class Past:
    """The rows kept (`base`), and those that have entered since (`log`: columns of a batch, each user's in order)."""

    base: Kept
    log: Batch
    state: bytes | None
    """The state that it was opened from."""
    name: str = ""
    """The base's; none: the state has the rows itself, and there is no log."""
    folds: int = 0
    replaced: list[tuple[int, str]] = field(default_factory=list)
    """Earlier bases with the folds at which they were replaced."""

    def logged(self, users: Integers) -> Batch:
        """What these users have in the log."""
        if not self.name:
            return self.log
        mine = among(self.log["user"], users)
        return {name: column[mine] for name, column in self.log.items()}


def opened(state: bytes | None, rule: Rule, bases: Bases | None) -> Past:
    """The past in a state. Raises ValueError for one of another version or rule, or whose base nobody has handed over;
    and what `bases` raises for one that is not there."""
    if state is None:
        return Past(nothing_kept(rule.columns), {}, None)
    if state[0] != _FORMAT:
        return Past(unpack(state, rule.columns), {}, state)
    if bases is None:
        raise ValueError("a state whose rows lie in a base of its checkpoint")
    _, size, rows = _HEAD.unpack_from(state)
    place = _HEAD.size + size
    head = json.loads(state[_HEAD.size : place])
    replaced = [(folds, name) for folds, name in head["replaced"]]
    if not head["base"]:
        whole = state[place:]
        return Past(unpack(whole, rule.columns), {}, whole, "", head["folds"], replaced)
    base = unpack(bases.read(head["base"]), rule.columns)
    return Past(base, _unpacked_log(state, place, rows, rule), state, head["base"], head["folds"], replaced)


def behind(log: Batch, batch: Batch, key: str) -> Batch:
    """The columns that `merged` needs, of the log's rows and, behind them, the batch's; all of the batch's alone."""
    rows = len(log["user"]) if log else 0
    if not rows:
        return batch
    before = np.arange(-rows, 0)  # a record's offset is not negative
    own = {**log, key: log["user"], "offset": before}
    return {name: np.concatenate([own[name], batch[name]]) for name in own if name != "user"}


def after(past: Past, rows: Rows, entered: Integers, rule: Rule, bases: Bases | None) -> bytes:
    """The state after a batch, of whose `rows` (merged with the base and what was logged of their users) those of the
    mask `entered` are new."""
    count, known = int(entered.sum()), len(past.base.columns[rule.columns[0]])
    if bases is None:
        return pack(_united(past.base, rows, rule))
    past = replace(past, folds=past.folds + 1, replaced=bases.delete(past.replaced, past.folds))
    if not past.name:
        if past.state is None or not bases.is_due(known, count):
            return _whole(past, pack(_united(past.base, rows, rule)))
        past = replace(past, name=bases.write(past.folds, past.state), log=_nothing_logged(rule))
    new = {"user": rows.users[rows.user_of[entered]], "judge": rows.judge[entered]}
    new |= {name: column[entered] for name, column in rows.columns.items()}
    log = {name: np.concatenate([column, new[name]]) for name, column in past.log.items()}
    past = replace(past, log=log)
    if len(log["user"]) * FULL_LOG <= known:
        return _packed(past)
    united = _compacted(past, rule)
    past = replace(past, log=_nothing_logged(rule), replaced=[*past.replaced, (past.folds, past.name)])
    if not bases.is_due(known, count):  # to catch up: every batch would write a base
        return _whole(past, united)
    return _packed(replace(past, name=bases.write(past.folds, united)))


def _united(base: Kept, rows: Rows, rule: Rule) -> Kept:
    return appended(without(base, rows.users), rows.where(_still_kept(rows, rule)), rows.has_streamed)


def _compacted(past: Past, rule: Rule) -> bytes:
    """Base and log as a state that has the rows itself, users in order."""
    users = np.union1d(past.base.users, past.log["user"])
    batch = {**past.log, rule.key: past.log["user"], "offset": np.arange(len(past.log["user"]))}
    return pack(_united(past.base, merged(past.base, batch, rule.key, users), rule))


def _whole(past: Past, state: bytes) -> bytes:
    """A state that has the rows itself, with the bases that are still to be deleted."""
    return _head(replace(past, name=""), 0) + state if past.replaced else state


def _still_kept(rows: Rows, rule: Rule) -> Integers:
    """The rows that a later row may still see, or be recognised by."""
    ends = rows.ends
    result: Integers = np.arange(len(rows.place)) >= np.repeat(ends - rule.remembered, rows.lengths)
    if rule.span and len(rows.place):
        times = rows.columns["created_at"]
        newest = np.maximum.reduceat(times, ends - rows.lengths)  # every user has a row
        result |= times > np.repeat(newest - rule.span - LATENESS_US, rows.lengths)
    return result


def _nothing_logged(rule: Rule) -> Batch:
    none = np.zeros(0, dtype=np.int64)
    return {"user": none, "judge": none.astype(bool), **dict.fromkeys(rule.columns, none)}


def _head(past: Past, rows: int) -> bytes:
    head = json.dumps({"base": past.name, "folds": past.folds, "replaced": past.replaced}).encode("ascii")
    return _HEAD.pack(_FORMAT, len(head), rows) + head


def _packed(past: Past) -> bytes:
    parts = [_head(past, len(past.log["user"]))]
    for column in past.log.values():
        least, short = _from_least(column.astype(np.int64))
        parts += [struct.pack("<Bq", short.itemsize, least), short.tobytes()]
    return b"".join(parts)


def _unpacked_log(state: bytes, place: int, rows: int, rule: Rule) -> Batch:
    log = dict[str, Integers]()
    for name in _nothing_logged(rule):
        size, least = struct.unpack_from("<Bq", state, place)
        column = np.frombuffer(state, dtype=f"<i{size}", count=rows, offset=place + 9)
        log[name] = column.astype(np.int64) + least
        place += 9 + column.nbytes
    return {**log, "judge": log["judge"].astype(bool)}


def _from_least(column: Integers) -> tuple[int, Integers]:
    """The least value, and in the shortest integers what each is above it; 0 and the column where that overflows."""
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    return (low, narrowed(column - low)) if high - low < 1 << 63 else (0, column)
