"""A rule's alert budget: how many of its alerts a day people can look at. It changes no alert and no version."""

from __future__ import annotations

import re

_BUDGET = re.compile(r"(\d{1,9})/day", re.ASCII)


def per_day(text: str) -> int:
    """The number of "50/day". Raises ValueError for another text."""
    match = _BUDGET.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text[:40]!r} is no budget; write it like 50/day")
    return int(match[1])
