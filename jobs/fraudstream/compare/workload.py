"""What a cell's writer does when: the same actions for the same arguments."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

# One round of 20 x size changes: 10 rows inserted; 3 of them updated twice (2 of these) within 0.4 s; 1 deleted before
# a slow poll can see it; 2 old rows updated and 1 deleted; 1 row whose transaction takes its id early, commits late.
CHANGES_A_ROUND = 20
_INSERTED, _UPDATED, _AGAIN, _OLD_UPDATED = 10, 3, 2, 2
_LATE_EVERY = 4
_HOLDS_S = (0.3, 1.0, 2.0, 3.0, 7.0)
_MOST_ROUNDS_A_SECOND = 12.5


@dataclass(frozen=True, slots=True)
class Action:
    """One transaction: `op` on the rows with these ordinals, `at` seconds after the start, committed `hold_s` later.

    Rows that were there before have the ordinals 1 to the table's size; inserted ones count on from there.
    """

    at: float
    op: Literal["insert", "update", "delete"]
    rows: tuple[int, ...]
    hold_s: float = 0.0


def plan(rate: float, seconds: float, table_rows: int, seed: int = 0) -> list[Action]:
    """The actions of `rate` changes per second, in the order of their times; every one is committed by `seconds`."""
    made = _sparse(rate, seconds, table_rows) if rate < 1 else _rounds(rate, seconds, table_rows, seed)
    return sorted((action for action in made if action.at + action.hold_s < seconds), key=lambda action: action.at)


def _sparse(rate: float, seconds: float, table_rows: int) -> Iterator[Action]:
    """Single inserts: the first after 10 s or half a period, whichever comes first."""
    first = min(10.0, 0.5 / rate)
    for number in range(int(max(0.0, seconds - first) * rate) + 1):
        yield Action(first + number / rate, "insert", (table_rows + 1 + number,))


def _rounds(rate: float, seconds: float, table_rows: int, seed: int) -> Iterator[Action]:
    size = max(1, round(rate / (CHANGES_A_ROUND * _MOST_ROUNDS_A_SECOND)))
    spacing = CHANGES_A_ROUND * size / rate
    chance = random.Random(seed)
    # Old rows: odd ordinals are updated, any number of times; even ones deleted, each once.
    doomed = iter(chance.sample(range(2, table_rows + 1, 2), table_rows // 2))
    fresh = table_rows + 1
    for number in range(int(seconds / spacing)):
        at = number * spacing
        if number % _LATE_EVERY == 0:
            late = _LATE_EVERY * size
            yield Action(at, "insert", _span(fresh, late), _HOLDS_S[number // _LATE_EVERY % len(_HOLDS_S)])
            fresh += late
        yield Action(at + 0.001, "insert", _span(fresh, _INSERTED * size))
        yield Action(at + 0.2, "update", _span(fresh, _UPDATED * size))
        yield Action(at + 0.3, "delete", _span(fresh + _UPDATED * size, size))
        yield Action(at + 0.4, "update", _span(fresh, _AGAIN * size))
        old = {2 * chance.randrange(table_rows // 2) + 1 for _ in range(_OLD_UPDATED * size)}
        yield Action(at + 0.1, "update", tuple(sorted(old)))
        deleted = tuple(islice(doomed, size))
        if deleted:
            yield Action(at + 0.15, "delete", deleted)
        fresh += _INSERTED * size


def _span(first: int, count: int) -> tuple[int, ...]:
    return tuple(range(first, first + count))
