"""What each setting of conf/ is worth: left out alone, while a topic is replayed by either reader, while it is only
read, and live."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fraudstream.bench import latency
from fraudstream.bench.dataset import DataSet
from fraudstream.bench.figures import spread
from fraudstream.bench.ours import JAVA_OPTIONS, SPARK_DEFAULTS, java_options, write_rules
from fraudstream.bench.race import failures_of, race, race_raw_read
from fraudstream.bench.systems import SUBMIT_ARGUMENTS, our, submit_arguments
from fraudstream.bench.tables import Table
from fraudstream.bench.topics import serving
from fraudstream.stack.settings import StackSettings

Kind = Literal["replay", "built-in replay", "raw read", "live", "built-in live"]
RUNS = 3
_RULE = "anomaly"
# Chance puts one setting in ten that is worth nothing wholly to one side in three runs of three; the more so with the
# two figures of each.
_LEAST = 1.03
_BETWEEN = 5
_EVENTS = 3_000_000
_PATIENCE_S = 120.0
_SECONDS = 120
_FIGURES = ("time", "cpu")
_STATE = "spark.sql.streaming.stateStore.rocksdb."
_CHECKPOINTS = "org.apache.spark.sql.execution.streaming.checkpointing.FileContextBasedCheckpointFileManager"


def _without_java(*options: str) -> dict[str, str]:
    return {JAVA_OPTIONS: java_options(SPARK_DEFAULTS, *options)}


@dataclass(frozen=True)
class Variant:
    """What is left out, and what stands in its place: values of conf/pipeline.yaml and Spark's."""

    without: str
    pipeline: Mapping[str, Any] = field(default_factory=dict)
    spark: Mapping[str, str] = field(default_factory=dict)


