"""A running pipeline as numbers, read where each is exact: committed from the ledger, captured and alerts by counting
the topics' records, processed from the queries' progress."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaError, TopicPartition

from fraudstream.check.latency import BEFORE_WORK, Batch, Latencies, Stamps, epoch_ms
from fraudstream.check.topic import consumer_settings, partitions_of
from fraudstream.config import Pipeline
from fraudstream.errors import StackError

ARCHIVE = "archive_alerts"
MIRROR = "mirror_transactions"
RECENT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Totals since the run began; `at` in epoch seconds, latencies (p50, p95) in ms of the last 10 s."""

    at: float
    inserts: int
    updates: int
    deletes: int
    captured: int
    read: Mapping[str, int]
    alerts: Mapping[str, int]
    quarantined: int
    latency: Mapping[str, tuple[float, float]]

    @property
    def committed(self) -> int:
        """Committed changes of rows."""
        return self.inserts + self.updates + self.deletes

    def behind(self, query: str) -> int:
        """Records of the query's topic that it has not processed."""
        end = sum(self.alerts.values()) if query == ARCHIVE else self.captured
        return max(0, end - self.read.get(query, 0))


class Tail:
    """The new lines of a file that grows; a line without its end is left for later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def new_lines(self) -> list[bytes]:
        """Complete lines since the last call; none while there is no file."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                text = file.read()
        except FileNotFoundError:
            return []
        complete = text[: text.rfind(b"\n") + 1]
        self._position += len(complete)
        return complete.splitlines()


class Progress:
    """A query's batches, the newest line of each counting, summed as they come."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._batches: dict[int, tuple[float, dict[str, int]]] = {}
        self.sums: dict[str, int] = {}
        self.durations: list[tuple[float, float, int]] = []
        """(epoch seconds, ms, records) per batch."""
        self.last: dict[str, Any] = {}
        """The line that was written last."""
        self.begun: list[Batch] = []
        """The batches whose begin is known."""
        self._forgotten = 0

    @property
    def batches(self) -> int:
        """Number of batches committed."""
        return self._forgotten + len(self._batches)

    def forget(self, keep: int) -> None:
        """Keep the sums, and of single batches the last ones: a line that repeats a batch comes soon after it."""
        for batch in list(self._batches)[: max(0, len(self._batches) - keep)]:
            del self._batches[batch]
            self._forgotten += 1
        del self.durations[:-keep], self.begun[:-keep]

    def recent(self, name: str, since: float) -> int:
        """The sum of a count over the batches told of since then (epoch seconds) that are not forgotten."""
        return sum(counts.get(name, 0) for at, counts in self._batches.values() if at >= since)

    def update(self) -> None:
        """Read what is new."""
        for text in self._tail.new_lines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue  # cut short by a crash, and ended by the next line; its batch is counted again
            counts = {name: line[name] for name in _COUNTS if line.get(name) is not None}
            _, former = self._batches.get(line["batch_id"], (0.0, {}))
            for name in counts.keys() | former.keys():
                self.sums[name] = self.sums.get(name, 0) + counts.get(name, 0) - former.get(name, 0)
            self._batches[line["batch_id"]] = line["at"], counts
            self.last = line
            if line.get("duration_ms") is not None:
                self.durations.append((line["at"], line["duration_ms"], counts.get("read", 0)))
            if (began := epoch_ms(line.get("began_at"))) is not None:
                worked = began + sum(line["stages_ms"].get(stage, 0) for stage in BEFORE_WORK)
                self.begun.append(Batch(began, worked, {int(number): end for number, end in line["end"].items()}))


_COUNTS = (
    "read", "judged", "history", "corrected", "unjudged", "unreadable", "ignored", "redelivered", "superseded",
    "not_kept", "uncorrected", "alerts",
)  # fmt: skip


class Observer:
    """Listens to both topics and reads ledger and progress; `close` it."""

    def __init__(self, pipeline: Pipeline, rules: Sequence[str], ledger: Path) -> None:
        self._topics = pipeline.kafka.transactions_topic, pipeline.kafka.alerts_topic
        self._consumer = Consumer(
            _light(consumer_settings(pipeline.kafka.bootstrap_servers, pipeline.kafka.client_options))
        )
        self._assigned = [TopicPartition(t, n, 0) for t in self._topics for n in partitions_of(self._consumer, t)]
        self._consumer.assign(self._assigned)
        self._ends: dict[tuple[str, int], int] = {}
        self._ledger = Tail(ledger)
        self._committed = {b'["c",': 0, b'["u",': 0, b'["d",': 0}
        self.captured = 0
        self._stamps = Stamps()
        self.alerts: dict[str, Latencies] = {rule: Latencies() for rule in rules}
        self.progress = {name: Progress(Path(pipeline.progress, f"{name}.jsonl")) for name in (*rules, MIRROR, ARCHIVE)}

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def listen(self, seconds: float) -> None:
        """Take in what the topics bring during this time. Raises StackError when the broker reports an error."""
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            for message in self._consumer.consume(10_000, timeout=min(left, 0.25)):
                self._take(message)
        for alerts in self.alerts.values():
            alerts.meet(self._stamps)

    def _take(self, message: Any) -> None:
        error, topic = message.error(), message.topic()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._ends[topic, message.partition()] = message.offset()
            elif error.fatal() or not error.retriable():
                raise StackError(f"topic {topic}: {error.str()}; see the broker's log.")
        elif topic == self._topics[0]:
            self.captured += 1
            self._stamps.note(message.partition(), message.offset(), message.timestamp()[1])
        else:
            alert = json.loads(message.value())
            self.alerts.setdefault(alert["rule"], Latencies()).add(alert, message.timestamp()[1], self._stamps)

    def at_the_end(self) -> bool:
        """Whether all that both topics hold now has been taken in."""
        for place in self._assigned:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=10)
            if end > 0 and self._ends.get((place.topic, place.partition), 0) < end:
                return False
        return True

    def sample(self) -> Sample:
        """The totals of now."""
        for line in self._ledger.new_lines():
            for change in self._committed:
                self._committed[change] += line.count(change)
        for each in self.progress.values():
            each.update()
        now = time.time()
        recent = {rule: each.latest(now - RECENT_S) for rule, each in self.alerts.items()}
        inserts, updates, deletes = self._committed.values()
        return Sample(
            at=now, inserts=inserts, updates=updates, deletes=deletes, captured=self.captured,
            read={query: each.sums.get("read", 0) for query, each in self.progress.items()},
            alerts={rule: len(each.at) + each.copies for rule, each in self.alerts.items()},
            quarantined=self.progress[MIRROR].sums.get("unreadable", 0),
            latency={rule: (float(np.percentile(each, 50)), float(np.percentile(each, 95)))
                     for rule, each in recent.items() if len(each)},
        )  # fmt: skip


def _light(settings: dict[str, Any]) -> dict[str, Any]:
    # Fewer, larger answers: the observer shares the cores with what it observes.
    return {**settings, "fetch.wait.max.ms": 500, "fetch.min.bytes": 1_048_576, "log_level": 3}
