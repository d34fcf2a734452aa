"""Supervision of a real pipeline: what is killed comes back by itself, a wrong password is left alone and named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import yaml

from fixtures.short_lived import short_lived
from fraudstream.health import canaries
from fraudstream.stack import connect
from fraudstream.stack.processes import process_of
from fraudstream.stack.queries import query_states
from fraudstream.stack.settings import REPOSITORY
from stack.world import RULES, World, world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]


@pytest.fixture
def ours(stack, tmp_path: Path) -> Iterator[World]:
    with world(stack, None, tmp_path, "supervised") as made:  # type: ignore[arg-type]
        made.capture()
        made.sql("insert into transactions (user_id, amount) values (1, 1)")
        made.wait_for_row(1)
        yield made


@pytest.fixture
def supervisor(ours: World, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    config, rules, log = tmp_path / "pipeline.yaml", tmp_path / "rules.yaml", tmp_path / "supervisor.log"
    config.write_text(yaml.safe_dump(asdict(ours.pipeline)))
    rules.write_text(RULES)
    options = ["--config", config, "--rules-file", rules, "--connectors", "none", "--with", ""]
    options += ["--rules", "high_amount"]  # one query starts and warms up sooner
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, REPOSITORY / "jobs" / "supervise_pipeline.py", *options],
            env=short_lived(), stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(90)


def parts(ours: World) -> dict[str, Any]:
    return dict(json.loads((ours.settings.home / "supervisor" / "supervisor.json").read_text())["parts"])


def until(condition: Callable[[], bool], ours: World, seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, (ours.settings.home / "supervisor" / "supervisor.json").read_text()
        time.sleep(0.2)


def running_driver(ours: World, other_than: int | None = None) -> int | None:
    """The pid of a driver whose query runs."""
    pid, states = query_states(ours.pipeline.progress)
    return pid if pid != other_than and states == {"high_amount": "running"} else None


def kill(ours: World, component: str) -> int:
    process = process_of(ours.settings, component)
    assert process is not None
    process.kill()
    psutil.wait_procs([process], 10)
    return process.pid


def set_password(ours: World, password: str) -> None:
    database = psycopg2.connect(ours.settings.dsn("postgres"))
    try:
        with database, database.cursor() as cursor:
            cursor.execute("alter role capture password %s", (password,))
    finally:
        database.close()


def test_what_is_killed_comes_back_and_a_wrong_password_is_named(ours: World, supervisor: subprocess.Popen[bytes]):
    until(lambda: running_driver(ours) is not None, ours)
    first = running_driver(ours)
    assert first is not None
    os.kill(first, signal.SIGKILL)  # Python alone: its JVM must not go on beside the next driver's
    former = {component: kill(ours, component) for component in ("connect", "kafka")}
    for component, pid in former.items():
        until(lambda c=component, p=pid: (found := process_of(ours.settings, c)) is not None and found.pid != p, ours)
    until(lambda: running_driver(ours, first) is not None, ours)
    name = ours.connector["name"]
    until(lambda: connect.connector_status(ours.settings, name)["tasks"] == ["RUNNING"], ours)
    sent = canaries.send(ours.settings.dsn("app"), ours.pipeline, ["high_amount"], within=90)
    assert sent.late == []

    password = (ours.settings.folder / "secrets/capture.properties").read_text().strip().removeprefix("password=")
    set_password(ours, "wrong")
    try:
        connect._call(ours.settings, "POST", f"/connectors/{name}/restart?includeTasks=true")
        until(lambda: parts(ours)[f"connector {name}"]["state"] == "stopped", ours)
        assert "[docs/operations.md: connector-failed]" in parts(ours)[f"connector {name}"]["why"]
    finally:
        set_password(ours, password)
    connect.restart_failed(ours.settings, name)
    until(lambda: parts(ours)[f"connector {name}"]["state"] == "running", ours)
    assert parts(ours)["driver"]["state"] == "running"

    last = running_driver(ours)
    supervisor.terminate()
    assert supervisor.wait(90) == 0
    assert last is not None
    assert not psutil.pid_exists(last)
