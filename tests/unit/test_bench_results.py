"""Results are kept, found again by the code that they are of, and go on where a run was stopped or failed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from fraudstream.bench import run as bench
from fraudstream.bench.install import NotInstalled
from fraudstream.bench.measured import MEASURED, code
from fraudstream.bench.parts import PARTS
from fraudstream.bench.plan import Options, planned
from fraudstream.bench.results import Results, is_done
from fraudstream.bench.topics import Topic
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import REPOSITORY

RACE = {
    "failed": None, "first_alert_s": 9.0, "seconds": 20.0, "total_per_s": 50.0, "steady_per_s": 100.0,
    "cpu_s_per_million": 7.0, "rss_mib": 1000, "progress": [], "alerts": 4, "copies": 0, "missing": 0, "extra": 0,
    "examples": {}, "equal": True,
}  # fmt: skip
TWO = Options(only=["ours", "streams"], repeats=2, events=10_000)


class Raced:
    """Instead of races: which systems ran, and what the next ones of a name do (raise it, or return it)."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.then: dict[str, list[Any]] = {}
        self.said: list[str] = []

    def race(self, settings, system, topic, patience_s) -> dict[str, Any]:
        self.ran.append(system.name)
        outcome = self.then[system.name].pop(0) if self.then.get(system.name) else RACE
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def run(self, options: Options, home: Path) -> dict[str, Any]:
        """A run; `ran` and `said` are of this one alone."""
        self.ran, self.said = [], []
        return bench.run(options, home, self.said.append)


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> Raced:
    found = Raced()
    monkeypatch.setattr(bench, "race", found.race)
    monkeypatch.setattr(bench, "install", lambda home, system, say: None)
    monkeypatch.setattr(bench, "broker", lambda settings: nullcontext())
    monkeypatch.setattr(bench, "filled", lambda settings, data, say: Topic(data, {}))
    monkeypatch.setattr("fraudstream.bench.report.versions", lambda settings: {"kafka": "1"})
    monkeypatch.setattr("fraudstream.bench.drawing.plots", lambda *given: {"rates": "", "progress": ""})
    of_code(monkeypatch, "now")
    return found


