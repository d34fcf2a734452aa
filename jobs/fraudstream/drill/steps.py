"""The driver killed between each pair of a batch's steps: its offsets, its messages, its tables, its commit."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from fraudstream.drill.fault import Fault, NotStruckError, Struck
from fraudstream.drill.rig import ARCHIVE, MIRROR, Rig
from fraudstream.drill.signals import killed, signal_all
from fraudstream.streams import progress

_SECONDS = 90.0
_LOOK_S = 0.001


def kill_after_offsets(rig: Rig, random: Random) -> Struck:
    """A batch is planned, and nothing of it is done."""
    query = random.choice([*(rule.name for rule in rig.rules if not rule.stateless), MIRROR, ARCHIVE])
    return _strike(rig, query, lambda began: not began, "its offsets were written")


def kill_after_kafka(rig: Rig, random: Random) -> Struck:
    """A rule's alerts are in Kafka, and its batch is not committed."""
    query = random.choice([rule.name for rule in rig.rules if not rule.stateless])
    topic, before = rig.pipeline.kafka.alerts_topic, {"ends": 0}

    def is_sent(began: bool) -> bool:
        ends = sum(rig.ends(topic).values())
        if began:
            before["ends"] = ends
        return ends > before["ends"]

    return _strike(rig, query, is_sent, "the topic of alerts had grown", among_others=True)


def kill_after_delta(rig: Rig, random: Random) -> Struck:
    """The mirror's changes are in their table, its rows and its commit are not."""
    return _strike(rig, MIRROR, _grown(rig, "transaction_changes"), "transaction_changes had a new version")


def kill_before_commit(rig: Rig, random: Random) -> Struck:
    """A table's rows are written, the batch is not committed."""
    query, table = random.choice(((MIRROR, "transactions"), (ARCHIVE, "alerts")))
    return _strike(rig, query, _grown(rig, table), f"{table} had a new version")


def _grown(rig: Rig, table: str) -> Callable[[bool], bool]:
    log, before = Path(rig.pipeline.table(table), "_delta_log"), {"versions": 0}

    def has_grown(began: bool) -> bool:
        versions = sum(path.suffix == ".json" for path in log.iterdir())
        if began:
            before["versions"] = versions
        return versions > before["versions"]

    return has_grown


def _strike(rig: Rig, query: str, done: Callable[[bool], bool], seen: str, *, among_others: bool = False) -> Struck:
    """Kill the driver at the first sight of `done` in a batch of the query; it is asked with True when one begins.

    Of a kill that came too late, after the commit, nothing is proven: the driver is started again, and the next batch
    is tried. `among_others`: what is seen may be another query's work, which is said."""
    limit = time.monotonic() + _SECONDS
    kills = 0
    while time.monotonic() < limit:
        batch = _kill_in_batch(rig, query, done, limit)
        kills += 1
        if batch is not None:
            said = f"{query}: killed in batch {batch}, when {seen}; its commit is not there"
            return Struck(said + (" (the growth may be another query's)" if among_others else ""), kills)
        rig.stop_driver()
        rig.start_driver()
    raise NotStruckError(f"{query}: {kills} kills came when the batch was committed")


def _kill_in_batch(rig: Rig, query: str, done: Callable[[bool], bool], limit: float) -> int | None:
    """Kill the driver in a batch that begins from now on; its number, or None if it was committed all the same."""
    folder = Path(rig.pipeline.checkpoint(query))
    assert rig.driver is not None
    pids = [*rig.pids()["jvm"], rig.driver.process.pid]
    first = max(progress.begun_batches(str(folder)), default=-1) + 1
    while not (folder / "offsets" / str(first)).exists():
        if time.monotonic() > limit:
            raise NotStruckError(f"{query}: no batch began within {_SECONDS:.0f} s")
        time.sleep(_LOOK_S)
    commit = folder / "commits" / str(first)
    done(True)
    while not done(False) and not commit.exists() and time.monotonic() < limit:
        time.sleep(_LOOK_S)
    signal_all(pids, signal.SIGKILL)
    rig.driver.process.wait(10)
    if not killed(pids):
        raise NotStruckError("the driver did not end")
    return None if commit.exists() else first


_SAME = "no loss; nothing doubled in Delta; alerts in Kafka at most as equal copies"
STEPS = (
    Fault(name="kill_after_offsets", rows=(1,), strike=kill_after_offsets, must_hold=_SAME),
    Fault(name="kill_after_kafka", rows=(1,), strike=kill_after_kafka, must_hold=_SAME),
    Fault(name="kill_after_delta", rows=(1,), strike=kill_after_delta, must_hold=_SAME),
    Fault(name="kill_before_commit", rows=(1,), strike=kill_before_commit, must_hold=_SAME),
)
