"""The systems that are raced: how each is started, and what is to be said about it beside its figures."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fraudstream.bench.dataset import Form
from fraudstream.bench.ours import executor_settings, linked_spark, rule_of, write_pipeline, write_rules
from fraudstream.bench.processes import Command, python_module
from fraudstream.bench.stages import steady_stages
from fraudstream.config import load_pipeline
from fraudstream.stack.queries import progress_lines
from fraudstream.stack.settings import REPOSITORY, StackSettings

PEERS = REPOSITORY / "peers"
SUBMIT_ARGUMENTS = "SPARK_SUBMIT_ARGS"
_MASTER = "local[2]"
_CLUSTER = "local-cluster"
_LARGE = "800000"


class Survival(NamedTuple):
    """What a kill of the process leaves, in a few words, and whether that is enough for the same alerts."""

    text: str
    fault_tolerant: bool


_NOTHING = Survival("nothing", False)
_POSITION = Survival("position without state", False)
_PART = Survival("position and a state that may be ahead of it", False)
_INPUT = Survival("its input, to be read again; copies of 10 s", True)
_ONCE = Survival("state and position, no copies", True)


def _but_copies(of: str) -> Survival:
    return Survival(f"state and position; copies of {of}", True)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run of a system: what it reads, where it writes, and a folder of its own."""

    settings: StackSettings
    topic: str
    form: Form
    alerts: str
    group: str
    folder: Path
    log: Path
    """Of what it prints."""
    python: Path
    """Of the peer's own virtual environment."""
    classes: Path
    """What the peer's build has made."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One line of the table."""

    name: str
    language: str
    fault_tolerant: bool
    survives: str
    """What a kill of the process leaves, in a few words."""
    start: Callable[[Task], Command]
    code: Sequence[str]
    """The files, from the repository's root, that someone writes to have the rule."""
    rules: Sequence[str] = ("anomaly",)
    requirements: Sequence[str] = ()
    """Of a peer in Python: its files in peers/requirements; what pip installs first, then jars."""
    build: Path | None = None
    """Of a peer in Java: the script that compiles it."""
    package: str = ""
    """The peer's own package, whose version the report names."""
    most_events: int | None = None
    """Of one that would take an hour: how many events it gets."""
    figures: Callable[[Task], Mapping[str, Any]] | None = None
    """What its folder tells beside what is seen from outside, once it has ended."""


