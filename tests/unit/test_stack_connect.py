"""Registering connectors, against a Connect of few words: what it is told takes effect some answers later."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fraudstream.errors import GuardError, StackError
from fraudstream.rulebook.definition import KEYS
from fraudstream.stack import connect, guard
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


class Broker:
    """Topics with their numbers of partitions."""

    def __init__(self, topics):
        self.found = {name: SimpleNamespace(partitions=range(number)) for name, number in topics.items()}

    def list_topics(self, timeout):
        return SimpleNamespace(topics=self.found)


@pytest.fixture
def put(monkeypatch, tmp_path):
    monkeypatch.setattr(connect, "variables", lambda settings: {})
    monkeypatch.setattr(guard, "require_slot", lambda *given, **options: None)
    monkeypatch.setattr(guard, "require_replica_identity", lambda *given: None)
    monkeypatch.setattr(guard.kafka, "admin", lambda settings: Broker({}))
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


OURS = {"topic.prefix": "shop", "table.include.list": "public.transactions"}
BY_USER, BY_ID = ({"message.key.columns": f"public.transactions:{column}"} for column in ("user_id", "id"))
BY_MERCHANT = {"message.key.columns": r"public\..*:merchant_id"}
TWO = {"topic.creation.default.partitions": "2"}


@pytest.mark.parametrize(
    ("topics", "config", "found"),
    [
        ({}, OURS | TWO, "2 partitions, .* keyed by the primary key"),
        ({"shop.public.transactions": 3}, OURS, "3 partitions, .* keyed by the primary key"),
        ({}, OURS | TWO | BY_ID, "2 partitions, .* keyed by id"),
        ({}, OURS | TWO | {"message.key.columns": "public.transactions:user_id,id"}, "keyed by id, user_id"),
        ({}, OURS | TWO | {"message.key.columns": "public.people:user_id"}, "keyed by the primary key"),
        ({}, {"topic.prefix": "shop"} | TWO, "keyed by the primary key"),
    ],
)
def test_a_connector_that_gives_a_users_changes_no_order_is_not_registered(put, monkeypatch, topics, config, found):
    worker = Connect()
    monkeypatch.setattr(guard.kafka, "admin", lambda settings: Broker(topics))
    with pytest.raises(GuardError, match=f"{found}.*Set message.key.columns to public.transactions:user_id") as refusal:
        put(worker, config)
    assert refusal.value.runbook == "topic-key"
    assert worker.calls == []


@pytest.mark.parametrize(
    ("topics", "config"),
    [
        ({}, OURS | TWO | BY_USER),
        ({"shop.public.transactions": 2}, OURS | BY_MERCHANT),
        ({}, OURS),  # as the exercise's connector: the broker makes topics of one partition
        ({"shop.public.transactions": 1}, OURS | TWO | BY_ID),
        ({}, OURS | TWO | {"table.include.list": "public.people_big"}),
        ({}, TWO | {"topic.prefix": "shop", "table.exclude.list": r"public\.trans.*"}),
        ({}, TWO | {"topic.prefix": "shop", "schema.include.list": "sales"}),
    ],
)
def test_any_key_serves_a_topic_of_one_partition_and_a_rules_key_any_topic(put, monkeypatch, topics, config):
    worker = Connect()
    monkeypatch.setattr(guard.kafka, "admin", lambda settings: Broker(topics))
    put(worker, config)
    assert worker.tasks == ["new"]


def test_the_keys_that_serve_are_those_of_rules():
    assert tuple({key} for key in KEYS) == guard._KEYS


def test_the_key_of_messages_that_are_there_is_not_changed(put, monkeypatch):
    worker = Connect(OURS | TWO | BY_USER)
    monkeypatch.setattr(guard.kafka, "admin", lambda settings: Broker({"shop.public.transactions": 2}))
    monkeypatch.setattr(guard.offsets, "written_lsn", lambda settings, topic: {"shop.public.transactions": 8}[topic])
    with pytest.raises(GuardError, match="are keyed by user_id, and from now on would be by merchant_id") as refusal:
        put(worker, OURS | TWO | BY_MERCHANT)
    assert (refusal.value.runbook, worker.calls) == ("topic-key", [])
    monkeypatch.setattr(guard.offsets, "written_lsn", lambda settings, topic: None)
    put(worker, OURS | TWO | BY_MERCHANT)
    assert worker.tasks == ["new"]
