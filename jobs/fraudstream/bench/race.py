"""One race: a system started on a topic, watched from outside until all alerts are there, measured and ended."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from fraudstream.bench import topics
from fraudstream.bench.figures import Alert, Sightings, drawn, speed
from fraudstream.bench.install import classes_of, python_of
from fraudstream.bench.ours import rule_of
from fraudstream.bench.processes import Meter, kill_in, program
from fraudstream.bench.systems import RAW_READ, System, Task, raw_read
from fraudstream.bench.topics import Topic
from fraudstream.check.children import Child
from fraudstream.errors import FraudstreamError
from fraudstream.stack import kafka
from fraudstream.stack.settings import StackSettings

# For the whole race: that much of the patience, and what a system takes that is slower than any known one.
_PATIENCES, _SLOWEST_PER_S = 5, 2000
_SETTLING_S = 2.0
_SAMPLE_S = 0.5
_WAIT_S = 0.25


def race(settings: StackSettings, system: System, topic: Topic, patience_s: float) -> dict[str, Any]:
    """A system is given up when nothing has come for `patience_s` seconds, or after `limit_s`.

    The figures of one run (figures.speed, Sightings.compared, cpu_s_per_million, rss_mib, progress, the system's own),
    and `failed`: why it did not find all alerts, None if it did."""
    truth = {rule: topic.truth[rule_of(rule)] for rule in system.rules}
    sightings, meter, failed = Sightings(truth), Meter(), None
    with _task(settings, system, topic) as task, closing(_consumer(settings, task.alerts)) as consumer:
        command, began = system.start(task), time.time()
        try:
            with program(system.name, command, task.log, task.folder) as child:
                _watch(consumer, child, sightings, meter, patience_s, topic.data.events)
        except (FraudstreamError, KafkaException) as error:
            failed = str(error)
        more = system.figures(task) if system.figures else {}
    at, judged = sightings.progress()
    return {
        **speed(at, judged, topic.data.events, began, sightings.complete), **_cost(meter, topic),
        **sightings.compared(), **more, "failed": failed, "progress": drawn(at, judged, began),
    }  # fmt: skip


def limit_s(events: int, patience_s: float) -> float:
    """Seconds after which a race over so many events is given up although alerts still come."""
    return _PATIENCES * patience_s + events / _SLOWEST_PER_S


def failures_of(found: Mapping[str, Any]) -> list[str]:
    """What is wrong with a race, in words."""
    wrong = f"{found['missing']:,} alerts missing, {found['extra']:,} too much, like {found['examples']}"
    return [*([found["failed"]] if found["failed"] else []), *([] if found["equal"] else [wrong])]


def race_raw_read(
    settings: StackSettings, topic: Topic, patience_s: float, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """As `race`, of Spark reading the topic and nothing else, which has no alerts; `changes` of conf/pipeline.yaml."""
    meter, failed, limit = Meter(), None, limit_s(topic.data.events, patience_s)
    with _task(settings, None, topic) as task:
        result, points = task.folder / "batches.json", np.zeros((0, 2))
        command, began = raw_read(task, result, changes or {}), time.time()
        try:
            with program(RAW_READ, command, task.log, task.folder) as child:
                while not child.ended_well():
                    meter.read(child.process.pid)
                    if time.time() - began > limit:
                        raise FraudstreamError(f"it was not done after {limit:.0f} s; see {child.log}.")
                    time.sleep(_SAMPLE_S)
            points = np.array(json.loads(result.read_text(encoding="utf-8"))).reshape(-1, 2)
        except FraudstreamError as error:
            failed = str(error)
    at, read = points[:, 0], points[:, 1]
    complete = len(read) > 0 and read[-1] == topic.data.events
    if not complete and failed is None:
        failed = f"it read {int(read[-1]) if len(read) else 0:,} of {topic.data.events:,} records"
    figures = {**speed(at, read, topic.data.events, began, complete), **_cost(meter, topic)}
    return {**figures, "failed": failed, "progress": drawn(at, read, began)}


def _watch(
    consumer: Consumer, child: Child, sightings: Sightings, meter: Meter, patience_s: float, events: int
) -> None:  # fmt: skip
    """Take every alert until all have come, and a little longer for those that must not. Raises FraudstreamError
    saying why it must be given up."""
    limit = limit_s(events, patience_s)
    began = heard = time.monotonic()
    sampled, finished = 0.0, None
    while finished is None or time.monotonic() - finished < _SETTLING_S:
        for message in consumer.consume(10_000, _WAIT_S):
            if message.error():
                continue
            sightings.add(_alert(message.value()), message.timestamp()[1] / 1000)
            heard = time.monotonic()
        now = time.monotonic()
        if finished is None and (sightings.complete or now - sampled >= _SAMPLE_S):
            meter.read(child.process.pid)
            sampled, finished = now, now if sightings.complete else None
        if finished is not None:
            continue
        if child.process.poll() is not None:
            raise FraudstreamError(f"it ended with exit code {child.process.returncode}: {child.last_words()}")
        if now - heard > patience_s:
            raise FraudstreamError(f"nothing came for {patience_s:.0f} s; see {child.log}.")
        if now - began > limit:
            raise FraudstreamError(f"it was not done after {limit:.0f} s; see {child.log}.")


def _alert(value: bytes | None) -> Alert:
    """Rule and transaction of an alert in our own form or in the peers', who have one rule."""
    try:
        found = json.loads(value or b"")
        return found.get("rule", "anomaly"), int(found["transaction_id"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise FraudstreamError(f"it wrote an alert that is none: {(value or b'')[:200]!r}") from None


def _cost(meter: Meter, topic: Topic) -> dict[str, float]:
    return {
        "cpu_s_per_million": round(meter.cpu_s / topic.data.events * 1e6, 2),
        "rss_mib": round(meter.rss_mib),
    }  # fmt: skip


def _consumer(settings: StackSettings, alerts: str) -> Consumer:
    """At the beginning of the topic of alerts; of what is written in transactions it sees what was committed."""
    consumer = Consumer({
        **kafka.client(settings), "group.id": f"watch-{alerts}", "isolation.level": "read_committed",
        "enable.auto.commit": False, "fetch.wait.max.ms": 100,
    })  # fmt: skip
    consumer.assign([TopicPartition(alerts, 0, OFFSET_BEGINNING)])
    return consumer


@contextmanager
def _task(settings: StackSettings, system: System | None, topic: Topic) -> Iterator[Task]:
    """A folder, a group and a topic of alerts for one run; afterwards nothing of it is left but its log."""
    name = system.name if system else RAW_READ
    group = f"{name}-{time.time_ns() // 1_000_000}"
    folder = settings.home / "race"
    kill_in(folder)  # of a run that was killed
    shutil.rmtree(folder, ignore_errors=True)
    for each in (folder / "state", settings.home / "logs"):
        each.mkdir(parents=True, exist_ok=True)
    topics.make_alerts_topic(settings, f"alerts-{group}")
    try:
        yield Task(
            settings=settings, topic=topic.name, form=topic.data.form, alerts=f"alerts-{group}", group=group,
            folder=folder, log=settings.home / "logs" / f"{group}.log",
            python=python_of(settings.home, system) if system else Path(),
            classes=classes_of(settings.home, system) if system else Path(),
        )  # fmt: skip
    finally:
        kill_in(folder)
        topics.delete_others(settings)
        shutil.rmtree(folder, ignore_errors=True)