def lines_of_code(system: System) -> int | None:
    """Lines of the system's files that are neither empty nor comments; None where a file is missing."""
    files = [path for pattern in system.code for path in sorted(REPOSITORY.glob(pattern))]
    if len(files) < len(system.code):
        return None
    lines = (line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return sum(bool(line) and not line.startswith(("#", "//", "/*", "*")) for line in lines)


def submit_arguments(settings: Mapping[str, str]) -> str:
    """What the variable SUBMIT_ARGUMENTS has for these settings of Spark's."""
    return shlex.join(word for name, value in settings.items() for word in ("--conf", f"{name}={value}"))


def spark_environment(task: Task, master: str = _MASTER, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the environment of one of our own programs has beside ours; `settings` are Spark's, over those of conf/."""
    return {
        "PYTHONPATH": str(REPOSITORY / "jobs"), "FRAUDSTREAM_HOME": str(task.folder),
        "KAFKA_PORT": str(task.settings.kafka_port), "STACK_PROFILE": "open", "KAFKA_CLIENT_PROPERTIES": "",
        SUBMIT_ARGUMENTS: f"--master {master} {submit_arguments(settings or {})}",
    }  # fmt: skip


def _pipeline(task: Task, changes: Mapping[str, Any]) -> Path:
    path = task.folder / "pipeline.yaml"
    changes = {"kafka.bootstrap_servers": task.settings.bootstrap, **changes}
    write_pipeline(path, task.topic, task.alerts, changes)
    return path


def raw_read(task: Task, result: Path, changes: Mapping[str, Any]) -> Command:
    """Spark reading the topic and nothing else, into the file `result`, in batches as large as the largest of ours;
    `changes` of conf/pipeline.yaml."""
    config = _pipeline(task, {"kafka.source.maxOffsetsPerTrigger": _LARGE, **changes})
    plain = python_module(
        "fraudstream.bench.raw_read", "--config", str(config), "--result", str(result),
        "--checkpoint", str(task.folder / "checkpoint"),
    )  # fmt: skip
    return Command(plain.words, {**plain.environment, **spark_environment(task)})


def _ours(
    *rules: str, master: str = _MASTER, spark: Mapping[str, str] | None = None, **changes: Any
) -> Callable[[Task], Command]:
    """detect_fraud with these rules; `changes` of conf/pipeline.yaml have __ for a dot, `spark` are Spark's own."""

    def start(task: Task) -> Command:
        config = _pipeline(task, {name.replace("__", "."): value for name, value in changes.items()})
        write_rules(task.folder / "rules.yaml", rules)
        words: list[str | Path] = [sys.executable, REPOSITORY / "jobs" / "detect_fraud.py", "--config", config]
        settings, more = spark or {}, {}
        if master.startswith(_CLUSTER):
            settings, more = {**executor_settings(), **settings}, {"SPARK_HOME": str(linked_spark(task.folder))}
        environment = {**spark_environment(task, master, settings), **more}
        return Command([*words, "--rules-file", task.folder / "rules.yaml"], environment)

    return start


def _stages(task: Task, rules: Sequence[str]) -> dict[str, Any]:
    """stages_ms by rule (stages.steady_stages), from the progress that our queries have written."""
    pipeline = load_pipeline(task.folder / "pipeline.yaml", {**os.environ, **spark_environment(task)})
    return {"stages_ms": {rule: steady_stages(progress_lines(pipeline.progress, rule)) for rule in rules}}


def _options(task: Task) -> list[str | Path]:
    return ["--bootstrap", task.settings.bootstrap, "--topic", task.topic, "--alerts", task.alerts, "--group",
            task.group, "--form", task.form, "--state", task.folder / "state"]  # fmt: skip


def _python(file: str, *options: str) -> Callable[[Task], Command]:
    return lambda task: Command([task.python, PEERS / file, *_options(task), *options], {"PYTHONPATH": None})


def _streams(*options: str) -> Callable[[Task], Command]:
    return lambda task: Command(
        [PEERS / "streams" / "run.sh", *_options(task), *options],
        {"PYTHONPATH": None, "PEERS_BUILD": str(task.classes)},
    )


def _peer(
    name: str, file: str, package: str, survival: Survival, *options: str, needs: Sequence[str] = (),
    most_events: int | None = None,
) -> System:  # fmt: skip
    """A peer in Python. It `needs` these files instead of its own; peers/README.md tells more of `survival`."""
    return System(
        name=name, language="Python", fault_tolerant=survival.fault_tolerant, survives=survival.text,
        start=_python(f"{file}.py", *options), code=[f"peers/{file}.py"], requirements=needs or [f"{file}.txt"],
        package=package, most_events=most_events,
    )  # fmt: skip


def our(name: str, *rules: str, **changes: Any) -> System:
    """detect_fraud with these rules; `changes` of conf/pipeline.yaml have __ for a dot, `master` and `spark` (a
    mapping) are Spark's."""
    survival = _but_copies("a batch")
    return System(
        name=name, language="Python on Spark", fault_tolerant=survival.fault_tolerant, survives=survival.text,
        start=_ours(*rules, **changes), rules=rules,
        code=[f"jobs/fraudstream/rules/{rule}.py" for rule in dict.fromkeys(map(rule_of, rules))],
        figures=lambda task: _stages(task, rules),
    )  # fmt: skip


def _java(name: str, survival: Survival, *options: str) -> System:
    return System(
        name=name, language="Java", fault_tolerant=survival.fault_tolerant, survives=survival.text,
        start=_streams(*options), code=["peers/streams/*.java"], build=PEERS / "streams" / "build.sh",
        package="kafka-streams",
    )  # fmt: skip


_TWO = ("anomaly", "velocity")
_FLINK, _BYTEWAX = ("pyflink_job.txt", "pyflink.jars"), ("bytewax_flow.txt",)
_ALL = (
    our("ours", "anomaly"),
    our("ours_one_core", "anomaly", master="local[1]"),
    # A driver and two executors, each a process of its own with a core and 2048 MiB.
    our("ours_cluster", "anomaly", master=f"{_CLUSTER}[2,1,2048]"),
    our("ours_built_in", "anomaly", kafka__reader="built-in"),
    our("ours_built_in_large", "anomaly", kafka__reader="built-in", kafka__source__maxOffsetsPerTrigger=_LARGE),
    our("ours_velocity", "velocity"),
    our("ours_both", *_TWO),
    our("ours_four", *_TWO, *(f"{rule}_2" for rule in _TWO)),
    our("ours_eight", *_TWO, *(f"{rule}_{number}" for number in (2, 3, 4) for rule in _TWO)),
    our("ours_both_one_query", *_TWO, shared_queries={"windows": [*_TWO]}),
    _peer("exercise_agent", "exercise_agent", "confluent-kafka", _POSITION),
    _peer("python_1", "plain_python", "confluent-kafka", _NOTHING, "--processes", "1"),
    _peer("python_2", "plain_python", "confluent-kafka", _NOTHING, "--processes", "2"),
    _peer("pyflink", "pyflink_job", "apache-flink", _ONCE, "--recovery", needs=_FLINK),
    _peer("pyflink_memory", "pyflink_job", "apache-flink", _NOTHING, needs=_FLINK),
    _peer("bytewax", "bytewax_flow", "bytewax", _NOTHING),
    _peer("bytewax_recovery", "bytewax_flow", "bytewax", _but_copies("10 s"), "--recovery"),
    _peer("bytewax_packed", "bytewax_packed", "bytewax", _NOTHING, needs=_BYTEWAX),
    _peer("bytewax_packed_recovery", "bytewax_packed", "bytewax", _but_copies("10 s"), "--recovery", needs=_BYTEWAX),
    _peer("pathway", "pathway_flow", "pathway", _POSITION),
    _peer("pathway_recovery", "pathway_flow", "pathway", _INPUT, "--recovery"),
    _peer("quix", "quix_app", "quixstreams", _but_copies("5 s")),
    _peer("quix_exactly_once", "quix_app", "quixstreams", _ONCE, "--recovery"),
    _peer("faust", "faust_app", "faust-streaming", _POSITION, most_events=500_000),
    _peer("faust_table", "faust_app", "faust-streaming", _PART, "--recovery", most_events=500_000),
    _java("streams", _ONCE, "--recovery"),
    _java("streams_memory", _POSITION),
)
SYSTEMS: Mapping[str, System] = {system.name: system for system in _ALL}
RAW_READ = "raw_read"
NAMES = (*SYSTEMS, RAW_READ)
QUICK = ("ours", RAW_READ, "pyflink", "bytewax_recovery", "streams", "python_2")
