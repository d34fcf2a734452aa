"""What the doctor must name: each condition is made, named, and taken back."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import psycopg2

from fraudstream.drill.fault import Fault, Struck
from fraudstream.drill.means import ended
from fraudstream.drill.records import poison
from fraudstream.drill.rig import CONNECTOR, Rig
from fraudstream.drill.signals import signal_all
from fraudstream.errors import FraudstreamError, Runbook
from fraudstream.health.doctor import Doctor
from fraudstream.health.limits import Limits, load_limits
from fraudstream.stack import connect, kafka, lifecycle, postgres
from fraudstream.streams import progress

Look = tuple[Limits, Path]
_CANARY_S = 120.0


def doctor_names(rig: Rig, random: Random) -> Struck:
    """One condition after the other; the doctor names it, and before and after it finds nothing of the kind."""
    for runbooks, condition in _CONDITIONS:
        usual = Doctor(rig.settings, rig.pipeline, load_limits(), rig.rules_file)
        rig.until(lambda: not _named(usual, runbooks), f"the end of {', '.join(runbooks)}")  # noqa: B023
        with condition(rig, random) as (limits, rules):
            doctor = Doctor(rig.settings, rig.pipeline, limits, rules)
            rig.until(lambda: _named(doctor, runbooks) == set(runbooks), f"{', '.join(runbooks)}")  # noqa: B023
    names = [runbook for runbooks, _ in _CONDITIONS for runbook in runbooks]
    return Struck(f"named: {', '.join(names)}")


def _named(doctor: Doctor, runbooks: tuple[Runbook, ...]) -> set[Runbook]:
    return {each.name for each in doctor.look()[1] if each.name in runbooks and each.next}


@contextmanager
def _stopped(rig: Rig, halt: Callable[..., bool]) -> Iterator[Look]:
    halt(rig.settings)
    try:
        yield load_limits(), rig.rules_file
    finally:
        rig.restore()


@contextmanager
def _poisoned(rig: Rig, random: Random) -> Iterator[Look]:
    poison(rig, random)
    yield load_limits(), rig.rules_file


@contextmanager
def _behind(rig: Rig, random: Random) -> Iterator[Look]:
    """Any lag is too much."""
    yield replace(load_limits(), behind_s=0), rig.rules_file


@contextmanager
def _nobody_runs(rig: Rig, random: Random) -> Iterator[Look]:
    """The driver ended in order, as by a restart of the machine."""
    rig.stop_driver()
    try:
        yield replace(load_limits(), behind_s=0), rig.rules_file
    finally:
        rig.restore()


@contextmanager
def _many_files(rig: Rig, random: Random) -> Iterator[Look]:
    yield replace(load_limits(), small_files=0), rig.rules_file


@contextmanager
def _little_room(rig: Rig, random: Random) -> Iterator[Look]:
    yield replace(load_limits(), disk_free_bytes=2**62), rig.rules_file


@contextmanager
def _small_budget(rig: Rig, random: Random) -> Iterator[Look]:
    rules = rig.home / "budget.yaml"
    rules.write_text("high_amount: {severity: medium, budget: 1/day}\n", encoding="utf-8")
    yield load_limits(), rules


@contextmanager
def _uncounted(rig: Rig, random: Random) -> Iterator[Look]:
    """A line of a batch that says that more was read than became of it."""
    name = rig.rules[0].name
    file = Path(rig.pipeline.progress, f"{name}.jsonl")
    last = max(line["batch_id"] for line in progress.read_lines(rig.pipeline.progress, name))
    rig.stop_driver()
    kept = file.read_bytes()
    parts = dict.fromkeys(progress.PARTS, 0)
    progress.append_line(rig.pipeline.progress, name, {"batch_id": last + 1, "read": 1, **parts})
    try:
        yield load_limits(), rig.rules_file
    finally:
        file.write_bytes(kept)
        rig.restore()


@contextmanager
def _killed_driver(rig: Rig, random: Random) -> Iterator[Look]:
    assert rig.driver is not None
    signal_all([rig.driver.process.pid, *rig.pids()["jvm"]], signal.SIGKILL)
    rig.driver.process.wait(10)
    try:
        yield load_limits(), rig.rules_file
    finally:
        rig.restore()


@contextmanager
def _frozen_driver(rig: Rig, random: Random) -> Iterator[Look]:
    pids = rig.pids()["jvm"]
    signal_all(pids, signal.SIGSTOP)
    try:
        yield load_limits(), rig.rules_file
    finally:
        signal_all(pids, signal.SIGCONT)


@contextmanager
def _without_connector(rig: Rig, random: Random) -> Iterator[Look]:
    connect.delete_connector(rig.settings, CONNECTOR)
    try:
        yield load_limits(), rig.rules_file
    finally:
        lifecycle.up(rig.settings)  # it goes on where it was


@contextmanager
def _stopped_connector(rig: Rig, random: Random) -> Iterator[Look]:
    """Nobody reads the slot, and a moment or a byte is too much."""
    connect.stop_connector(rig.settings, CONNECTOR)
    try:
        yield replace(load_limits(), slot_inactive_s=0, slot_left_percent=100), rig.rules_file
    finally:
        lifecycle.up(rig.settings)


@contextmanager
def _locked_heartbeat(rig: Rig, random: Random) -> Iterator[Look]:
    database = psycopg2.connect(rig.settings.dsn("postgres"))
    try:
        database.cursor().execute("LOCK TABLE dbz.heartbeat IN EXCLUSIVE MODE")
        yield replace(load_limits(), heartbeat_s=12), rig.rules_file
    finally:
        database.close()


@contextmanager
def _late_canary(rig: Rig, random: Random) -> Iterator[Look]:
    """A canary that nobody captures in time; the next one is."""
    connect.stop_connector(rig.settings, CONNECTOR)
    try:
        _send_canary(rig, "1s", 1)
        yield load_limits(), rig.rules_file
    finally:
        lifecycle.up(rig.settings)
        rig.await_recovered(rig.wal())
        _send_canary(rig, "60s", 0)


def _send_canary(rig: Rig, within: str, code: int) -> None:
    options = ["--rules-file", str(rig.rules_file), "--within", within]
    sending = ended(rig, "send_canary", options, "canary.log", _CANARY_S)
    if sending.process.returncode != code:
        raise FraudstreamError(f"the canary ended with {sending.process.returncode}: {sending.last_words()}")


Condition = Callable[[Rig, Random], AbstractContextManager[Look]]
_CONDITIONS: tuple[tuple[tuple[Runbook, ...], Condition], ...] = (
    (("postgres-down",), lambda rig, _: _stopped(rig, postgres.halt)),
    (("kafka-down",), lambda rig, _: _stopped(rig, kafka.halt)),
    (("connect-down",), lambda rig, _: _stopped(rig, connect.halt)),
    (("connector-missing",), _without_connector),
    (("connector-paused", "slot-inactive", "slot-near-cap"), _stopped_connector),
    (("heartbeat-stale",), _locked_heartbeat),
    (("driver-frozen",), _frozen_driver),
    (("driver-dead",), _killed_driver),
    (("canary-late",), _late_canary),
    (("quarantine-growing",), _poisoned),
    (("query-behind",), _behind),
    (("query-behind",), _nobody_runs),
    (("small-files",), _many_files),
    (("disk-low",), _little_room),
    (("alerts-over-budget",), _small_budget),
    (("records-unaccounted",), _uncounted),
)
WATCH = (
    Fault(
        name="doctor_names", rows=(), strike=doctor_names,
        must_hold="the doctor names what is wrong and the next step; nothing is lost meanwhile",
    ),
)  # fmt: skip
