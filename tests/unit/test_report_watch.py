"""Waiting with open eyes: what ends a wait, and how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fraudstream.check import watch
from fraudstream.check.watch import Watch, wait_for_queries
from fraudstream.errors import FraudstreamError, StackError
from fraudstream.stack.queries import query_states
from fraudstream.stack.settings import load_settings
from report_runs import made_up_run


def _spark(tmp_path: Path) -> Any:
    return SimpleNamespace(require_running=lambda: None, last_words=lambda: "its words", log=tmp_path / "spark.log")


def _states(tmp_path: Path, **states: str) -> str:
    (tmp_path / "queries.json").write_text(json.dumps({"pid": 1, "queries": states}))
    return str(tmp_path)


def _watch(tmp_path: Path, samples: Sequence[Any], progress: str) -> Watch:
    coming = iter(samples)
    observer: Any = SimpleNamespace(listen=lambda seconds: None, sample=lambda: next(coming))
    return Watch(load_settings(tmp_path), observer, lambda title, sample: None, _spark(tmp_path), progress)


def test_a_wait_ends_with_the_first_sample_that_fulfils_its_condition(tmp_path: Path):
    samples = made_up_run().samples
    watching = _watch(tmp_path, samples, str(tmp_path))
    watching.until(lambda: "", lambda sample: sample.captured >= 2000, "capture")
    assert watching.samples == list(samples[:5])  # 2,000 a second from second 2.5 on


def test_a_failed_query_ends_the_wait_with_its_reason(tmp_path: Path):
    progress = _states(tmp_path, anomaly="running", velocity="failed: no more disk")
    with pytest.raises(FraudstreamError) as raised:
        _watch(tmp_path, made_up_run().samples, progress).until(lambda: "", lambda _: False, "nothing")
    assert str(raised.value) == f"query velocity failed: no more disk; see {tmp_path / 'spark.log'}."


def test_a_component_that_has_ended_by_itself_is_named_with_the_end_of_its_log(tmp_path: Path):
    for name, text in (("pids/kafka.json", '{"pid": 1, "started": 0}'), ("logs/kafka.log", "disk full\n")):
        path = tmp_path / "stack" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    with pytest.raises(StackError, match=r"^Kafka has ended by itself; see .*kafka\.log, which ends: disk full\.$"):
        _watch(tmp_path, made_up_run().samples, str(tmp_path)).until(lambda: "", lambda _: False, "nothing")


def test_a_failed_connector_ends_a_wait_in_which_nothing_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    failed = {"connector": "RUNNING", "tasks": ["FAILED"], "trace": "no slot"}
    monkeypatch.setattr(watch, "_SUSPICIOUS_S", -1)
    monkeypatch.setattr(watch, "connector_status", lambda settings, name: failed)
    with pytest.raises(StackError, match=r"^connector transactions has failed: no slot$"):
        _watch(tmp_path, made_up_run().samples, str(tmp_path)).until(lambda: "", lambda _: False, "nothing")


def test_a_standstill_names_what_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sample = made_up_run().samples[10]  # 16,000 committed; anomaly has read 14,000, captured are 15,000
    monkeypatch.setattr(watch, "_STANDSTILL_S", -1)
    monkeypatch.setattr(watch, "require_connector", lambda settings: None)
    with pytest.raises(FraudstreamError, match="anomaly is 1,000 behind") as raised:
        _watch(tmp_path, [sample, sample], str(tmp_path)).until(lambda: "", lambda _: False, "the queries")
    assert "while waiting for the queries" in str(raised.value)


def test_queries_are_ready_when_each_runs(tmp_path: Path):
    wait_for_queries(_states(tmp_path, anomaly="running", archive="running"), ["anomaly", "archive"], _spark(tmp_path))


def test_queries_that_do_not_come_up_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watch, "_START_S", -1)
    progress = _states(tmp_path, anomaly="running")
    with pytest.raises(FraudstreamError, match="these queries do not run: velocity; its words"):
        wait_for_queries(progress, ["anomaly", "velocity"], _spark(tmp_path))


def test_without_a_file_no_query_has_a_state(tmp_path: Path):
    assert query_states(str(tmp_path)) == (None, {})
