"""Conditions that a user can mend: each gives one line that says what, where and what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException

from fraudstream import cli
from fraudstream.errors import ConfigError, GuardError, Runbook, StackError
from fraudstream.stack import __main__ as command
from fraudstream.stack import guard, java, lifecycle, offsets, postgres
from fraudstream.stack.java import java_version, require_java
from fraudstream.stack.processes import crashed, pid_of, require_free_ports, start, stop, tail, wait_until
from fraudstream.stack.settings import free_ports, load_settings
from fraudstream.stack.template import render


@pytest.fixture
def settings(tmp_path):
    return load_settings(tmp_path / "home", free_ports())


@pytest.fixture(autouse=True)
def _java_is_asked_anew():
    require_java.cache_clear()
    yield
    require_java.cache_clear()


def fake_java(folder: Path, answer: str) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text(f"#!/bin/sh\necho '{answer}' >&2\n")
    (folder / "bin" / "java").chmod(0o755)


def test_a_taken_port_is_said_with_its_owner_and_the_variable_to_set(settings):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", settings.kafka_controller_port))
        other.listen()
        with pytest.raises(StackError) as refused:
            require_free_ports(settings, ["postgres", "kafka"])
    text = str(refused.value)
    assert f"Port {settings.kafka_controller_port} for Kafka is taken by" in text
    assert f"(pid {os.getpid()})" in text
    assert "set KAFKA_CONTROLLER_PORT to a free port" in text


def test_a_taken_port_stops_the_start_before_any_process(settings, monkeypatch):
    monkeypatch.setattr(lifecycle, "jars", lambda _: pytest.fail("jars were asked for"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.connect_port))
        other.listen()
        with pytest.raises(StackError, match=f"Port {settings.connect_port} for Kafka Connect is taken"):
            lifecycle.up(settings)
    assert not (settings.folder / "pids").exists()


def test_too_little_disk_is_said_in_gibibytes(settings, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(lifecycle.shutil, "disk_usage", lambda _: usage(10**12, 0, 3 * 2**29))
    with pytest.raises(StackError, match=r"has 1\.5 GiB free, and 2 GiB are needed; make room"):
        lifecycle.up(settings)


@pytest.mark.parametrize(
    ("complete", "started"), [(True, ["kafka", "connect"]), (False, ["postgres", "kafka", "connect"])]
)
def test_a_server_whose_first_start_was_killed_starts_anew(settings, monkeypatch, complete, started):
    running = {"postgres"}
    (settings.folder / "postgres").mkdir(parents=True)
    if complete:
        (settings.folder / "postgres" / "complete").touch()
    monkeypatch.setattr(postgres, "halt", lambda _: running.discard("postgres"))
    monkeypatch.setattr(lifecycle, "pid_of", lambda _, name: 1 if name in running else None)
    monkeypatch.setattr(lifecycle, "_require_conditions", lambda *_: None)
    found = []
    monkeypatch.setattr(lifecycle, "_start", lambda _, missing, *__: found.extend(missing))
    lifecycle.up(settings, None)
    assert found == started


SLOTS = {"slot-lost": "is gone", "offset-gone": "its offset is gone", "slot-ahead": "is ahead"}


@pytest.fixture
def gaps(monkeypatch) -> dict[str, Runbook | None]:
    """Connectors by name, and what a start of each is refused for."""
    found: dict[str, Runbook | None] = {}

    def require_slot(_, name, config):
        if found[name]:
            raise GuardError(f"{name} {SLOTS[found[name]]}", found[name])

    monkeypatch.setattr(offsets, "stored_connectors", lambda _: {name: {"name": name} for name in found})
    monkeypatch.setattr(guard, "require_slot", require_slot)
    return found


def test_a_new_slot_is_for_connectors_whose_start_is_refused_alone(settings, gaps):
    gaps |= {"sound": None, "without slot": "slot-lost", "without offset": "offset-gone"}
    begun = []
    lifecycle._close_gaps(settings, "renew", lambda _, name, config: begun.append((name, config)))
    assert begun == [(name, {"name": name}) for name in ("without slot", "without offset")]


@pytest.mark.parametrize(
    ("gap", "runbook"), [("renew", "slot-ahead"), ("refuse", "slot-lost"), ("refuse", "slot-ahead")]
)
def test_a_slot_that_is_ahead_is_never_renewed_and_nothing_is_unasked(settings, gaps, gap, runbook):
    gaps["moved"] = runbook
    with pytest.raises(GuardError) as refusal:
        lifecycle._close_gaps(settings, gap, lambda *_: pytest.fail("it began anew"))
    assert refusal.value.runbook == runbook


@pytest.mark.parametrize(
    ("options", "gap"),
    [([], "refuse"), (["--accept-gap"], "accept"), (["--renew-slot"], "renew"), (["--from-slot"], "from-slot")],
)
def test_each_way_to_close_a_gap_has_its_option(monkeypatch, options, gap):
    asked = []
    monkeypatch.setattr(lifecycle, "up", lambda _, connector, wanted: asked.append((connector.stem, wanted)) or 1.0)
    assert command.main(["up", *options]) == 0
    assert asked == [("transactions", gap)]


def test_no_java_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="No Java: no java on PATH; install a JDK 17 or newer"):
        require_java()


def test_a_java_home_without_java_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StackError, match=f"JAVA_HOME={tmp_path} holds no bin/java"):
        require_java()


def test_an_old_java_is_refused_with_its_version(monkeypatch, tmp_path):
    fake_java(tmp_path, 'openjdk version "11.0.2" 2019-01-15')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StackError, match="is Java 11, and 17 or newer is needed"):
        require_java()


def test_java_17_is_taken_from_java_home(monkeypatch, tmp_path):
    fake_java(tmp_path, 'openjdk version "17.0.1" 2021-10-19')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert require_java() == tmp_path / "bin" / "java"


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_202"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"21.0.1\"", 21),
        ("command not understood", None),
    ],
)  # fmt: skip
def test_the_major_version_is_read_from_every_form(output, version):
    assert java_version(output) == version
    assert java.OLDEST == 17


def test_a_recycled_pid_is_not_taken_for_ours(settings):
    start(settings, "kafka", [sys.executable, "-c", "input()"])
    noted = settings.folder / "pids" / "kafka.json"
    stop(settings, "kafka", [(9, 5)])
    mine = psutil.Process()
    noted.write_text(json.dumps({"pid": mine.pid, "started": mine.create_time() - 100}))
    assert pid_of(settings, "kafka") is None
    assert crashed(settings, "kafka")
    assert stop(settings, "kafka", [(9, 5)]) is False
    assert mine.is_running()
    assert not noted.exists()


@pytest.mark.parametrize("text", ["", "{}", "12", '{"pid": "x", "started": 1}'])
def test_a_damaged_pid_file_is_no_process(settings, text):
    noted = settings.folder / "pids" / "kafka.json"
    noted.parent.mkdir(parents=True)
    noted.write_text(text)
    assert pid_of(settings, "kafka") is None
    assert lifecycle.down(settings) == []
    assert not noted.exists()


def test_a_process_that_ends_while_it_starts_is_said_with_its_log(settings):
    start(settings, "kafka", [sys.executable, "-c", "print('no space in the log folder')"])
    with pytest.raises(StackError, match=r"Kafka ended while it started; see .*kafka\.log.*no space in the log"):
        wait_until(settings, "kafka", lambda: False, 10)
    assert crashed(settings, "kafka")


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(settings):
    program = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); child.wait()"
    )
    start(settings, "kafka", [sys.executable, "-c", program])
    log = settings.folder / "logs" / "kafka.log"
    wait_until(settings, "kafka", lambda: bool(tail(log, 1)), 10)
    child = psutil.Process(int(tail(log, 1)[0]))
    assert stop(settings, "kafka", [(15, 0.2), (9, 5)])
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_lock_file_of_a_killed_server_is_removed_when_its_pid_is_another_process(tmp_path):
    lock = tmp_path / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{tmp_path}\n")
    postgres._drop_stale_lock(tmp_path)
    assert not lock.exists()


def test_a_slot_ahead_of_the_stored_offset_is_refused_by_name(settings, monkeypatch):
    monkeypatch.setattr(guard, "confirmed_lsn", lambda *_: 0x1_0000_0002)
    monkeypatch.setattr(offsets, "stored_lsn", lambda *_: 0x1_0000_0001)
    with pytest.raises(GuardError, match="slot s stands at 1/2, ahead of the connector's stored offset 1/1"):
        guard.require_slot(settings, "transactions", {"slot.name": "s", "database.dbname": "mydb"})


@pytest.mark.parametrize(("confirmed", "stored"), [(None, None), (5, None), (5, 5), (4, 5)])
def test_a_slot_at_or_behind_the_stored_offset_or_none_passes(settings, monkeypatch, confirmed, stored):
    monkeypatch.setattr(guard, "confirmed_lsn", lambda *_: confirmed)
    monkeypatch.setattr(offsets, "stored_lsn", lambda *_: stored)
    guard.require_slot(settings, "transactions", {"slot.name": "s", "database.dbname": "mydb"})


def test_a_lost_slot_of_a_connector_that_has_stored_an_offset_is_refused_by_name(settings, monkeypatch):
    monkeypatch.setattr(guard, "confirmed_lsn", lambda *_: None)
    monkeypatch.setattr(offsets, "stored_lsn", lambda *_: 0x1_0000_0001)
    with pytest.raises(GuardError, match=r"slot s of database mydb is gone .* stored 1/1.*--renew-slot") as refusal:
        guard.require_slot(settings, "transactions", {"slot.name": "s", "database.dbname": "mydb"})
    assert refusal.value.runbook == "slot-lost"


CONFIG = {
    "slot.name": "s", "database.dbname": "mydb", "topic.prefix": "shop", "exactly.once.support": "required",
}  # fmt: skip


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch):
    """A function that sets the slot's position, the stored and the written one; what is stored later is in `moved`."""
    moved: list[tuple[str, str, int]] = []

    def known(confirmed: int | None, offset: int | None, written: int | None = None) -> list[tuple[str, str, int]]:
        monkeypatch.setattr(guard, "confirmed_lsn", lambda *_: confirmed)
        monkeypatch.setattr(offsets, "stored_lsn", lambda *_: offset)
        monkeypatch.setattr(offsets, "written_lsn", lambda *_: written)
        monkeypatch.setattr(offsets, "store_lsn", lambda _, *what: moved.append(what))
        return moved

    return known


