"""How long an alert takes after the commit of its change, in all and by stage: capture, broker, waiting, rule. Times of
records are those at which the broker took them, where it stamps them (stack.kafka.stamp_arrivals)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
STAGES = {
    "commit_to_capture": "commit to Debezium's reading",
    "capture_to_topic": "to the topic's log",
    "topic_to_batch": "to its batch's begin",
    "batch_to_work": "planning",
    "work_to_alert": "read, rule and sink",
}
"""The stages in their order, with their names in a report. A record is in the log before its transaction is committed
there, and nobody may read it until then: that is part of the wait for a batch. Rule and sink are one stage, since a
task sends its alerts while it judges; Spark times both together (addBatch)."""
BEFORE_WORK = ("latestOffset", "walCommit", "getBatch", "queryPlanning")
"""Spark's stages of a micro-batch until its tasks are started."""
_KEPT = 500_000


class Stamps:
    """When the topic's last records came into it, by place; of each partition half a million at least."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[array[int], array[float]]] = {}

    def note(self, partition: int, offset: int, at: float) -> None:
        """A record that Kafka stamped with `at` (epoch ms); the partition's offsets grow."""
        offsets, times = self._places.setdefault(partition, (array("q"), array("d")))
        offsets.append(offset)
        times.append(at)
        if len(offsets) >= 2 * _KEPT:
            del offsets[:_KEPT], times[:_KEPT]

    def of(self, partition: int, offset: int) -> float:
        """The record's stamp; NaN for one that was not noted, or long ago."""
        offsets, times = self._places.get(partition, (array("q"), array("d")))
        place = int(np.searchsorted(np.frombuffer(offsets, np.int64), offset)) if offsets else 0
        return times[place] if place < len(offsets) and offsets[place] == offset else np.nan

    def has_come_to(self, partition: int, offset: int) -> bool:
        """Whether the record, or a later one of its partition, was noted."""
        offsets, _ = self._places.get(partition, (array("q"), array("d")))
        return bool(offsets) and offsets[-1] >= offset


@dataclass(frozen=True)
class Batch:
    """When a micro-batch began and when, planned, its work did (epoch ms), and behind which offset of each partition it
    ended."""

    began: float
    worked: float
    ends: Mapping[int, int]


@dataclass
class Latencies:
    """One entry per alert (its first copy): when it was in Kafka (epoch ms), and ms from the commit to it."""

    at: array[float] = field(default_factory=lambda: array("d"))
    total: array[float] = field(default_factory=lambda: array("d"))
    capture: array[float] = field(default_factory=lambda: array("d"))
    """Of these, ms from the commit until Debezium had read the change."""
    arrived: array[float] = field(default_factory=lambda: array("d"))
    """When the change was in its topic (epoch ms)."""
    partition: array[int] = field(default_factory=lambda: array("q"))
    offset: array[int] = field(default_factory=lambda: array("q"))
    copies: int = 0
    seen: set[str] = field(default_factory=set)
    early: list[int] = field(default_factory=list)
    """Places of those that were read before their record."""

    def add(self, alert: Mapping[str, Any], at: int, stamps: Stamps | None = None) -> None:
        """Note an alert that Kafka stamped with `at` (epoch ms); `stamps` are those of its topic."""
        if alert["alert_id"] in self.seen:
            self.copies += 1
            return
        self.seen.add(alert["alert_id"])
        committed = epoch_ms(alert["committed_at"])
        captured = epoch_ms(alert["captured_at"])
        place = alert["partition"], alert["offset"]
        self.at.append(at)
        self.total.append(at - committed if committed is not None else np.nan)
        self.capture.append(captured - committed if captured is not None and committed is not None else np.nan)
        self.arrived.append(stamps.of(*place) if stamps else np.nan)
        self.partition.append(place[0])
        self.offset.append(place[1])
        if stamps and not stamps.has_come_to(*place):
            self.early.append(len(self.at) - 1)

    def meet(self, stamps: Stamps) -> None:
        """Look again for the records of alerts that were read before them: nothing says which topic is read first."""
        waiting, self.early = self.early, []
        for number in waiting:
            place = self.partition[number], self.offset[number]
            self.arrived[number] = stamps.of(*place)
            if not stamps.has_come_to(*place):
                self.early.append(number)

    def committed(self) -> Numbers:
        """When each alert's change was committed, in epoch seconds."""
        found: Numbers = (np.array(self.at) - np.array(self.total)) / 1000
        return found

    def between(self, begin: float, end: float) -> Numbers:
        """The latencies of the alerts on changes committed in [begin, end), in epoch seconds."""
        committed = self.committed()
        chosen: Numbers = np.array(self.total)[(committed >= begin) & (committed < end)]
        return chosen

    def latest(self, begin: float) -> Numbers:
        """The latencies since `begin` (epoch seconds), looked for from the end."""
        first = len(self.at)
        while first and self.at[first - 1] >= begin * 1000:
            first -= 1
        chosen: Numbers = np.array(self.total[first:])
        return chosen[~np.isnan(chosen)]


def stages(alerts: Latencies, batches: Sequence[Batch], window: tuple[float, float]) -> dict[str, int | None]:
    """Median ms of each of STAGES, of the alerts on changes committed in the window (epoch seconds) of which all is
    known; they need not add up to the median of the whole. Without batches (a rule in real time) nothing waits for one
    or is planned (None), and what follows the topic is all `work_to_alert`."""
    at, total, capture, arrived = (
        np.array(each) for each in (alerts.at, alerts.total, alerts.capture, alerts.arrived)
    )  # fmt: skip
    captured = at - total + capture
    began, worked = _begun(alerts, batches) if batches else (arrived, arrived)
    durations = (capture, arrived - captured, began - arrived, worked - began, at - worked)
    committed = alerts.committed()
    chosen = (committed >= window[0]) & (committed < window[1]) & ~np.isnan(sum(durations))
    if not chosen.any():
        return dict.fromkeys(STAGES)
    found: dict[str, int | None] = {
        name: round(float(np.median(each[chosen]))) for name, each in zip(STAGES, durations, strict=True)
    }
    return found if batches else {**found, "topic_to_batch": None, "batch_to_work": None}


def since_record(alerts: Latencies, window: tuple[float, float]) -> Numbers:
    """ms from the record's stamp in its topic to the alert's, of the alerts on changes committed in the window (epoch
    seconds) whose record was seen."""
    committed, waited = alerts.committed(), np.array(alerts.at) - np.array(alerts.arrived)
    chosen: Numbers = waited[(committed >= window[0]) & (committed < window[1]) & ~np.isnan(waited)]
    return chosen


def _begun(alerts: Latencies, batches: Sequence[Batch]) -> Numbers:
    """When each alert's batch began and when its work did, epoch ms, in two rows; NaN for a batch that is not known."""
    partitions, offsets = np.array(alerts.partition), np.array(alerts.offset)
    moments = np.array([*((batch.began, batch.worked) for batch in batches), (np.nan, np.nan)]).T
    found: Numbers = np.full((2, len(offsets)), np.nan)
    for partition in np.unique(partitions):
        ends = np.array([batch.ends.get(int(partition), 0) for batch in batches])
        own = partitions == partition
        found[:, own] = moments[:, np.searchsorted(ends, offsets[own], side="right")]
    return found


def epoch_ms(text: str | None) -> float | None:
    """Epoch milliseconds of "2026-11-23T06:41:51.123Z"; None for None."""
    return None if text is None else datetime.fromisoformat(text).timestamp() * 1000
