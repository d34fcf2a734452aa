"""Processes that stand still, and a driver that is started beside another."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random

import psutil

from fraudstream.drill.fault import Fault, NotStruckError, Struck
from fraudstream.drill.helped import PARTS
from fraudstream.drill.means import refused
from fraudstream.drill.rig import ARCHIVE, MIRROR, Rig
from fraudstream.drill.signals import family, signal_all
from fraudstream.errors import FraudstreamError, Runbook
from fraudstream.health.doctor import Doctor
from fraudstream.health.limits import load_limits
from fraudstream.stack.processes import TITLES

_STOPS_S = 5.0


def freeze(rig: Rig, pids: list[int], what: str, seconds: float, runbook: Runbook | None) -> Struck:
    """Processes stopped for a while, as by a pause of the machine; meanwhile the doctor must say so."""
    if not pids:
        raise NotStruckError(f"{what} did not run")
    signal_all(pids, signal.SIGSTOP)
    try:
        _require_stopped(pids, what)
        limit = time.monotonic() + seconds
        doctor = Doctor(rig.settings, rig.pipeline, load_limits(), rig.rules_file)
        while runbook and not any(each.name == runbook for each in doctor.look()[1]):
            if time.monotonic() > limit:
                raise FraudstreamError(f"the doctor did not name {runbook} within {seconds:.0f} s")
        time.sleep(max(0.0, limit - time.monotonic()))
    finally:
        signal_all(pids, signal.SIGCONT)
    said = f"; the doctor said {runbook}" if runbook else ""
    return Struck(f"{what}, pids {pids}, stopped for {seconds:.0f} s{said}")


def _require_stopped(pids: list[int], what: str) -> None:
    """Raises NotStruckError unless all that are still there stand still within some seconds: one may be in a system
    call that ends first."""
    limit = time.monotonic() + _STOPS_S
    while (states := {_status(pid) for pid in pids} - {None}) != {psutil.STATUS_STOPPED}:
        if time.monotonic() > limit:
            raise NotStruckError(f"{what} was {', '.join(sorted(filter(None, states)))}")
        time.sleep(0.05)


def _status(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return None


def zombie_driver(rig: Rig, random: Random) -> Struck:
    """The driver frozen while a second one is started on its checkpoints: a zombie must not write beside it."""
    assert rig.driver is not None
    pids = [rig.driver.process.pid, *rig.pids()["jvm"]]
    signal_all(pids, signal.SIGSTOP)
    try:
        said = _second_driver(rig)
    finally:
        signal_all(pids, signal.SIGCONT)
    return Struck(f"driver {pids} stopped; the second one: {said}")


def second_driver(rig: Rig, random: Random) -> Struck:
    """A second driver on the checkpoints of one that runs."""
    return Struck(_second_driver(rig))


def _second_driver(rig: Rig) -> str:
    return refused(rig, "detect_fraud", rig.config, ("checkpoint-in-use",), "--with", f"{ARCHIVE},{MIRROR}")


def _component(name: str) -> Callable[[Rig], list[int]]:
    def pids(rig: Rig) -> list[int]:
        pid = rig.component_pids().get(name)
        return [] if pid is None else family(pid)

    return pids


def _everything(rig: Rig) -> list[int]:
    stack = [each for pid in rig.component_pids().values() for each in family(pid)]
    return [*stack, *(pid for pids in rig.pids().values() for pid in pids)]


def _frozen(
    name: str, what: str, pids: Callable[[Rig], list[int]], seconds: float, runbook: Runbook | None = None,
    given_up: tuple[str, ...] = (),
) -> Fault:  # fmt: skip
    """The freeze of some processes. `given_up`: what may have failed by the time they thaw."""
    said = "the doctor says so; " if runbook else ""
    but = f" but {' and '.join(given_up)}, which may have given up" if given_up else ""
    return Fault(
        name=f"freeze_{name}", rows=(8,), must_hold=f"{said}no loss; all goes on alone when it thaws{but}",
        strike=lambda rig, random: freeze(rig, pids(rig), what, seconds, runbook),
        alone=tuple(part for part in PARTS if part not in given_up),
    )  # fmt: skip


# PostgreSQL ends the session of a reader that is silent for 60 s (wal_sender_timeout). The broker gives up Connect's
# transaction after 15 s (producer.transaction.timeout.ms), of which its connector may fail; queries wait for 60 s.
FROZEN = (
    Fault(
        name="second_driver", rows=(3,), must_hold="the second start is refused by name; nothing is written by it",
        strike=second_driver,
    ),
    Fault(
        name="zombie_driver", rows=(3,), strike=zombie_driver, alone=("driver",),
        must_hold="the second start is refused while the first is frozen; it goes on alone",
    ),
    _frozen("connect", TITLES["connect"], _component("connect"), 75, "connect-down", ("connector",)),
    _frozen("kafka", TITLES["kafka"], _component("kafka"), 75, "kafka-down", ("connector", "driver")),
    _frozen("postgres", TITLES["postgres"], _component("postgres"), 30, "postgres-down"),
    _frozen("jvm", "the driver's JVM", lambda rig: rig.pids()["jvm"], 30, "driver-frozen"),
    _frozen("python", "the driver's Python", lambda rig: rig.pids()["python"], 20, "driver-frozen"),
    _frozen("everything", "the stack and the driver", _everything, 20, None, ("connector",)),
    _frozen("workers", "the driver's Python workers", lambda rig: rig.pids()["workers"], 20),
)  # fmt: skip
