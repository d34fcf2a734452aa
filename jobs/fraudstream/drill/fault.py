"""What a fault is to a drill."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from fraudstream.drill.rig import Rig


class NotStruckError(Exception):
    """The fault did not happen as it should have; its text says what was seen instead."""


class NotMadeError(Exception):
    """The fault cannot be made on this machine; its text says why."""


@dataclass(frozen=True)
class Struck:
    """A fault that has struck: the proof of it, the kills it took, and since when (monotonic) recovery counts."""

    proof: str
    kills: int = 0
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault, the rows of the fault matrix (docs/operations.md) it is of, and what must hold, which is said before it
    strikes. `strike` makes it and proves it; it raises NotStruckError or NotMadeError. `kills`: components that one
    strike of a storm kills. `alone`: which of helped.PARTS must go on without being started again.

    A `gap` leaves changes out of the topic, which a snapshot brings as rows: updates and deletes in it cannot be told,
    so that only rows are inserted. A fault that is the `end` takes records from the topic that no query has judged, so
    that no oracle can tell the alerts any more; only tables are checked then."""

    name: str
    rows: tuple[int, ...]
    must_hold: str
    strike: Callable[[Rig, Random], Struck]
    kills: int = 1
    alone: tuple[str, ...] = ()
    gap: bool = False
    end: bool = False
