"""Processes that are killed."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from random import Random

import psutil

from fraudstream.drill.fault import Fault, NotStruckError, Struck
from fraudstream.drill.rig import Rig
from fraudstream.drill.signals import killed, signal_all
from fraudstream.errors import FraudstreamError
from fraudstream.stack import lifecycle
from fraudstream.stack.processes import TITLES

_JITTER_S = 3.0
_AWAY_S = (5, 90)
_MOMENT_S = 0.002
_TASK_S = 20.0
_TRIES, _FAILS_WITHIN_S = 10, 3.0
# What Spark logs of a task whose Python worker has died.
_TASK_FAILED = (b"Python worker exited unexpectedly", b"Lost task", b"Connection reset", b"EOFException")


def kill_driver(rig: Rig, random: Random) -> Struck:
    """The whole driver at once, as a machine that fails takes it."""
    _wait_a_moment(random)
    assert rig.driver is not None
    pids = rig.pids()
    process = rig.driver.process
    since = time.monotonic()
    signal_all([*pids["jvm"], process.pid], signal.SIGKILL)
    code = process.wait(10)
    _require_gone([*pids["jvm"], *pids["workers"]], "the driver's JVM and workers")
    _require(code == -signal.SIGKILL, f"the driver ended with {code}")
    return Struck(f"driver pid {process.pid} and JVM pid {pids['jvm']}: exit code {code}", 1, since)


def kill_jvm(rig: Rig, random: Random) -> Struck:
    """The JVM alone: Python must notice and end with an error."""
    _wait_a_moment(random)
    assert rig.driver is not None
    pids, since = rig.pids(), time.monotonic()
    _require(bool(pids["jvm"]), "no JVM was there")
    signal_all(pids["jvm"], signal.SIGKILL)
    _require_gone([*pids["jvm"], *pids["workers"]], "the JVM and its workers")
    code = rig.driver.process.wait(60)
    _require(code not in (0, None), f"the driver went on to exit code {code}")
    return Struck(f"JVM pid {pids['jvm']} gone, driver ended with {code}", 1, since)


def kill_python(rig: Rig, random: Random) -> Struck:
    """The driver's Python alone: no orphaned JVM may go on writing."""
    _wait_a_moment(random)
    assert rig.driver is not None
    pids, since = rig.pids(), time.monotonic()
    rig.driver.process.kill()
    code = rig.driver.process.wait(10)
    if not killed([*pids["jvm"], *pids["workers"]]):
        raise FraudstreamError(f"the JVM {pids['jvm']} goes on 10 s after its driver's end")
    return Struck(f"driver pid {rig.driver.process.pid}: exit code {code}; JVM gone within 10 s", 1, since)


def kill_worker(rig: Rig, random: Random) -> Struck:
    """A Python worker in the middle of a task, which fails and is tried again."""
    _wait_a_moment(random)
    # One that computes may do so between two tasks: nothing fails for it, and another one is taken.
    for _ in range(_TRIES):
        logged = rig.log.stat().st_size
        victim, since = _busy_worker(rig), time.monotonic()
        signal_all([victim], signal.SIGKILL)
        _require_gone([victim], "the worker")
        while time.monotonic() < since + _FAILS_WITHIN_S:
            if any(sign in rig.log.read_bytes()[logged:] for sign in _TASK_FAILED):
                return Struck(f"worker pid {victim} gone in a task", 1, since)
            time.sleep(0.05)
    raise NotStruckError(f"{_TRIES} workers are gone, but no task has failed for one of them")


def _busy_worker(rig: Rig) -> int:
    """A worker that is stopped while it computes."""
    limit = time.monotonic() + _TASK_S
    while time.monotonic() < limit:
        workers = rig.pids()["workers"]
        for pid in workers:
            with contextlib.suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                if process.ppid() not in workers:
                    continue  # the daemon that makes them
                process.suspend()
                while process.status() != psutil.STATUS_STOPPED:
                    time.sleep(0.0002)
                # -1: not in a system call, as one is that waits for its next task.
                if Path(f"/proc/{pid}/syscall").read_text(encoding="ascii").startswith("-1"):
                    return pid
                process.resume()
        time.sleep(_MOMENT_S)
    raise NotStruckError("no Python worker was at work")


def kill_component(rig: Rig, random: Random, component: str) -> Struck:
    """PostgreSQL's postmaster, the broker or Connect."""
    _wait_a_moment(random)
    pid = rig.component_pids().get(component)
    _require(pid is not None, f"{TITLES[component]} did not run")
    assert pid is not None
    below = psutil.Process(pid).children(recursive=True)
    since = time.monotonic()
    signal_all([pid], signal.SIGKILL)
    _require_gone([pid, *(child.pid for child in below)], TITLES[component])
    time.sleep(random.uniform(0, 2))
    return Struck(f"{TITLES[component]} pid {pid} gone", 1, since)


