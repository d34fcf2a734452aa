"""What an event costs by the number of users, all with whole histories from the first event on, by the size of
micro-batches and by the number of buckets that share a rule's state."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from math import inf
from pathlib import Path
from typing import Any

from fraudstream.bench.dataset import DataSet, columns
from fraudstream.bench.figures import spread
from fraudstream.bench.processes import Command
from fraudstream.bench.race import failures_of, race
from fraudstream.bench.systems import System, Task, our, spark_environment
from fraudstream.bench.tables import Table, whole
from fraudstream.bench.topics import Topic, serving
from fraudstream.bench.truth import expected
from fraudstream.check.resources import MIB
from fraudstream.check.timeline import percentiles
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.queries import progress_lines

_RULE = "anomaly"
# A first batch of a million users reads 400 MB of histories before its first alert.
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Case:
    """How many users, buckets, and events in a micro-batch at most; how many events in all, and how often."""

    users: int
    buckets: int
    batch: int
    events: int
    runs: int = 1

    @property
    def name(self) -> str:
        """The step's name."""
        return f"{self.users:,} users, {self.buckets:,} buckets, {self.batch:,} a batch"

    @property
    def data(self) -> DataSet:
        """Its events."""
        return DataSet(users=self.users, events=self.events)


TITLE = "Growth with whole histories"
_LARGE, _SMALL = 500_000, 20_000
# Of the events; before, the compilers work, and each number of users would have another share of that.
_WARM = 0.4
# A million users do not fit into the usual 2 buckets: with state values of 193 MiB each the driver's 3 GB of heap were
# full in the second batch.
# The first and the last of the large ones are compared with each other, so they are run three times.
_CASES = (
    *(Case(9_000, buckets, _LARGE, 5_000_000, runs=3) for buckets in (2, 16, 64)),
    *(Case(100_000, buckets, _LARGE, 5_000_000) for buckets in (2, 16, 64)),
    *(Case(1_000_000, buckets, _LARGE, 5_000_000, runs=3) for buckets in (16, 64, 1024)),
    *(Case(users, buckets, _SMALL, 500_000) for users in (9_000, 100_000) for buckets in (2, 16, 64)),
    *(Case(1_000_000, buckets, _SMALL, 500_000) for buckets in (16, 64, 1024)),
)
STEPS: Mapping[str, Case] = {case.name: case for case in _CASES}


def measure(home: Path, case: Case) -> dict[str, Any]:
    """The figures of a race (race.race) of the anomaly rule over envelopes, with those of `of_batches`, the case
    itself, seed_mib (the histories as they are kept at the begin), mib_per_million_users of them, bases (files of
    histories that a bucket has written), and `failures` in words. Of several runs as `middle` says."""
    with serving(home, case.data) as (settings, kept):
        from fraudstream.bench.known import amounts  # here and below: it loads Spark, which plans and tests do not need

        topic = Topic(kept.data, expected(columns(kept.data), earlier=amounts))
        races = [race(settings, _system(case), topic, _PATIENCE_S) for _ in range(case.runs)]
    found = middle(races)
    histories = found["seed_mib"]
    return {**asdict(case), **found, "mib_per_million_users": round(histories * 1e6 / case.users)}


def middle(races: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of the race with the median cost of an event, us_spread of all, and the failures of all."""
    ranked = sorted(races, key=lambda each: each["us_per_event"] or inf)
    found = {name: value for name, value in ranked[(len(ranked) - 1) // 2].items() if name != "progress"}
    failures = [failure for each in races for failure in failures_of(each)]
    return {**found, "us_spread": spread(each["us_per_event"] for each in races), "failures": failures}


def _system(case: Case) -> System:
    """detect_fraud, its checkpoint prepared such that all users of the case have their histories."""
    batch = {"kafka__source__maxOffsetsPerTrigger": str(case.batch), "kafka__largest_batch": case.batch}
    usual = our(_RULE, _RULE, **batch, state__buckets=case.buckets)

    def start(task: Task) -> Command:
        from fraudstream.bench.known import prepare

        command = usual.start(task)  # which writes the files that are read here
        (rule,) = load_rules(task.folder / "rules.yaml")
        prepare(_pipeline(task), rule, case.data.user_ids)
        return command

    def figures(task: Task) -> dict[str, Any]:
        pipeline = _pipeline(task)
        seeds, bases = (
            [path for path in Path(pipeline.checkpoint(_RULE), name).rglob("*") if path.is_file()]
            for name in ("seeds", "bases")
        )
        return {
            "seed_mib": round(sum(path.stat().st_size for path in seeds) / MIB, 1),
            "bases": round(len(bases) / case.buckets, 1),
            **of_batches(progress_lines(pipeline.progress, _RULE)),
        }

    return replace(usual, start=start, figures=figures)


def _pipeline(task: Task) -> Pipeline:
    return load_pipeline(task.folder / "pipeline.yaml", {**os.environ, **spark_environment(task)})


def of_batches(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """batches (their number), first_batch_ms, and of those that begin when 40 % of the events are judged: batch_ms
    (percentiles) and us_per_event, without a rest of less than half a batch; state_mib that the last one said Spark
    holds in memory. None where there was no batch."""
    known = [line for line in lines if line.get("duration_ms") is not None]
    most = max((line["read"] for line in known), default=0)
    before = list(accumulate((line["read"] for line in known), initial=0))
    later = [
        line for line, judged in zip(known, before, strict=False)
        if judged >= _WARM * before[-1] and 2 * line["read"] >= most
    ]  # fmt: skip
    read, lasted = (sum(line[name] for line in later) for name in ("read", "duration_ms"))
    return {
        "batches": len(known),
        "first_batch_ms": known[0]["duration_ms"] if known else None,
        "batch_ms": percentiles([line["duration_ms"] for line in later]),
        "us_per_event": round(lasted * 1000 / read, 2) if read else None,
        "state_mib": round(known[-1]["state_bytes"] / MIB, 1) if known else None,
    }


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The results for a reader."""
    header = ["users", "buckets", "a batch", "events", "steady/s", "us/event", "min", "max", "CPU s/M", "batch p50 ms",
              "first ms", "MiB", "histories MiB", "MiB/M users", "bases", "alerts", "verdict"]  # fmt: skip
    rows = [
        [each["users"], each["buckets"], each["batch"], each["events"], whole(each["steady_per_s"]),
         each["us_per_event"], *((each["us_spread"] or {}).get(name) for name in ("min", "max")),
         each["cpu_s_per_million"], each["batch_ms"]["p50"], each["first_batch_ms"], each["rss_mib"],
         each["seed_mib"], each["mib_per_million_users"], each["bases"], each["alerts"],
         "failed" if each["failures"] else "equal"]
        for each in found.values()
    ]  # fmt: skip
    caption = (
        "The anomaly rule over envelopes, of users that all have 50 known amounts before the first event. us/event and "
        "batch: of the batches from 40 % of the events on, of the run in the middle where there were three. MiB: the "
        "greatest sum of all its processes, of which the driver's heap has 3 GB at most. Histories: as they lie on the "
        "disk at the begin; a batch has those of its own users in memory. Bases: files of histories that a bucket has "
        "written, the first of them with the first batch; 0: its state value has them. A base is written anew when a "
        "16th of its rows has come, which takes 312,500 events of 100,000 users and 3,125,000 of a million: where "
        "bases is 1, that work is in no figure."
    )
    return Table(TITLE, header, rows, caption)