def test_where_a_gap_is_accepted_the_slots_position_becomes_the_offset(settings, stored):
    moved = stored(9, 5)
    assert guard.move_offset(settings, "transactions", CONFIG, "slot-ahead") == 9
    assert moved == [("transactions", "shop", 9)]
    with pytest.raises(GuardError, match="slot-ahead"):
        guard.move_offset(settings, "transactions", CONFIG, "offset-gone")


def test_a_connector_that_has_written_and_lost_its_offset_is_refused_and_goes_on_from_its_slot(settings, stored):
    moved = stored(7, None, 8)
    with pytest.raises(GuardError, match=r"written changes up to 0/8, .* stands at 0/7: .*--from-slot") as refusal:
        guard.require_slot(settings, "transactions", CONFIG)
    assert refusal.value.runbook == "offset-gone"
    assert guard.move_offset(settings, "transactions", CONFIG, "offset-gone") == 7
    assert moved == [("transactions", "shop", 7)]


def test_a_slot_past_all_that_was_written_cannot_take_the_place_of_an_offset(settings, stored):
    moved = stored(9, None, 8)
    with pytest.raises(GuardError, match=r"behind that; .*--renew-slot"):
        guard.move_offset(settings, "transactions", CONFIG, "offset-gone")
    assert moved == []


