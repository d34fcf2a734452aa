"""What the doctor must name: each condition is made, named, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

from fraudstream.drill.fault import Fault, Struck
from fraudstream.drill.records import poison
from fraudstream.drill.rig import Rig
from fraudstream.errors import Runbook
from fraudstream.health.doctor import Doctor
from fraudstream.health.limits import Limits, load_limits
from fraudstream.stack import kafka, postgres
from fraudstream.streams import progress

Look = tuple[Limits, Path]


def doctor_names(rig: Rig, random: Random) -> Struck:
    """One condition after the other."""
    for runbook, condition in _CONDITIONS:
        with condition(rig, random) as (limits, rules):
            doctor = Doctor(rig.settings, rig.pipeline, limits, rules)

            def is_named(doctor: Doctor = doctor, name: Runbook = runbook) -> bool:
                return any(each.name == name and each.next for each in doctor.look()[1])

            rig.until(is_named, f"the doctor's {runbook}")
    return Struck(f"named: {', '.join(runbook for runbook, _ in _CONDITIONS)}")


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


_CONDITIONS: tuple[tuple[Runbook, Callable[[Rig, Random], AbstractContextManager[Look]]], ...] = (
    ("postgres-down", lambda rig, _: _stopped(rig, postgres.halt)),
    ("kafka-down", lambda rig, _: _stopped(rig, kafka.halt)),
    ("quarantine-growing", _poisoned),
    ("query-behind", _behind),
    ("small-files", _many_files),
    ("disk-low", _little_room),
    ("alerts-over-budget", _small_budget),
    ("records-unaccounted", _uncounted),
)
WATCH = (
    Fault(
        name="doctor_names", rows=(), strike=doctor_names,
        must_hold="the doctor names what is wrong and the next step; nothing is lost meanwhile",
    ),
)  # fmt: skip
