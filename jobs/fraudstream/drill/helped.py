"""What a drill starts again as an operator would, and what of it must have gone on alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from fraudstream.stack.processes import COMPONENTS

PARTS = (*COMPONENTS, "connector", "driver")


class Help(NamedTuple):
    """One of PARTS that was started again, and why."""

    part: str
    why: str


def counted(parts: Iterable[str]) -> dict[str, int]:
    """How often each part was started again, in the order of PARTS; without those that were not."""
    found = [*parts]
    return {part: found.count(part) for part in PARTS if part in found}


def as_words(counts: Mapping[str, int] | None) -> str:
    """The counts for a table; a dash where nobody has counted."""
    if counts is None:
        return "-"
    return ", ".join(f"{part} {count}" for part, count in counts.items()) or "nothing"


def not_alone(helped: Sequence[Help], alone: Collection[str]) -> list[str]:
    """What was started again although it must go on alone, and why, in words."""
    return [f"{part} must go on alone, and was started again: {why}" for part, why in helped if part in alone]
