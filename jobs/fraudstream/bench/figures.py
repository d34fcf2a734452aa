"""How fast a system was, told from outside: when the broker took each alert, and how far in the topic it lies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fraudstream.bench.dataset import PARTITIONS, Ints
from fraudstream.bench.truth import Truth

Seconds = npt.NDArray[np.float64]
Alert = tuple[str, int]
"""Rule and transaction id."""

STEADY = (0.4, 0.95)
"""Shares of the events: between the two the JIT compilers have done their work, and the end has not begun."""
# A system that works in batches gives all of a batch's alerts within a moment: of a step the upper end counts.
_STEP_S = 0.25
_EXAMPLES = 5
_DRAWN = 200


@dataclass
class Sightings:
    """The alerts of one system as they come. `at` are the seconds since 1970 at which the broker took the first copy
    of each."""

    truth: Mapping[str, Truth]
    """The alerts that are to come, by rule."""
    at: dict[Alert, float] = field(default_factory=dict)
    copies: int = 0

    def __post_init__(self) -> None:
        self._missing = {(rule, number) for rule, each in self.truth.items() for number in each.transaction_id.tolist()}
        self._expected = frozenset(self._missing)

    def add(self, alert: Alert, at: float) -> None:
        """One more record of the topic of alerts."""
        if alert in self.at:
            self.copies += 1
            return
        self.at[alert] = at
        self._missing.discard(alert)

    @property
    def complete(self) -> bool:
        """Whether every expected alert has come."""
        return not self._missing

    def compared(self) -> dict[str, object]:
        """alerts (different ones), copies, missing, extra, up to five examples of both, and whether all is equal."""
        extra = self.at.keys() - self._expected
        examples = {name: [list(each) for each in sorted(found)[:_EXAMPLES]]
                    for name, found in (("missing", self._missing), ("extra", extra)) if found}  # fmt: skip
        return {
            "alerts": len(self.at), "copies": self.copies, "missing": len(self._missing), "extra": len(extra),
            "examples": examples, "equal": not self._missing and not extra,
        }  # fmt: skip

    def progress(self) -> tuple[Seconds, Seconds]:
        """(seconds since 1970, events judged until then): per partition up to the furthest alert so far; of several
        rules the mean."""
        known = [
            (self.at[rule, number], index, partition, place)
            for index, (rule, each) in enumerate(self.truth.items())
            for number, partition, place in zip(
                each.transaction_id.tolist(), each.partition.tolist(), each.place.tolist(), strict=True
            )
            if (rule, number) in self.at
        ]
        known.sort()
        if not known:
            return np.zeros(0), np.zeros(0)
        at, index, partition, place = (np.array(column) for column in zip(*known, strict=True))
        return at.astype(np.float64), furthest(index * PARTITIONS + partition, place) / len(self.truth)


def furthest(part: Ints, place: Ints) -> Seconds:
    """After each of the alerts in their order: the sum, over the parts, of the greatest place so far."""
    total = np.zeros(len(part))
    for number in np.unique(part):
        total += np.maximum.accumulate(np.where(part == number, place, 0))
    return total


def speed(at: Seconds, judged: Seconds, events: int, began: float, complete: bool) -> dict[str, float | None]:
    """first_alert_s and seconds since `began`; total_per_s from then to the last alert, of a complete run alone;
    steady_per_s between 40 and 95 % of the events, None where too little was seen."""
    if not len(at):
        return dict.fromkeys(("first_alert_s", "seconds", "total_per_s", "steady_per_s"))
    seconds = float(at[-1]) - began
    return {
        "first_alert_s": round(float(at[0]) - began, 2),
        "seconds": round(seconds, 2),
        "total_per_s": round(events / seconds, 1) if complete and seconds > 0 else None,
        "steady_per_s": _slope(at, judged, events),
    }


def _slope(at: Seconds, judged: Seconds, events: int) -> float | None:
    ends = [int(np.argmax(judged >= share * events)) for share in STEADY]
    if judged[-1] < STEADY[1] * events or at[ends[1]] - at[ends[0]] < _STEP_S:
        return None
    low, high = (judged[np.searchsorted(at, at[end] + _STEP_S, side="right") - 1] for end in ends)
    return round(float((high - low) / (at[ends[1]] - at[ends[0]])), 1)


def drawn(at: Seconds, judged: Seconds, began: float) -> list[list[float]]:
    """Some hundred points (seconds, events) for a plot."""
    chosen = np.unique(np.linspace(0, max(len(at) - 1, 0), min(_DRAWN, len(at))).astype(int))
    return [[round(float(at[place]) - began, 2), int(judged[place])] for place in chosen.tolist()]


def spread(values: Iterable[float | None]) -> dict[str, float] | None:
    """median, min and max of those that are known, to four digits; None of none."""
    known: Sequence[float] = sorted(value for value in values if value is not None)
    if not known:
        return None
    return {"median": _rounded(np.median(known)), "min": _rounded(known[0]), "max": _rounded(known[-1])}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
