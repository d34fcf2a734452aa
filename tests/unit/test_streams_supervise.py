"""Watching queries that end at once: what is shown of them, and the exit code."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fraudstream.errors import FraudstreamError
from fraudstream.streams import supervise
from fraudstream.streams.supervise import Starter, run_until_stopped


class Query:
    """A query that has ended, with an error or without."""

    isActive = False

    def __init__(self, name: str, error: str | None = None) -> None:
        self.name, self.error = name, error

    def exception(self) -> str | None:
        return self.error

    def stop(self) -> None:
        self.isActive = False


class Rules:
    """A rollout of which `shadow` is a shadow rule."""

    is_idle, report = False, {"refused": None}

    def __init__(self, *queries: Query) -> None:
        self.queries = {query.name: query for query in queries}

    def is_harmless(self, name: str) -> bool:
        return name == "shadow" and name in self.queries


@pytest.fixture(autouse=True)
def _signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def shown(folder: Path) -> dict[str, str]:
    return json.loads((folder / "queries.json").read_text())["queries"]


def test_a_failed_query_is_shown_and_the_exit_code_says_so(tmp_path: Path):
    rules = Rules(Query("anomaly", "a worker\nTraceback\nValueError: odd"))
    assert run_until_stopped([Query("archive_alerts")], str(tmp_path), rules) == 1
    assert shown(tmp_path) == {"archive_alerts": "done", "anomaly": "failed: a worker ... ValueError: odd"}


def test_the_failure_of_a_shared_query_is_that_of_each_of_its_rules(tmp_path: Path, capsys):
    rules = Rules()
    rules.queries = dict.fromkeys(("anomaly", "velocity"), Query("windows", "odd"))
    assert run_until_stopped([], str(tmp_path), rules) == 1
    assert shown(tmp_path) == {"anomaly": "failed: odd", "velocity": "failed: odd"}
    assert "error: query velocity failed: odd" in capsys.readouterr().err


def test_a_failed_shadow_rule_is_shown_and_no_failure_of_the_job(tmp_path: Path, capsys):
    rules = Rules(Query("anomaly"), Query("shadow", "odd"))
    assert run_until_stopped([], str(tmp_path), rules) == 0
    assert shown(tmp_path) == {"anomaly": "done", "shadow": "shadow failed: odd"}
    assert capsys.readouterr().err == "error: query shadow failed: odd\n"


def test_a_failed_shadow_rule_that_is_taken_out_of_the_file_leaves_no_failure(tmp_path: Path):
    live, shadow = Query("anomaly"), Query("shadow", "odd")
    live.isActive = True
    rules = Rules(live, shadow)

    def awaitTermination(seconds: float) -> None:
        if "shadow" in rules.queries:
            assert shown(tmp_path)["shadow"] == "shadow failed: odd"
            del rules.queries["shadow"]
        else:
            live.isActive = False

    live.awaitTermination = awaitTermination
    assert run_until_stopped([], str(tmp_path), rules, until_caught_up=True) == 0
    assert shown(tmp_path) == {"anomaly": "done"}


@pytest.mark.parametrize(("until_caught_up", "code"), [(True, 128 + signal.SIGTERM), (False, 0)])
def test_to_be_stopped_is_an_end_for_a_query_that_has_none_and_an_interruption_for_one_that_has(
    tmp_path: Path, until_caught_up: bool, code: int
):
    query = Query("anomaly")
    query.isActive = True

    def awaitTermination(seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    query.awaitTermination = awaitTermination
    assert run_until_stopped([query], str(tmp_path), until_caught_up=until_caught_up) == code
    assert not query.isActive


def test_the_others_go_on_behind_a_query_that_fails(tmp_path: Path):
    fails, runs = Query("velocity"), Query("anomaly")
    fails.isActive = runs.isActive = True
    waits = []

    def awaitTermination(seconds: float) -> None:
        waits.append(shown(tmp_path))
        if len(waits) == 1:
            fails.isActive, fails.error = False, "odd"
        if len(waits) == 3:
            runs.isActive = False

    fails.awaitTermination = runs.awaitTermination = awaitTermination
    assert run_until_stopped([fails, runs], str(tmp_path)) == 1
    assert waits[1:] == [{"anomaly": "running", "velocity": "failed: odd"}] * 2
    assert shown(tmp_path) == {"anomaly": "done", "velocity": "failed: odd"}


def test_a_starter_that_cannot_start_yet_is_asked_again_and_told_once(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(supervise, "_wait", lambda running: None)
    running = Query("anomaly")
    running.isActive = True
    asked: list[int] = []

    def starter() -> Query | None:
        asked.append(len(asked))
        if len(asked) < 3:
            raise FraudstreamError("Kafka at localhost:1 does not answer.")
        running.isActive = False
        return Query("archive_shadow_alerts")

    assert run_until_stopped([running], str(tmp_path), starters=[Starter(starter, every=0.0)]) == 0
    assert len(asked) == 3
    assert capsys.readouterr().err == "error: not started yet: Kafka at localhost:1 does not answer.\n"
    assert shown(tmp_path) == {"anomaly": "done", "archive_shadow_alerts": "done"}


def test_each_starter_is_asked_as_often_as_it_says_and_no_more_once_it_has_started(tmp_path: Path, monkeypatch):
    clock, asked = SimpleNamespace(now=50.0), {"archive_alerts": [], "archive_shadow_alerts": []}
    running = Query("anomaly")
    running.isActive = True

    def wait(queries: object) -> None:
        clock.now += 1.0
        running.isActive = clock.now < 73.0

    def starter(name: str, at: float) -> Callable[[], Query | None]:
        def ask() -> Query | None:
            asked[name].append(clock.now)
            return Query(name) if clock.now >= at else None

        return ask

    monkeypatch.setattr(supervise, "_wait", wait)
    monkeypatch.setattr(supervise, "time", SimpleNamespace(monotonic=lambda: clock.now))
    starters = [
        Starter(starter("archive_alerts", 53.0), every=0.0), Starter(starter("archive_shadow_alerts", 99.0), every=10.0)
    ]  # fmt: skip
    assert run_until_stopped([running], str(tmp_path), starters=starters) == 0
    assert asked == {"archive_alerts": [50.0, 51.0, 52.0, 53.0], "archive_shadow_alerts": [50.0, 60.0, 70.0]}
    assert shown(tmp_path) == {"anomaly": "done", "archive_alerts": "done"}


def test_what_starts_behind_rules_that_have_failed_goes_on(tmp_path: Path, monkeypatch):
    failed, archive = Query("anomaly", "odd"), Query("archive_alerts")
    archive.isActive = True
    monkeypatch.setattr(supervise, "_wait", lambda running: setattr(archive, "isActive", False))
    starter = Starter(lambda: archive, every=0.0)
    assert run_until_stopped([failed], str(tmp_path), starters=[starter]) == 1
    assert shown(tmp_path) == {"anomaly": "failed: odd", "archive_alerts": "done"}
