"""Plans, options and resumption of a run of the benchmark; its programs and what they need."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import bench_systems
from fraudstream.bench import run as bench
from fraudstream.bench.dataset import DataSet
from fraudstream.bench.install import NotInstalled, install
from fraudstream.bench.ours import write_pipeline, write_rules
from fraudstream.bench.plan import Options, planned, steps
from fraudstream.bench.processes import Command, Meter, below_of, kill_in, program, require_success
from fraudstream.bench.systems import NAMES, QUICK, SYSTEMS, System, lines_of_code
from fraudstream.bench.topics import Topic
from fraudstream.config import load_pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import load_rules

RESULT = {
    "failed": None, "first_alert_s": 9.0, "seconds": 20.0, "total_per_s": 50.0, "steady_per_s": 100.0,
    "cpu_s_per_million": 7.0, "rss_mib": 1000, "progress": [], "alerts": 4, "copies": 0, "missing": 0, "extra": 0,
    "examples": {}, "equal": True,
}  # fmt: skip


def test_the_quick_plan_takes_turns_and_the_full_one_has_every_system_form_and_number_of_users():
    quick = planned(Options())
    assert [heat.system for heat in quick] == [*QUICK] * 3
    assert {heat.data for heat in quick} == {DataSet()}
    full = planned(Options(full=True))
    assert {heat.system for heat in full} == set(NAMES)
    assert {heat.data.form for heat in full} == {"envelope", "compact"}
    assert {heat.data.users for heat in full} == {9_000, 100_000, 1_000_000}
    assert len({heat.key for heat in full}) == len(full)
    assert {heat.data.events for heat in full if heat.system.startswith("faust")} == {500_000}


def test_options_choose_the_data_and_keep_their_results_apart():
    asked = Options(only=["ours"], forms=["compact", "envelope"], users=[9000], events=20_000, repeats=1)
    assert [heat.data.topic for heat in planned(asked)] == [
        "bench.exercise.compact.9000.20000", "bench.exercise.envelope.9000.20000",
    ]  # fmt: skip
    assert [each.name for each in (Options(), Options(full=True), asked)] == ["quick", "full", "chosen"]


def test_a_full_run_measures_its_parts_too_and_parts_may_be_asked_for_alone():
    assert [step.key for step in steps(Options())] == []
    everything = [step.key for step in steps(Options(full=True))]
    assert "latency: together" in everything
    assert len(set(everything)) == len(everything)
    alone = Options(parts=["latency"])
    assert (planned(alone), alone.name) == ([], "chosen")
    assert {step.part.name for step in steps(alone)} == {"latency"}
    assert steps(Options(full=True, only=["ours"])) == []


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


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the heats that were run, instead of running them; the third is interrupted the first time."""
    ran: list[str] = []

    def race(settings, heat, topic, options, absent):
        ran.append(heat.key)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return RESULT

    monkeypatch.setattr(bench, "_raced", race)
    monkeypatch.setattr(bench, "broker", lambda settings: nullcontext())
    monkeypatch.setattr(bench, "filled", lambda settings, data, say: Topic(data, {}))
    monkeypatch.setattr(bench, "code", lambda: "now")
    monkeypatch.setattr("fraudstream.bench.report.versions", lambda settings: {"kafka": "1"})
    return ran


def test_a_run_that_was_stopped_goes_on_where_it_was_and_a_finished_one_begins_anew(raced, tmp_path, monkeypatch):
    options = Options(only=["ours", "streams"], repeats=2, events=10_000)
    keys = [heat.key for heat in planned(options)]
    with pytest.raises(KeyboardInterrupt):
        bench.run(options, tmp_path, lambda text: None)
    with (tmp_path / "chosen.jsonl").open("a") as file:
        file.write('{"key": "cut sho')
    report = bench.run(options, tmp_path, lambda text: None)
    assert raced == [*keys[:3], *keys[2:]]
    assert [entry["runs"] for entry in report["systems"]] == [2, 2]
    bench.run(options, tmp_path, lambda text: None)
    assert raced[-4:] == keys
    monkeypatch.setattr(bench, "code", lambda: "changed")
    bench.run(Options(only=["ours"], repeats=3, events=10_000), tmp_path, lambda text: None)
    assert len(raced) == 5 + 4 + 3, "results of other code count for nothing"


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
    assert lines_of_code(SYSTEMS["ours_both"]) > lines_of_code(SYSTEMS["ours"]) > 10


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
    with python(tmp_path, "import time; time.sleep(100)") as child:
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
