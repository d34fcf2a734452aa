"""What status says of the streaming queries, from their files, and what purge refuses."""

from __future__ import annotations

import fcntl
import json

import pytest

from fraudstream.errors import StackError
from fraudstream.stack import lifecycle, queries, status
from fraudstream.stack.settings import free_ports, load_settings
from fraudstream.streams import manifest

LINE = {"read": 12, "judged": 5, "history": 1, "unjudged": 2, "unreadable": 1, "ignored": 3}


@pytest.fixture
def settings(tmp_path):
    for name in ("progress", "checkpoints", "stack"):
        (tmp_path / name).mkdir()
    return load_settings(tmp_path, free_ports())


def write(settings, query, *lines):
    text = "".join(json.dumps({"batch_id": number, **line}) + "\n" for number, line in enumerate(lines))
    (settings.home / "progress" / f"{query}.jsonl").write_text(text)


def tell(settings, **states):
    (settings.home / "progress" / "queries.json").write_text(json.dumps({"pid": 4711, "queries": states}))


@pytest.fixture
def held(settings):
    """A driver's lock on velocity's checkpoint; the folder beside it has a lock file that nobody holds."""
    (settings.home / "checkpoints" / ".anomaly.lock").touch()
    with (settings.home / "checkpoints" / ".velocity.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_parts_are_summed_over_batches_and_must_make_up_what_was_read(settings):
    write(settings, "velocity", LINE, LINE)
    write(settings, "anomaly", LINE, {**LINE, "ignored": 2})
    write(settings, "corrected", {**LINE, "ignored": 1, "corrected": 2})
    write(settings, "archive_alerts", {"read": 7, "unreadable": 0})
    found = queries.queries(settings.home / "progress", settings.home / "checkpoints")["queries"]
    assert found["velocity"]["read"] == 24
    assert found["velocity"]["parts"] == {
        "judged": 10, "history": 2, "corrected": 0, "unjudged": 4, "unreadable": 2, "ignored": 6,
    }  # fmt: skip
    assert {name: each["holds"] for name, each in found.items()} == {
        "velocity": True, "anomaly": False, "corrected": True, "archive_alerts": None,
    }  # fmt: skip


def test_a_shared_query_is_told_by_the_names_of_its_rules(settings):
    write(settings, "velocity", LINE)
    folder = settings.home / "checkpoints" / "windows"
    folder.mkdir()
    (folder / manifest.FILE).write_text(json.dumps({"shared_by": "anomaly, velocity"}))
    with (folder.parent / ".windows.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        states = queries.states_of(settings.home / "progress", settings.home / "checkpoints")
    assert states == {"anomaly": "running", "velocity": "running"}


def test_another_use_of_a_manifest_is_taken_for_no_list(settings):
    folder = settings.home / "checkpoints" / "poll_transactions"
    folder.mkdir()
    (folder / manifest.FILE).write_text(json.dumps({"rules": 3}))
    with (folder.parent / ".poll_transactions.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert queries.states_of(settings.home / "progress", folder.parent) == {"poll_transactions": "running"}


def test_the_newest_line_of_a_batch_counts_and_a_torn_one_does_not(settings):
    path = settings.home / "progress" / "velocity.jsonl"
    lines = [{"batch_id": 0, "read": 1}, {"batch_id": 1, "read": 2}, {"batch_id": 1, "read": 3}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"batch_id": 2, "re')
    assert [line["read"] for line in queries.progress_lines(str(path.parent), "velocity")] == [1, 3]
    assert queries.progress_lines(str(path.parent), "anomaly") == []


def test_a_state_is_what_the_driver_told_while_it_holds_the_checkpoint(settings, held):
    tell(settings, velocity="running", anomaly="running", high_amount="failed: E: x", archive_alerts="done")
    found = queries.queries(settings.home / "progress", settings.home / "checkpoints")
    assert {name: each["state"] for name, each in found["queries"].items()} == {
        "velocity": "running", "anomaly": "stopped", "high_amount": "failed: E: x", "archive_alerts": "stopped",
    }  # fmt: skip
    assert (found["pid"], found["drivers"]) == (4711, ["velocity"])


@pytest.fixture
def shown(settings, monkeypatch):
    """The status of a stack whose components run."""
    slot = {"name": "s", "database": "mydb", "active": False, "wal_status": "reserved", "retained_bytes": 0}
    answers = {"postgres": [slot], "kafka": {}, "connect": {}}
    monkeypatch.setattr(status, "process_of", lambda settings, component: component)
    monkeypatch.setattr(status, "answers", lambda questions, seconds: answers)
    monkeypatch.setattr(
        status, "_component", lambda settings, name, answers: {"state": "running", "pid": None, "port": 1}
    )

    def show():
        found = status.status(settings)
        return found, status.as_text(found)

    show.slot = slot
    return show


def test_a_healthy_stack_shows_where_what_was_read_went(settings, shown):
    write(settings, "mirror_transactions", {**LINE, "read": 1012, "judged": 1005})
    found, text = shown()
    assert found["healthy"]
    assert found["streams"]["quarantined"] == 1
    assert "query mirror_transactions  stopped  read 1,012 = judged 1,005 + history 1 + unjudged 2" in text
    assert "quarantined: 1 messages that cannot be read, in lake/quarantine" in text


def test_a_component_that_we_did_not_start_runs_if_it_answers_on_its_port(settings, monkeypatch):
    listening = {settings.postgres_port, settings.kafka_port}  # to the second we have no password
    monkeypatch.setattr(status, "is_open", lambda port: port in listening)
    asked = []

    def answers(questions, seconds):
        asked.extend(questions)
        return {"postgres": [], "kafka": None}

    monkeypatch.setattr(status, "answers", answers)
    found = status.status(settings)
    assert asked == ["postgres", "kafka"]
    assert {name: (each["state"], each["pid"]) for name, each in found["components"].items()} == {
        "postgres": ("running", None), "kafka": ("stopped", None), "connect": ("stopped", None),
    }  # fmt: skip
    port = settings.postgres_port
    assert f"PostgreSQL     running       port {port}  answers there, not started by `make up`" in status.as_text(found)


def test_a_lost_slot_is_not_healthy(shown):
    shown.slot["wal_status"] = "lost"
    found, text = shown()
    assert not found["healthy"]
    assert "slot s (mydb): not active, lost" in text
    assert "its log is gone: `make up UP=--renew-slot` reads every row again" in text
    assert "purge" not in text, "it would delete lake and checkpoints, too"


def test_a_failed_query_is_not_healthy_and_shown_with_its_error(settings, shown):
    tell(settings, velocity="failed: ValueError: no such column")
    found, text = shown()
    assert not found["healthy"]
    assert "query velocity             failed   read 0\n    ValueError: no such column" in text


def test_a_shadows_failure_harms_nobody(settings, shown):
    tell(settings, velocity="shadow failed: ValueError: x")
    assert shown()[0]["healthy"]


def test_records_that_are_lost_are_not_healthy(settings, shown):
    write(settings, "velocity", {**LINE, "read": 13})
    found, text = shown()
    assert not found["healthy"]
    assert "read 13 ≠ judged 5 + history 1 + unjudged 2 + unreadable 1 + ignored 3" in text


def test_purge_refuses_while_a_driver_holds_a_checkpoint(settings, held):
    tell(settings, velocity="running")
    with pytest.raises(StackError, match=r"velocity: a driver \(pid 4711\) runs on these checkpoints .*; nothing is"):
        lifecycle.purge(settings)
    assert (settings.home / "checkpoints").exists()


def test_purge_deletes_what_no_driver_holds(settings):
    (settings.home / "checkpoints" / ".velocity.lock").touch()
    assert settings.home / "checkpoints" in lifecycle.purge(settings)
    assert not (settings.home / "checkpoints").exists()
