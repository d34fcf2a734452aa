"""The versions of a rule over time: each judges the records from its offsets on, up to the next one's.

A version alerts as if it had always been running: what its windows show does not begin with it. Versions that keep the
same rows of a user share them (an epoch); one that needs others begins an epoch with rows of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.exact import Integers
from fraudstream.rulebook.fold import Fold, fold
from fraudstream.rulebook.past import Bases

_SEVERAL = 255  # first byte of a state of several epochs; that of epoch 0 alone is the rows' own format
_PART = struct.Struct("<IQ")  # epoch, bytes


@dataclass(frozen=True)
class Version:
    """A rule as it judges records from `since` on ({partition: first offset}; not named: the partition's beginning)."""

    rule: Rule
    since: Mapping[int, int]
    epoch: int = 0


@dataclass(frozen=True)
class Outcome:
    """A batch's outcome: counts and alerts as one fold, whose state is that of all epochs; and for each alert the place
    of the version that found it."""

    fold: Fold
    found_by: list[int]


def keeps(rule: Rule) -> dict[str, Any]:
    """What a rule keeps of earlier transactions, in plain JSON: rules that keep the same have the same state."""
    if rule.stateless:
        return {}
    return {"key": rule.key, "columns": list(rule.columns), "remembered": rule.remembered, "span": rule.span}


def first_alive(begins: Sequence[Mapping[int, int]], position: Mapping[int, int]) -> int:
    """The place of the first version that still judges records from `position` on, where `begins` has each version's
    `since` and `position` is {partition: next offset}; a partition not named: its beginning."""
    return max((place for place, since in enumerate(begins) if has_begun(since, position)), default=0)


def has_begun(since: Mapping[int, int], position: Mapping[int, int]) -> bool:
    """Whether a version judges every record from `position` on, until another takes over."""
    return all(position.get(partition, 0) >= offset for partition, offset in since.items())


def in_force(versions: Sequence[Version], partitions: Integers, offsets: Integers) -> Integers:
    """For each record the place of its version in `versions`; -1 where none had begun."""
    result = np.full(len(offsets), -1)
    for number, version in enumerate(versions):
        begins = np.zeros(len(offsets), dtype=np.int64)
        for partition, offset in version.since.items():
            begins[partitions == partition] = offset
        result[offsets >= begins] = number
    return result


def fold_versions(
    versions: Sequence[Version],
    states: Mapping[int, bytes],
    batch: Batch,
    topic: str,
    bases: Callable[[int], Bases] | None = None,
) -> Outcome:
    """Fold `batch` (as for fold.fold) onto the states by epoch, whose `bases` are told for each epoch. Records before
    the first version join the history."""
    number = in_force(versions, batch["partition"], batch["offset"])
    after: dict[int, bytes] = {}
    found: list[tuple[int, Fold]] = []
    for epoch in sorted({version.epoch for version in versions}):
        own = [place for place, version in enumerate(versions) if version.epoch == epoch]
        state, own_bases = states.get(epoch), bases(epoch) if bases else None
        before = number < own[0]
        if before.any():
            joined = fold(versions[own[0]].rule, state, _part(batch, before), topic, own_bases)
            state = joined.state
            if own[0] == 0:
                found.append((0, _history_only(joined)))
        for place in own:
            mine = number == place
            if mine.any() or (not len(number) and place == own[-1]):
                result = fold(versions[place].rule, state, _part(batch, mine), topic, own_bases)
                state = result.state
                found.append((place, result))
        if state is not None:
            after[epoch] = state
    alerts = [(place, alert) for place, each in found for alert in each.alerts]
    counts = {name: sum(getattr(each, name) for _, each in found) for name in _COUNTS}
    return Outcome(Fold(pack_states(after), [alert for _, alert in alerts], **counts), [by for by, _ in alerts])


_COUNTS = [field.name for field in fields(Fold) if field.name not in ("state", "alerts")]


def _part(batch: Batch, wanted: Integers) -> Batch:
    return batch if wanted.all() else {name: column[wanted] for name, column in batch.items()}


def _history_only(joined: Fold) -> Fold:
    return replace(joined, alerts=[], judged=0, history=joined.judged + joined.history)


def pack_states(states: Mapping[int, bytes]) -> bytes:
    """The states of all epochs as one value."""
    if set(states) == {0}:
        return states[0]
    parts = [bytes([_SEVERAL])]
    for epoch, state in sorted(states.items()):
        parts += [_PART.pack(epoch, len(state)), state]
    return b"".join(parts)


def unpack_states(value: bytes) -> dict[int, bytes]:
    """The states by epoch of a value of `pack_states`."""
    if value[0] != _SEVERAL:
        return {0: value}
    states, place = {}, 1
    while place < len(value):
        epoch, size = _PART.unpack_from(value, place)
        place += _PART.size
        states[epoch] = value[place : place + size]
        place += size
    return states
