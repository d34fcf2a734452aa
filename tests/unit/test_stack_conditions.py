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
from fraudstream.errors import ConfigError, StackError
from fraudstream.stack import __main__ as command
from fraudstream.stack import java, lifecycle, postgres
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