AS_IT_IS = Variant("nothing")
_CHANGELOG = Variant("changelog checkpoints", spark={f"{_STATE}changelogCheckpointing.enabled": "false"})
_BY_FILE_SYSTEM = Variant(
    "checkpoints by FileSystem", spark={"spark.sql.streaming.checkpointFileManagerClass": _CHECKPOINTS}
)
_COUNTED = {f"{_STATE}trackTotalNumberOfRows": "true"}
_ADAPTIVE = {"spark.sql.adaptive.enabled": "true"}
_SMALL = {"spark.sql.execution.arrow.maxRecordsPerBatch": "10000"}
_COLLECTOR, _HUGE = ("-XX:+UseParallelGC", "-Xmn"), "-XX:-DontCompileHugeMethods"
_UNSEEN = Variant(
    "what no replay shows, together", spark={**_COUNTED, **_ADAPTIVE, **_SMALL, **_without_java(*_COLLECTOR, _HUGE)}
)
_BATCH = "kafka.source.maxOffsetsPerTrigger"
# What a kind has that conf/ has not: the other reader, and batches as large as the columnar one's become.
USUAL: Mapping[Kind, Mapping[str, Any]] = {
    "replay": {}, "built-in replay": {_BATCH: "800000", "kafka.reader": "built-in"}, "raw read": {}, "live": {},
    "built-in live": {"kafka.reader": "built-in"},
}  # fmt: skip
VARIANTS: Mapping[Kind, Sequence[Variant]] = {
    "replay": (
        Variant("columnar reader", {"kafka.reader": "built-in"}),
        Variant("batches that grow", {"kafka.largest_batch": 1}),
        Variant("few buckets", {"state.buckets": 16}),
        Variant("a partition for each core", {"state.partitions": 4, "state.buckets": 4}),
        Variant("fixed plans", spark=_ADAPTIVE),
        Variant("3 GB for the driver", spark={"spark.driver.memory": "2g"}),
        Variant("ParallelGC and -Xmn1g", spark=_without_java(*_COLLECTOR)),
        Variant("compiling huge methods", spark=_without_java(_HUGE)),
        Variant("not counting rows of state", spark=_COUNTED),
        Variant("late optimising compiler", spark=_without_java("-XX:Tier4")),
        _CHANGELOG, _BY_FILE_SYSTEM,
    ),
    "built-in replay": (
        # The columnar reader hands over a few packed rows, however large a batch of them may be.
        Variant("large Arrow batches", spark=_SMALL),
    ),
    "raw read": (
        Variant("records of a poll", {"kafka.source.kafka.max.poll.records": "500"}),
        Variant("bytes of a partition", {"kafka.source.kafka.max.partition.fetch.bytes": "1048576"}),
        Variant("bytes of a fetch", {"kafka.source.kafka.fetch.max.bytes": "52428800"}),
    ),
    # A run takes four minutes: what a batch of few rows can show.
    "live": (
        Variant("no batches without data", spark={"spark.sql.streaming.noDataMicroBatches.enabled": "true"}),
        Variant("FAIR scheduler", spark={"spark.scheduler.mode": "FIFO"}),
        Variant("slow polling of idle queries", spark={"spark.sql.streaming.pollingDelay": "10ms"}),
        Variant("large cache of generated code", spark={"spark.sql.codegen.cache.maxEntries": "100"}),
        Variant("plain cached batches", spark={"spark.sql.inMemoryColumnarStorage.compressed": "true"}),
        Variant("one snapshot partition of Delta", spark={"spark.databricks.delta.snapshotPartitions": "50"}),
        _CHANGELOG, _BY_FILE_SYSTEM, _UNSEEN,
    ),
    "built-in live": (
        # The columnar reader has a wait of its own.
        Variant("short fetch wait", {"kafka.source.kafka.fetch.max.wait.ms": "500"}),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run of a variant."""

    kind: Kind
    variant: Variant
    run: int

    @property
    def name(self) -> str:
        """The step's name."""
        return f"{self.kind} without {self.variant.without}, run {self.run}"

    @property
    def pipeline(self) -> dict[str, Any]:
        """Values over those of conf/pipeline.yaml."""
        return {**USUAL[self.kind], **self.variant.pipeline}


def _rounds(kind: Kind) -> Iterator[Case]:
    """The cases of a kind. They take turns, so that an hour in which the machine is slow is no variant's alone, and
    conf/ as it is comes again behind every few of them: within a round the speed changed by a fifth."""
    variants = VARIANTS[kind]
    parts = [variants[at : at + _BETWEEN] for at in range(0, len(variants), _BETWEEN)]
    for run in range(RUNS):
        for place, part in enumerate(parts):
            yield Case(kind, AS_IT_IS, run * len(parts) + place + 1)
            yield from (Case(kind, variant, run + 1) for variant in part)


STEPS: Mapping[str, Case] = {case.name: case for kind in VARIANTS for case in _rounds(kind)}


def measure(user: StackSettings, home: Path, case: Case) -> dict[str, Any]:
    """kind, without, run; `time` and `cpu`, of which less is better (of a replay and a read: us an event, steady, and
    CPU seconds per million events; live: ms from commit to velocity's alert, median, and the share of the CPU that was
    busy); None where nothing was seen. `failures` in words."""
    found = _MEASURES[case.kind](user, home, case)
    return {"kind": case.kind, "without": case.variant.without, "run": case.run, **found}


def _replay(user: StackSettings, home: Path, case: Case) -> dict[str, Any]:
    system = our("ablation", _RULE, spark=case.variant.spark, **case.pipeline)
    with serving(home, DataSet(events=_EVENTS)) as (settings, topic):
        found = race(settings, system, topic, _PATIENCE_S)
    return _of_race(found, failures_of(found))


def _raw_read(user: StackSettings, home: Path, case: Case) -> dict[str, Any]:
    with serving(home, DataSet(events=_EVENTS)) as (settings, topic):
        found = race_raw_read(settings, topic, _PATIENCE_S, case.pipeline)
    return _of_race(found, [found["failed"]] if found["failed"] else [])


def _of_race(found: Mapping[str, Any], failures: list[str]) -> dict[str, Any]:
    steady = found["steady_per_s"]
    return {
        "time": round(1e6 / steady, 3) if steady else None, "cpu": found["cpu_s_per_million"],
        "failures": failures,
    }  # fmt: skip


def _live(user: StackSettings, home: Path, case: Case) -> dict[str, Any]:
    folder = home / "ablation"
    folder.mkdir(parents=True, exist_ok=True)
    write_rules(folder / "rules.yaml", latency.RULES, latency.PARAMETERS)
    with _spark(case.variant.spark):
        found, _ = latency.measured(user, folder, folder / "rules.yaml", _SECONDS, case.pipeline)
    idle = found["idle_share"]
    return {
        "time": found["rules"]["velocity"]["latency_ms"]["p50"],
        "cpu": None if idle is None else round(1 - idle, 3), "failures": found["failures"],
    }  # fmt: skip


_MEASURES: Mapping[Kind, Callable[[StackSettings, Path, Case], dict[str, Any]]] = {
    "replay": _replay, "built-in replay": _replay, "raw read": _raw_read, "live": _live,
    "built-in live": _live,
}  # fmt: skip


@contextmanager
def _spark(settings: Mapping[str, str]) -> Iterator[None]:
    """Spark settings for the drivers that the block starts."""
    before = os.environ.get(SUBMIT_ARGUMENTS)
    os.environ[SUBMIT_ARGUMENTS] = submit_arguments(settings)
    try:
        yield
    finally:
        if before is None:
            del os.environ[SUBMIT_ARGUMENTS]
        else:
            os.environ[SUBMIT_ARGUMENTS] = before


def compared(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """An entry per variant: kind, without, runs, the spread of time and cpu, and the verdict on the setting that it
    leaves out: "helps" where without it every run took longer, or more CPU, than each with it, and the median 3 % more;
    "costs" the other way round; both where time and CPU differ in that; else "within the noise"; None of nothing left
    out, and where not all RUNS of both were sound."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for each in found.values():
        groups[each["kind"], each["without"]].append(each)
    entries = [
        {"kind": kind, "without": without, "runs": len(group), "failed": any(each["failures"] for each in group),
         **{name: spread(each[name] for each in group) for name in _FIGURES}}
        for (kind, without), group in groups.items()
    ]  # fmt: skip
    usual = {entry["kind"]: entry for entry in entries if entry["without"] == AS_IT_IS.without}
    for entry in entries:
        is_usual = entry["without"] == AS_IT_IS.without
        entry["verdict"] = None if is_usual else _verdict(usual.get(entry["kind"]), entry)
    return entries


def _verdict(usual: Mapping[str, Any] | None, other: Mapping[str, Any]) -> str | None:
    # One run, or one that found other alerts, tells nothing.
    if not usual or any(each["runs"] < RUNS or each["failed"] for each in (usual, other)):
        return None
    pairs = [(usual[name], other[name]) for name in _FIGURES if usual[name] and other[name]]
    if not pairs:
        return None
    helps = any(_is_less(with_it, without) for with_it, without in pairs)
    costs = any(_is_less(without, with_it) for with_it, without in pairs)
    return " and ".join(word for word, holds in (("helps", helps), ("costs", costs)) if holds) or "within the noise"


def _is_less(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one["max"] < other["min"] and _LEAST * one["median"] <= other["median"]


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The results for a reader."""
    header = ["measured", "without", "runs", "time", "min", "max", "CPU", "min", "max", "the setting"]
    rows = [
        [entry["kind"], entry["without"], entry["runs"], *_shown(entry["time"]), *_shown(entry["cpu"]),
         "failed" if entry["failed"] else entry["verdict"]]
        for entry in compared(found)
    ]  # fmt: skip
    caption = (
        "conf/ as it is, and without one setting. Replay (anomaly, by the columnar and, in batches of 800,000, by the "
        "built-in reader) and raw read of a topic: us an event, once warm, and CPU seconds per million events. Live "
        "(built-in: by that reader), all rules with archive and mirror at 2,000 rows a second: ms from commit to "
        "velocity's alert, median, and the share of the CPU that was busy. A setting helps where without it every run "
        "was worse than each with it, and the median by 3 % at least."
    )
    return Table("What each setting is worth", header, rows, caption)


def _shown(figures: Mapping[str, float] | None) -> list[float | None]:
    return [figures[name] if figures else None for name in ("median", "min", "max")]