@pytest.mark.parametrize(("confirmed", "written"), [(7, None), (None, 8)], ids=["nothing-written", "no-slot"])
def test_a_connector_that_begins_needs_no_offset(settings, stored, confirmed, written):
    stored(confirmed, None, written)
    guard.require_slot(settings, "transactions", CONFIG)


def test_a_first_start_that_was_killed_is_told_from_a_lost_offset_only_where_delivery_is_exactly_once(settings, stored):
    stored(7, None, 8)
    guard.require_slot(settings, "transactions", {**CONFIG, "exactly.once.support": "requested"})


def test_the_stored_position_is_the_furthest_of_the_newest_offset(settings, monkeypatch):
    records = [
        (["transactions", {"server": "a"}], {"lsn": 10, "lsn_proc": 12, "lsn_commit": 11}),
        (["other", {"server": "b"}], {"lsn": 500}),
        (["transactions", {"server": "a"}], {"lsn": 90, "lsn_commit": 99}),
    ]
    monkeypatch.setattr(offsets, "_newest_first", lambda *_: iter(records))
    assert offsets.stored_lsn(settings, "transactions") == 12
    assert offsets.stored_lsn(settings, "unknown") is None


def test_a_template_with_an_unknown_name_is_refused_and_lower_case_is_left_alone():
    assert render("a=${ONE}\n# ${TWO}\nb=${file:x:y}${two}", {"ONE": "1"}, "f") == "a=1\n# ${TWO}\nb=${file:x:y}${two}"
    with pytest.raises(ConfigError, match=r"f: nothing is known to put in for \$\{TWO\}"):
        render("${TWO}", {"ONE": "1"}, "f")


def test_the_command_line_says_one_line_and_exits_with_2(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("FRAUDSTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_PORT", "none")
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: command.main(["status"]))
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: KAFKA_PORT is 'none'; set it to a whole number from 1024 to 65535 (see docker/.env).\n"
    )


def test_an_error_of_kafka_in_a_command_is_one_line(monkeypatch, capsys, tmp_path):
    def fail(settings):
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "no broker"))

    monkeypatch.setenv("FRAUDSTREAM_HOME", str(tmp_path))
    monkeypatch.setattr(lifecycle, "down", fail)
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: command.main(["down"]))
    assert (ended.value.code, capsys.readouterr().err) == (
        2,
        "error: Kafka: no broker; `make status` shows what runs.\n",
    )


def test_the_status_of_a_stack_that_was_never_started_is_stopped_and_no_error(tmp_path):
    ports = {name: str(port) for name, port in free_ports().items()}
    done = subprocess.run(
        [sys.executable, "-m", "fraudstream.stack", "status", "--json"],
        env={**os.environ, "FRAUDSTREAM_HOME": str(tmp_path / "none"), **ports}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert {each["state"] for each in found["components"].values()} == {"stopped"}
    assert found["healthy"] is False
    assert not (tmp_path / "none").exists()
