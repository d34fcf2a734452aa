"""Registering connectors, against a Connect of few words: what it is told takes effect some answers later."""

from __future__ import annotations

import pytest

from fraudstream.errors import StackError
from fraudstream.stack import connect
from fraudstream.stack.settings import load_settings

LATER = 3


class Connect:
    """One connector. States change LATER status requests after they were asked for, as in the distributed worker."""

    def __init__(self, config=None, task="RUNNING"):
        self.config = config
        self.status = {"connector": "RUNNING", "tasks": [(task, "old")] if config else []}
        self.coming = []
        self.calls = []

    def __call__(self, settings, method, path, body=None, timeout=15):
        if path == "/connectors?expand=info":
            return self.registered()
        if path == "/connectors/c/status":
            return self.answer()
        if path == "/":
            return {}
        self.calls.append(f"{method} {path.removeprefix('/connectors/c/')}")
        if path.endswith("/config"):
            self.config = body
            if self.status["connector"] == "RUNNING":
                self.coming += [self.status] * LATER + [{"connector": "RUNNING", "tasks": [("RUNNING", "new")]}]
        elif path.endswith("/stop"):
            self.coming += [self.status] * LATER + [{"connector": "STOPPED", "tasks": []}]
        elif path.endswith("/resume"):
            runs = {"connector": "RUNNING", "tasks": []}
            self.coming += [self.status] * LATER + [runs] * LATER + [{**runs, "tasks": [("RUNNING", "new")]}]
        return None

    def registered(self):
        return {"c": {"info": {"config": {**self.config, "name": "c"}}}} if self.config else {}

    def answer(self):
        if self.coming:
            self.status = self.coming.pop(0)
        return {
            "connector": {"state": self.status["connector"]},
            "tasks": [{"state": state, "trace": "boom" * (state == "FAILED")} for state, _ in self.status["tasks"]],
        }

    @property
    def tasks(self):
        return [generation for _, generation in self.status["tasks"]]


@pytest.fixture
def put(monkeypatch, tmp_path):
    monkeypatch.setattr(connect, "variables", lambda settings: {})
    monkeypatch.setattr(connect.guard, "require_slot", lambda *given, **options: None)
    monkeypatch.setattr(connect.guard, "require_replica_identity", lambda *given: None)
    monkeypatch.setattr(connect.time, "sleep", lambda seconds: None)

    def put(worker, config, seconds=60):
        monkeypatch.setattr(connect, "_call", worker)
        return connect.put_connector(load_settings(tmp_path), {"name": "c", "config": config}, seconds)

    return put


def test_a_new_connector_is_registered_and_waited_for(put):
    worker = Connect()
    assert put(worker, {"a": "1"}) == "c"
    assert (worker.calls, worker.tasks) == (["PUT config"], ["new"])


def test_the_same_configuration_restarts_nothing(put):
    worker = Connect({"a": "1"})
    put(worker, {"a": "1"})
    assert (worker.calls, worker.tasks) == ([], ["old"])


@pytest.mark.parametrize("task", ["RUNNING", "FAILED"])
def test_a_changed_connector_is_ready_only_when_its_new_task_runs(put, task):
    worker = Connect({"a": "1"}, task)
    put(worker, {"a": "2"})
    assert (worker.config, worker.tasks) == ({"a": "2"}, ["new"])
    assert worker.calls == ["PUT stop", "PUT config", "PUT resume"]


def test_a_connector_left_stopped_goes_on(put):
    worker = Connect({"a": "1"})
    worker.status = {"connector": "STOPPED", "tasks": []}
    put(worker, {"a": "1"})
    assert (worker.calls, worker.tasks) == (["PUT resume"], ["new"])


def test_a_connector_that_does_not_stop_is_said(put):
    worker = Connect({"a": "1"})
    worker.answer = lambda: {"connector": {"state": "RUNNING"}, "tasks": [{"state": "RUNNING"}]}
    with pytest.raises(StackError, match="Connector c does not stop but is"):
        put(worker, {"a": "2"}, seconds=0.05)


def test_two_connectors_of_one_topic_prefix_are_refused(put, monkeypatch):
    worker = Connect()
    both = {"other": {"info": {"config": {"topic.prefix": "dbserver1"}}}}
    monkeypatch.setattr(worker, "registered", lambda: both)
    with pytest.raises(
        StackError, match=r"Connector c is refused: connector other already writes the topics dbserver1\."
    ):
        put(worker, {"topic.prefix": "dbserver1"})
    assert worker.calls == []
    put(worker, {"topic.prefix": "dbserver2"})
    assert worker.tasks == ["new"]
