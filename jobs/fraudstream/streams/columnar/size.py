"""How many records a micro-batch may have, by how long full ones take. Pure."""

from __future__ import annotations

# A batch costs nearly the same however many records it has, so that more of them are faster, until their alerts would
# come late. 200,000 take 0.6 s on 2 cores, 800,000 1.7 s; with the histories of a million users twice as long.
_SOON_S, _LATE_S = 2.0, 4.0


class BatchSize:
    """`records` of the next batch at most: from `least` on twice as many after a full one that took under two seconds,
    up to `most`; half as many after one of over four. The first, for which everything starts, takes longer than that:
    its alerts come no later."""

    def __init__(self, least: int, most: int) -> None:
        """`most` below `least` lets it be."""
        self.records = self._least = least
        self._most = max(least, most)
        self._began: float | None = None

    def begin(self, now: float, *, full: bool) -> None:
        """A batch begins, at `now` seconds of any clock; `full` if there are more records than it may have."""
        self._began = now if full else None

    def end(self, now: float) -> None:
        """The batch that has begun, if one has, is done."""
        if self._began is None:
            return
        seconds, self._began = now - self._began, None
        if seconds < _SOON_S:
            self.records = min(2 * self.records, self._most)
        elif seconds > _LATE_S:
            self.records = max(self.records // 2, self._least)