def broker_away(rig: Rig, random: Random) -> Struck:
    """The broker killed and away for a while, short and long."""
    proofs = []
    for seconds in _AWAY_S:
        struck = kill_component(rig, random, "kafka")
        time.sleep(seconds)
        rig.restore()
        proofs.append(f"{struck.proof} for {seconds} s")
    return Struck("; ".join(proofs), len(_AWAY_S))


def kill_stack(rig: Rig, random: Random) -> Struck:
    """PostgreSQL, Kafka and Connect in any order, within moments of each other; the driver lives."""
    _wait_a_moment(random)
    pids = rig.component_pids()
    _require(len(pids) == len(TITLES), f"only {sorted(pids)} ran")
    order = random.sample(sorted(pids), len(pids))
    since = time.monotonic()
    for name in order:
        signal_all([pids[name]], signal.SIGKILL)
        _require_gone([pids[name]], TITLES[name])
        time.sleep(random.uniform(0, 1))
    return Struck(f"gone, in this order: {', '.join(f'{TITLES[name]} pid {pids[name]}' for name in order)}", 3, since)


def kill_all(rig: Rig, random: Random) -> Struck:
    """Everything in any order, and started again in any order."""
    _wait_a_moment(random)
    pids = rig.component_pids()
    _require(len(pids) == len(TITLES), f"only {sorted(pids)} ran")
    assert rig.driver is not None
    found = [*pids.values(), *rig.pids()["jvm"], rig.driver.process.pid]
    random.shuffle(found)
    since = time.monotonic()
    signal_all(found, signal.SIGKILL)
    _require_gone(found, "all processes")
    rig.stop_driver()
    driver_first = random.random() < 0.5
    if driver_first:  # it ends with a clear error or waits; the stack comes, and it is started again
        rig.driver = rig.start_job("detect_fraud", ["--with", "archive_alerts,mirror_transactions"], rig.log)
        time.sleep(random.uniform(0, 10))
        ended = rig.driver.process.poll()
        if ended is not None and "docs/operations.md: kafka-down" not in rig.driver.last_words():
            raise FraudstreamError(f"without a broker the driver ended with {ended}: {rig.driver.last_words()}")
    lifecycle.up(rig.settings)
    if driver_first:
        rig.stop_driver()
    return Struck(f"{len(found)} processes gone; the driver started {'first' if driver_first else 'last'}", 4, since)


def _wait_a_moment(random: Random) -> None:
    time.sleep(random.uniform(0, _JITTER_S))


def _require(condition: bool, seen: str) -> None:
    if not condition:
        raise NotStruckError(seen)


def _require_gone(pids: list[int], what: str) -> None:
    _require(killed(pids), f"{what} did not end")


def component(name: str) -> Fault:
    """The kill of a component."""
    row, holds, alone = {
        "connect": (4, "no loss; nothing doubled in the topic (exactly-once source) or in Delta", ()),
        "kafka": (7, "acknowledged records survive; Connect and Spark go on alone", ("connect", "connector", "driver")),
        "postgres": (
            9, "committed is delivered; an unknown commit may go either way; the connector comes back alone",
            ("kafka", "connect", "connector", "driver"),
        ),
    }[name]  # fmt: skip
    return Fault(
        name=f"kill_{name}", rows=(row,), must_hold=holds, alone=alone,
        strike=lambda rig, random: kill_component(rig, random, name),
    )  # fmt: skip


_SAME = "no loss; nothing doubled in Delta; alerts in Kafka at most as equal copies; no orphan goes on writing"
KILLS = (
    Fault(name="kill_driver", rows=(1,), must_hold=_SAME, strike=kill_driver),
    Fault(name="kill_jvm", rows=(2,), must_hold=_SAME, strike=kill_jvm),
    Fault(name="kill_python", rows=(2,), must_hold=_SAME, strike=kill_python),
    Fault(name="kill_worker", rows=(2,), must_hold=_SAME, strike=kill_worker),
    component("connect"),
    component("kafka"),
    component("postgres"),
    Fault(
        # It gives up Connect's transaction after 15 s (producer.transaction.timeout.ms), of which its connector may
        # fail; queries wait a minute for it.
        name="broker_away", rows=(7,), strike=broker_away, kills=2, alone=("connect",),
        must_hold="acknowledged records survive; Connect's worker goes on alone, what gave up when it is started again",
    ),
    Fault(
        name="kill_stack", rows=(10,), strike=kill_stack, kills=3, alone=("driver",),
        must_hold="the driver waits and goes on alone; nothing is lost or doubled",
    ),
    Fault(
        name="kill_all", rows=(10,), must_hold="the same end state in any order of starts; clear errors meanwhile",
        kills=4, strike=kill_all,
    ),
)  # fmt: skip