def of_code(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in ("run", "results"):
        monkeypatch.setattr(f"fraudstream.bench.{module}.code", lambda: name)


def lines(home: Path) -> list[str]:
    return (home / "results.jsonl").read_text().splitlines()


def test_a_run_that_was_stopped_goes_on_where_it_was(raced, tmp_path):
    raced.then = {"ours": [RACE, KeyboardInterrupt()]}
    with pytest.raises(KeyboardInterrupt):
        raced.run(TWO, tmp_path)
    assert raced.ran == ["ours", "streams", "ours"]
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"key": "cut sho')
    report = raced.run(TWO, tmp_path)
    assert raced.ran == ["ours", "streams"]
    assert [entry["runs"] for entry in report["systems"]] == [2, 2], "the torn line has taken none with it"


def test_a_finished_run_measures_nothing_until_it_is_to_begin_afresh(raced, tmp_path):
    raced.run(TWO, tmp_path)
    report, before = raced.run(TWO, tmp_path), lines(tmp_path)
    assert raced.ran == []
    assert raced.said == ["all 4 results are there; --fresh measures them anew"]
    assert [entry["runs"] for entry in report["systems"]] == [2, 2]
    raced.then = {"streams": [KeyboardInterrupt()]}
    with pytest.raises(KeyboardInterrupt):
        raced.run(replace(TWO, fresh=True), tmp_path)
    raced.run(TWO, tmp_path)
    assert raced.ran == ["streams", "ours", "streams"], "one of the four had been measured afresh"
    assert lines(tmp_path)[: len(before)] == before, "no line is ever lost"


def test_other_plans_add_to_the_report_and_other_code_begins_a_new_one(raced, tmp_path, monkeypatch):
    raced.run(TWO, tmp_path)
    report = raced.run(Options(only=["ours_both"], repeats=1, events=20_000), tmp_path)
    assert {(each["system"], each["events"]) for each in report["systems"]} == {
        ("ours", 10_000), ("streams", 10_000), ("ours_both", 20_000),
    }  # fmt: skip
    of_code(monkeypatch, "other")
    report = raced.run(replace(TWO, only=["ours"]), tmp_path)
    assert raced.ran == ["ours", "ours"]
    assert [entry["system"] for entry in report["systems"]] == ["ours"]
    of_code(monkeypatch, "now")
    assert len(raced.run(TWO, tmp_path)["systems"]) == 3
    assert raced.ran == []


def test_what_fails_is_a_result_and_is_tried_again(raced, tmp_path):
    lost = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    raced.then = {"ours": [RuntimeError("no such thing")], "streams": [lost, {**RACE, "equal": False, "missing": 3}]}
    report = raced.run(TWO, tmp_path)
    assert raced.ran == ["ours", "streams", "ours", "streams"]
    assert not report["passed"]
    assert report["failures"] == ["ours, exercise, envelope, 9,000 users, 10,000 events: RuntimeError: no such thing"]
    assert len(report["failures_of_peers"]) == 1
    assert any("Traceback" in text for text in raced.said)
    report = raced.run(TWO, tmp_path)
    assert sorted(raced.ran) == ["ours", "streams", "streams"]
    assert "tried again, since they failed or were not run: " in raced.said[1]
    assert report["passed"]


def test_a_system_that_is_not_installed_is_not_run_and_tried_again(raced, tmp_path, monkeypatch):
    def install(home, system, say):
        if system.name == "streams":
            raise NotInstalled("javac: not found")

    monkeypatch.setattr(bench, "install", install)
    report = raced.run(TWO, tmp_path)
    assert raced.ran == ["ours", "ours"]
    assert report["passed"]
    (entry,) = (each for each in report["systems"] if each["system"] == "streams")
    assert entry["absent"] == "javac: not found; to run it, install a JDK (javac); its jars come from Maven Central"
    monkeypatch.setattr(bench, "install", lambda home, system, say: None)
    raced.run(TWO, tmp_path)
    assert raced.ran == ["streams", "streams"]


def test_a_step_that_raises_is_a_failure_of_its_own_and_the_next_one_runs(raced, tmp_path, monkeypatch):
    ran = []

    def measure(user, home, step):
        ran.append(step)
        if len(ran) == 1:
            raise FraudstreamError("no room")
        return {"failures": ["a check"] if len(ran) == 2 else []}

    monkeypatch.setitem(PARTS, "capture", replace(PARTS["capture"], steps=("a", "b", "c"), measure=measure))
    report = raced.run(Options(parts=["capture"]), tmp_path)
    assert ran == ["a", "b", "c"]
    assert report["failures"] == ["capture, a: no room", "capture, b: a check"]
    assert not report["passed"]
    raced.run(Options(parts=["capture"]), tmp_path)
    assert ran[3:] == ["a", "b"]


def test_only_what_was_run_and_is_right_is_done():
    assert is_done(RACE)
    assert is_done({"failed": None}), "a raw read"
    assert not is_done({**RACE, "equal": False})
    assert not is_done({**RACE, "failed": "it ended"})
    assert not is_done({"failed": None, "absent": "no wheel"})
    assert is_done({"found": {"failures": []}})
    assert not is_done({"found": {"failures": ["one"]}})


def test_results_that_were_taken_back_are_only_those_named(tmp_path, monkeypatch):
    of_code(monkeypatch, "now")
    results = Results(tmp_path / "results.jsonl")
    for key in ("a", "b"):
        results.add({"key": key, "code": "now"})
    results.forget(["a", "never there"])
    assert list(results.current()) == ["b"]
    assert [json.loads(line)["key"] for line in lines(tmp_path)] == ["a", "b", "a"]
    results.add({"key": "a", "code": "now"})
    assert set(results.current()) == {"a", "b"}


def test_every_heat_has_a_key_of_its_own_in_all_plans():
    plans = (Options(), Options(full=True), Options(events=20_000), Options(forms=["compact"]))
    heats = {heat for options in plans for heat in planned(options)}
    assert len({heat.key for heat in heats}) == len(heats)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in {
        "jobs/fraudstream/streams/a.py": '"""Doc."""\nx = 1  # why\n\n\ndef f():\n    """Doc."""\n    return x\n',
        "jobs/fraudstream/bench/report.py": "x = 1\n", "jobs/fraudstream/bench/systems.py": "x = 1\n",
        "docker/connect/transactions.json": "{}", "requirements.lock": "a==1\n", "peers/p.py": "x = 1\n",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_code_is_the_same_when_only_its_words_or_the_reporting_change(repository):
    before = code(repository)
    (repository / "jobs/fraudstream/streams/a.py").write_text('x = 1\ndef f():\n    "Other."\n    return (x)\n')
    (repository / "jobs/fraudstream/bench/report.py").write_text("x = 2\n")
    (repository / "peers/README.md").write_text("new")
    assert code(repository) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jobs/fraudstream/streams/a.py", "x = 2\n\n\ndef f():\n    return x\n"),
        ("jobs/fraudstream/streams/a.py", "x = (\n"),
        ("jobs/fraudstream/streams/b.py", ""),
        ("jobs/fraudstream/bench/systems.py", "x = 2\n"),
        ("docker/connect/transactions.json", "[]"),
        ("requirements.lock", "a==2\n"),
        ("peers/p.py", "x = 2\n"),
    ],
)
def test_code_is_another_when_a_measured_file_changes(repository, name, text):
    before = code(repository)
    (repository / name).write_text(text)
    assert code(repository) != before


def test_all_that_measured_programs_load_of_the_project_is_measured_code():
    measured = {path.resolve() for pattern in MEASURED for path in REPOSITORY.glob(pattern)}
    bench = [f"jobs/fraudstream/bench/{name}.py" for name in ("raw_read", "mirror_batches", "fill", "known")]
    programs = ["jobs/detect_fraud.py", "jobs/produce_transactions.py", *bench]
    for program in programs:
        finder = ModuleFinder([str(REPOSITORY / "jobs")])
        finder.run_script(str(REPOSITORY / program))
        files = {Path(module.__file__).resolve() for module in finder.modules.values() if module.__file__}
        own = {file for file in files if file.name != "__init__.py"}
        assert len(own) > 1, program
        assert own <= measured, program
