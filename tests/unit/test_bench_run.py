"""Plans and options of the benchmark; its programs and what they need."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import bench_systems
from fraudstream.bench.dataset import DataSet
from fraudstream.bench.install import NotInstalled, install, remedy
from fraudstream.bench.ours import executor_settings, linked_spark, write_pipeline, write_rules
from fraudstream.bench.plan import Options, planned, steps
from fraudstream.bench.processes import Command, Meter, below_of, kill_in, program, require_success
from fraudstream.bench.race import limit_s
from fraudstream.bench.systems import NAMES, QUICK, SUBMIT_ARGUMENTS, SYSTEMS, System, Task, lines_of_code, raw_read
from fraudstream.config import load_pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import load_settings


def test_the_quick_plan_takes_turns_and_the_full_one_has_every_system_form_and_number_of_users():
    quick = planned(Options())
    assert [heat.system for heat in quick] == [*QUICK] * 3
    assert {heat.data for heat in quick} == {DataSet(events=3_000_000)}
    full = planned(Options(full=True))
    assert {heat.system for heat in full} == set(NAMES)
    elsewhere = [heat for heat in full if replace(heat.data, events=1) != DataSet(events=1)]
    assert {heat.system for heat in elsewhere} == {*QUICK}
    assert (len(full), len(elsewhere)) == (3 * len(NAMES) + 4 * 3 * len(QUICK), 4 * 3 * len(QUICK))
    assert {heat.data.form for heat in full} == {"envelope", "compact"}
    assert {heat.data.users for heat in full} == {9_000, 100_000, 1_000_000}
    assert len({heat.key for heat in full}) == len(full)
    assert {heat.data.events for heat in full if heat.system.startswith("faust")} == {500_000}
    assert {heat.data.events for heat in full if not heat.system.startswith("faust")} == {5_000_000}


def test_options_choose_the_data():
    asked = Options(only=["ours"], forms=["compact", "envelope"], users=[9000], events=20_000, repeats=1)
    assert [heat.data.topic for heat in planned(asked)] == [
        "bench.exercise.compact.9000.20000", "bench.exercise.envelope.9000.20000",
    ]  # fmt: skip


def test_a_full_run_measures_its_parts_too_and_parts_may_be_asked_for_alone():
    assert [step.key for step in steps(Options())] == []
    everything = [step.key for step in steps(Options(full=True))]
    assert "latency: together" in everything
    assert len(set(everything)) == len(everything)
    alone = Options(parts=["latency"])
    assert planned(alone) == []
    assert {step.part.name for step in steps(alone)} == {"latency"}
    for more in ({"only": ["ours"]}, {"events": 10_000}, {"repeats": 1}):
        assert steps(Options(full=True, **more)) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "our"], "Did you mean ours?"),
        (["--users", "12"], "'12' is none of 9000, 100000, 1000000"),
        (["--events", "1e6"], "no whole number from 10000"),
        (["--part", "latencies"], "Did you mean latency?"),
        (["--form", "flat"], "none of envelope, compact"),
        (["--repeats", "0"], "no whole number from 1 to 100"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_starts(words, said, capsys, monkeypatch):
    monkeypatch.setattr(bench_systems, "run", None)
    with pytest.raises(SystemExit) as refused:
        bench_systems.main(words)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


def test_our_own_settings_differ_in_topics_and_rules_alone(tmp_path):
    changes = {"kafka.source.maxOffsetsPerTrigger": "7", "state.buckets": 8}
    write_pipeline(tmp_path / "pipeline.yaml", "topic", "alerts", changes)
    found, usual = load_pipeline(tmp_path / "pipeline.yaml"), load_pipeline()
    assert (found.kafka.transactions_topic, found.kafka.alerts_topic) == ("topic", "alerts")
    assert found.kafka.source == {**usual.kafka.source, "maxOffsetsPerTrigger": "7"}
    assert (found.state.buckets, found.triggers) == (8, usual.triggers)
    write_rules(tmp_path / "rules.yaml", ["velocity"])
    (rule,) = load_rules(tmp_path / "rules.yaml")
    assert (rule.name, rule.status) == ("velocity", "live")


def test_every_system_of_the_plans_is_known_and_says_what_survives():
    assert set(QUICK) <= set(NAMES)
    assert all(system.survives and system.code for system in SYSTEMS.values())
    survives = {name: (SYSTEMS[name].survives, SYSTEMS[name].fault_tolerant) for name in SYSTEMS}
    assert survives["python_2"] == ("nothing", False)
    assert survives["streams_memory"] == survives["faust"] == ("position without state", False)
    assert survives["faust_table"] == ("position and a state that may be ahead of it", False)
    assert survives["quix"] == ("state and position; copies of 5 s", True)
    assert survives["quix_exactly_once"] == survives["streams"] == ("state and position, no copies", True)
    assert lines_of_code(SYSTEMS["ours_both"]) > lines_of_code(SYSTEMS["ours"]) > 10


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(
        settings=load_settings(tmp_path), topic="t", form="envelope", alerts="a", group="g", folder=tmp_path,
        log=tmp_path / "log", python=Path(), classes=Path(),
    )  # fmt: skip


def test_the_raw_read_has_batches_as_large_as_the_largest_of_ours_unless_it_is_said(task):
    def batch() -> str:
        return load_pipeline(task.folder / "pipeline.yaml").kafka.source["maxOffsetsPerTrigger"]

    raw_read(task, task.folder / "result", {})
    assert batch() == str(load_pipeline().kafka.largest_batch) == "800000"
    SYSTEMS["ours_built_in_large"].start(task)
    assert batch() == "800000"
    raw_read(task, task.folder / "result", {"kafka.source.maxOffsetsPerTrigger": "5"})
    assert batch() == "5"


def test_a_rule_may_have_several_queries_each_with_a_name_of_its_own(task):
    system = SYSTEMS["ours_four"]
    system.start(task)
    found = {rule.name: rule.rule for rule in load_rules(task.folder / "rules.yaml")}
    assert found == {"anomaly": "anomaly", "velocity": "velocity", "anomaly_2": "anomaly", "velocity_2": "velocity"}
    assert tuple(found) == system.rules
    assert lines_of_code(system) == lines_of_code(SYSTEMS["ours_both"])
    assert len(set(SYSTEMS["ours_eight"].rules)) == 8


def test_executors_have_all_memory_and_the_clusters_java_options_and_work_in_the_runs_folder(task):
    found = SYSTEMS["ours_cluster"].start(task).environment
    assert found["SPARK_HOME"] == str(task.folder / "spark")
    assert "--master local-cluster[2,1,2048]" in found[SUBMIT_ARGUMENTS]
    assert "--conf spark.executor.memory=2g" in found[SUBMIT_ARGUMENTS]
    options = executor_settings()["spark.executor.extraJavaOptions"]
    assert options == "-XX:+UseParallelGC -XX:-DontCompileHugeMethods"
    assert (task.folder / "spark" / "bin" / "spark-submit").exists()
    assert "SPARK_HOME" not in SYSTEMS["ours"].start(task).environment


def test_what_executors_once_left_beside_spark_is_not_linked(tmp_path, monkeypatch):
    import pyspark

    for name in ("jars", "work", "run"):
        (tmp_path / "pyspark" / name).mkdir(parents=True)
    monkeypatch.setattr(pyspark, "__file__", str(tmp_path / "pyspark" / "__init__.py"))
    (tmp_path / "run").mkdir()
    assert {path.name for path in linked_spark(tmp_path / "run").iterdir()} == {"jars", "run"}


def test_the_stages_of_a_run_are_those_of_its_own_progress_by_rule(task):
    system = SYSTEMS["ours_both"]
    system.start(task)
    lines = [{"batch_id": batch, "read": 25, "stages_ms": {"addBatch": 10 * batch}} for batch in range(4)]
    (task.folder / "progress").mkdir()
    (task.folder / "progress" / "velocity.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert system.figures(task) == {"stages_ms": {"anomaly": {}, "velocity": {"addBatch": 15}}}


def test_a_slow_system_gets_time_by_the_number_of_its_events():
    assert limit_s(500_000, 60.0) == 300 + 250
    assert limit_s(5_000_000, 60.0) == 300 + 2500


def absent(**changes: Any) -> System:
    given = {
        "name": "x",
        "language": "Python",
        "fault_tolerant": False,
        "survives": "nothing",
        "start": lambda task: None,
    }
    return System(**{**given, "code": ["peers/not_there.py"], **changes})


def test_a_peer_without_its_files_is_not_installed_and_says_what_is_missing(tmp_path):
    with pytest.raises(NotInstalled, match="not_there"):
        install(tmp_path, absent(), print)
    with pytest.raises(NotInstalled, match=r"nobody\.txt"):
        install(tmp_path, absent(code=["jobs/bench_systems.py"], requirements=["nobody.txt"]), print)
    build = tmp_path / "peer" / "build.sh"
    build.parent.mkdir()
    build.write_text("#!/bin/sh\necho no compiler >&2\nexit 3\n")
    build.chmod(0o755)
    with pytest.raises(NotInstalled, match="no compiler"):
        install(tmp_path, absent(code=["jobs/bench_systems.py"], build=build), print)
    assert "JDK" in remedy(absent(build=build))
    assert "peers/requirements/nobody.txt" in remedy(absent(requirements=["nobody.txt"]))


def python(tmp_path: Path, text: str):
    return program("it", Command([sys.executable, "-c", text], {"PYTHONPATH": None}), tmp_path / "log", tmp_path)


def test_a_programs_children_are_measured_and_ended_with_it(tmp_path):
    text = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'x = bytearray(80 << 20)\\nwhile 1: pass'], start_new_session=True)\n"
        "time.sleep(100)"
    )
    meter, limit = Meter(), time.monotonic() + 60
    with python(tmp_path, text) as child:
        while (meter.cpu_s < 0.5 or meter.rss_mib < 80) and time.monotonic() < limit:
            meter.read(child.process.pid)
            time.sleep(0.05)
        (below,) = below_of(child.process.pid)
    assert meter.cpu_s >= 0.5
    assert meter.rss_mib >= 80
    assert not below.is_running()


def test_what_a_killed_run_has_left_in_its_folder_is_ended(tmp_path):
    (tmp_path / "state").mkdir()
    with python(tmp_path / "state", "import time; time.sleep(100)") as child:
        kill_in(tmp_path / "another")
        assert child.process.poll() is None
        kill_in(tmp_path)
        assert not psutil.pid_exists(child.process.pid)


def test_a_program_that_fails_is_told_with_its_last_words(tmp_path):
    with (
        pytest.raises(FraudstreamError, match="exit code 1: no broker"),
        python(tmp_path, "import sys; sys.exit('error: no broker')") as child,
    ):
        require_success(child, 30)
    with (
        pytest.raises(FraudstreamError, match="cannot be started"),
        program("it", Command([tmp_path / "nothing"], {}), tmp_path / "log", tmp_path),
    ):
        pass


def test_files_of_our_own_runs_are_plain_yaml(tmp_path):
    write_rules(tmp_path / "rules.yaml", ["anomaly", "velocity"])
    assert list(yaml.safe_load((tmp_path / "rules.yaml").read_text())) == ["anomaly", "velocity"]
