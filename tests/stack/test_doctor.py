"""Faults put into a running stack one by one: the doctor names each, with its next step, and is content before and
after. The driver is a process that does what a driver leaves to see, without Spark."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg2
import pytest
from confluent_kafka.admin import NewTopic

from fraudstream.health.facts import gather
from fraudstream.health.findings import Finding, findings
from fraudstream.health.limits import load_limits
from fraudstream.stack import connect, guard, kafka, lifecycle, offsets, postgres, status
from fraudstream.stack.processes import process_of
from stack.world import World, world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
# Limits that need no minutes to be passed; a slot may be idle for a moment while a connector restarts.
LIMITS = load_limits({"disk_free_bytes": "1", "slot_inactive_s": "1", "heartbeat_s": "3"})
_DRIVER = """
import json, os, sys, time
from pathlib import Path
from fraudstream.streams.manifest import hold_checkpoint
checkpoints, progress = sys.argv[1:]
hold_checkpoint(f"{checkpoints}/anomaly")
path = Path(progress, "queries.json")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps({"pid": os.getpid(), "queries": {"anomaly": "running"}}))
time.sleep(600)
"""


@pytest.fixture(scope="module")
def ours(stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("doctor")
    with world(stack, None, folder, "doctor", heartbeat__interval__ms="500") as made:  # type: ignore[arg-type]
        made.capture()
        made.sql("insert into transactions (user_id, amount) values (1, 1)")
        made.wait_for_row(1)
        yield made


def look(ours: World, **changes: object) -> list[Finding]:
    settings = replace(ours.settings, **changes)  # type: ignore[arg-type]
    return findings(gather(settings, ours.pipeline), LIMITS)


def found(ours: World, name: str, part: str, seconds: float = 30) -> None:
    """Wait until the doctor names it."""
    until(lambda: any((each.name, each.part) == (name, part) and each.next for each in look(ours)), ours, seconds)


def healthy(ours: World, seconds: float = 60) -> None:
    until(lambda: not look(ours), ours, seconds)


def until(condition: Callable[[], bool], ours: World, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, look(ours)
        time.sleep(0.1)


def admin(ours: World, *statements: str) -> None:
    database = psycopg2.connect(ours.settings.dsn("postgres"))
    try:
        database.autocommit = True
        with database.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        database.close()


def ask(ours: World, method: str, action: str) -> None:
    connect._call(ours.settings, method, f"/connectors/{ours.connector['name']}/{action}")


@contextmanager
def driver(ours: World) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [sys.executable, "-c", _DRIVER, ours.pipeline.checkpoints, ours.pipeline.progress]
    process = subprocess.Popen(arguments)
    told = Path(ours.pipeline.progress, "queries.json")
    try:
        until(lambda: told.exists() and json.loads(told.read_text())["pid"] == process.pid, ours, 30)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_driver_that_is_frozen_or_killed_or_has_a_failed_query(ours: World):
    healthy(ours)
    told = Path(ours.pipeline.progress, "queries.json")
    with driver(ours) as process:
        healthy(ours)
        process.send_signal(signal.SIGSTOP)
        found(ours, "driver-frozen", "driver")
        process.send_signal(signal.SIGCONT)
        healthy(ours)
        told.write_text(told.read_text().replace('"running"', '"failed: ValueError: x"'))
        found(ours, "query-failed", "anomaly")
        told.write_text(told.read_text().replace('"failed: ValueError: x"', '"running"'))
        healthy(ours)
        process.kill()
        process.wait()
        found(ours, "driver-dead", "driver")
    told.unlink()
    healthy(ours)


def test_other_versions_and_a_missing_topic(ours: World):
    versions = {**ours.settings.versions, "debezium": "9.9"}
    assert {("wrong-versions", "debezium"), ("wrong-versions", "docker/.env")} == {
        (each.name, each.part) for each in look(ours, versions=versions)
    }
    client = kafka.admin(ours.settings)
    topic = ours.pipeline.kafka.alerts_topic
    client.delete_topics([topic])[topic].result(30)
    found(ours, "topic-missing", topic)
    client.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    healthy(ours)


def test_a_connector_that_is_paused_or_silent_or_has_a_wrong_password(ours: World):
    name = ours.connector["name"]
    ask(ours, "PUT", "pause")
    found(ours, "connector-paused", name)
    ask(ours, "PUT", "resume")
    healthy(ours)
    locker = psycopg2.connect(ours.settings.dsn("postgres"))
    try:
        locker.cursor().execute("lock table dbz.heartbeat in exclusive mode")
        found(ours, "heartbeat-stale", name)
    finally:
        locker.close()
    healthy(ours)
    password = (ours.settings.folder / "secrets/capture.properties").read_text().strip().removeprefix("password=")
    admin(ours, "alter role capture password 'wrong'")
    ask(ours, "POST", "restart?includeTasks=true")
    try:
        found(ours, "connector-failed", name)
    finally:
        admin(ours, f"alter role capture password '{password}'")
    ask(ours, "POST", "restart?includeTasks=true&onlyFailed=true")
    healthy(ours)


def test_of_two_connectors_of_a_database_the_one_is_named_that_does_not_write_its_heartbeat(ours: World):
    people = json.loads((connect.CONNECTORS / "people.json").read_text())
    own = {"topic.prefix": "doctor_people", "slot.name": "doctor_people_slot", "heartbeat.interval.ms": "500"}
    connect.put_connector(ours.settings, {"name": "doctor_people", "config": people["config"] | own})
    locker = psycopg2.connect(ours.settings.dsn("postgres"))
    try:
        locker.cursor().execute("select * from dbz.heartbeat where id = 1 for update")
        silent = [("heartbeat-stale", ours.connector["name"])]
        until(lambda: [(each.name, each.part) for each in look(ours)] == silent, ours, 60)
    finally:
        locker.close()
        connect.delete_connector(ours.settings, "doctor_people")
        postgres.drop_slot(ours.settings, "doctor_people_slot", 30)
    healthy(ours)


@pytest.mark.parametrize("component", ["connect", "kafka", "postgres"])
def test_a_component_that_is_killed(ours: World, component: str):
    process = process_of(ours.settings, component)
    assert process is not None
    process.kill()
    psutil.wait_procs([process], 10)
    found(ours, f"{component}-down", component)
    lifecycle.up(ours.settings, connector=None)
    name = ours.connector["name"]
    if "FAILED" in connect.connector_status(ours.settings, name)["tasks"]:
        ask(ours, "POST", "restart?includeTasks=true&onlyFailed=true")
    healthy(ours)


def test_a_component_that_is_frozen_keeps_nobody_longer_than_the_bound(ours: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(status, "_SECONDS", 4.0)
    process = process_of(ours.settings, "connect")
    assert process is not None
    process.suspend()
    try:
        began = time.monotonic()
        # On a busy machine the slot may have been left by then.
        assert {each.name for each in look(ours)} - {"slot-inactive"} == {"connect-down"}
        assert time.monotonic() - began < 60
    finally:
        os.kill(process.pid, signal.SIGCONT)
    healthy(ours)


def test_a_slot_that_nobody_reads_is_moved_lost_dropped_and_its_connector_deleted(ours: World):
    name, slot = ours.connector["name"], ours.connector["config"]["slot.name"]
    ask(ours, "PUT", "stop")
    found(ours, "slot-inactive", slot)
    ours.sql("insert into transactions (user_id, amount) values (1, 1)")
    admin(ours, f"select pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")
    found(ours, "slot-ahead", name)
    prefix = ours.connector["config"]["topic.prefix"]
    offsets.store_lsn(ours.settings, name, prefix, guard.end_lsn(ours.settings) + 2**30)
    found(ours, "database-restored", name)
    log = ("select pg_logical_emit_message(true, 'x', 'y')", "select pg_switch_wal()")
    try:
        admin(ours, "alter system set max_slot_wal_keep_size = '48MB'", "select pg_reload_conf()")
        while "slot-near-cap" not in {each.name for each in look(ours)}:
            admin(ours, *log)  # a segment of 16 MB
        admin(ours, *3 * log, "checkpoint")
        found(ours, "slot-lost", slot)
    finally:
        admin(ours, "alter system reset max_slot_wal_keep_size", "select pg_reload_conf()")
    admin(ours, f"select pg_drop_replication_slot('{slot}')")
    found(ours, "slot-lost", name)
    connect.delete_connector(ours.settings, name)
    found(ours, "connector-missing", "connect")
