"""Faults of capture: passwords, Connect's offsets, the replication slot, records that are gone from the topic."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from secrets import token_hex

from fraudstream.drill.fault import Fault, NotStruckError, Struck
from fraudstream.drill.means import kill_connect, repaired, require_named, write_at_once
from fraudstream.drill.rig import CONNECTOR, MIRROR, Rig
from fraudstream.errors import FraudstreamError, GuardError, Runbook
from fraudstream.health.doctor import Doctor
from fraudstream.health.limits import load_limits
from fraudstream.stack import connect, guard, kafka, lifecycle, offsets, postgres
from fraudstream.stack import secrets as passwords
from fraudstream.stack.processes import COMPONENTS, log_file

_KILLS_IN_SNAPSHOT = (0.3, 0.7)
_FAILS_WITHIN_S = 30.0
_USER, _LARGE = 2_200_000, 30_000


def rotated_password(rig: Rig, random: Random) -> Struck:
    """The capture role's password changed in the database alone: the connector fails at once, tries no more and tells
    neither password; `make up` with the new one starts it again."""
    old, new = passwords.password(rig.settings.folder / "secrets", "capture"), f"rotated_{token_hex(8)}"
    rig.admin(f"ALTER ROLE capture PASSWORD '{new}'")
    rig.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
    since = time.monotonic()

    def failed() -> bool:
        return "FAILED" in connect.connector_status(rig.settings, CONNECTOR)["tasks"]

    rig.until(failed, "the connector's failure")
    seconds = time.monotonic() - since
    if seconds > _FAILS_WITHIN_S:
        raise FraudstreamError(f"the connector failed only after {seconds:.0f} s")
    require_named(rig, "connector-failed")
    before, refusals = rig.written(), _refusals(rig)
    rig.until(lambda: rig.written() > before + 3000, "rows that nobody captures")
    if not refusals or _refusals(rig) != refusals:
        raise FraudstreamError(f"the password was tried {refusals} times, and then {_refusals(rig)}")
    trace = str(connect.connector_status(rig.settings, CONNECTOR)["trace"])
    told = [trace, *(log_file(rig.settings, name).read_text(encoding="utf-8", errors="replace") for name in COMPONENTS)]
    if any(secret in text for secret in (old, new) for text in told):
        raise FraudstreamError("a password stands in a log or an answer")
    with _environment(passwords.variable("capture"), new):
        lifecycle.up(rig.settings)
    return Struck(f"failed after {seconds:.1f} s and {refusals} tries: {trace[:160]}; then `make up` with the new one")


def _refusals(rig: Rig) -> int:
    log = log_file(rig.settings, "postgres").read_text(encoding="utf-8", errors="replace")
    return log.count('password authentication failed for user "capture"')


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        os.environ |= {} if before is None else {name: before}


def lost_offsets(rig: Rig, random: Random) -> Struck:
    """Connect's stored offsets deleted while it is down: refused by name; then it goes on from its slot."""

    def forget(_: str) -> None:
        rig.redelivered_to = offsets.written_lsn(rig.settings, "dbserver1.") or 0
        rig.redelivered_from = rig.ends()
        kafka.delete_topic(rig.settings, offsets.OFFSETS)
        if offsets.stored_lsn(rig.settings, CONNECTOR) is not None:
            raise NotStruckError("the offsets are still there")

    _begin_large_transaction(rig)
    said = _without_connect(rig, forget, "offset-gone")
    lifecycle.up(rig.settings, gap="from-slot")
    return Struck(f"{said}; then --from-slot", 1)


def lost_configs(rig: Rig, random: Random) -> Struck:
    """Connect's configurations deleted while it is down: it knows no connector, and `make up` registers it again."""
    pid, _ = kill_connect(rig)
    kafka.delete_topic(rig.settings, offsets.CONFIGS)
    if offsets.stored_connectors(rig.settings):
        raise NotStruckError("the configurations are still there")
    lifecycle.up(rig.settings)
    return Struck(f"Connect pid {pid} gone, topic {offsets.CONFIGS} deleted; registered again", 1)


def _begin_large_transaction(rig: Rig) -> None:
    """Have capture in the midst of a transaction, where its slot stands behind what it has written."""
    before = sum(rig.ends().values())
    write_at_once(rig, _USER, _LARGE)
    rig.until(lambda: sum(rig.ends().values()) - before > _LARGE // 10, "its first rows")


def lost_slot(rig: Rig, random: Random) -> Struck:
    """The slot dropped while Connect is down and rows go on: refused by name; a new slot reads all rows again."""
    said = _without_connect(rig, lambda slot: postgres.drop_slot(rig.settings, slot), "slot-lost")
    lifecycle.up(rig.settings, gap="renew")
    return Struck(f"{said}; then a new slot", 1)


def advanced_slot(rig: Rig, random: Random) -> Struck:
    """The slot moved past the stored offset while Connect is down: refused by name; accepted, and then repaired."""

    def advance(slot: str) -> None:
        before = rig.written()
        rig.until(lambda: rig.written() > before + 500, "rows to pass over")
        rig.admin("SELECT pg_replication_slot_advance(%s, pg_current_wal_insert_lsn())", slot)

    said = _without_connect(rig, advance, "slot-ahead")
    lifecycle.up(rig.settings, gap="accept")
    ends = rig.ends()
    rig.until(lambda: not rig.behind([MIRROR], ends), "the mirror", watch=True)
    return Struck(f"{said}; then --accept-gap and repair: {repaired(rig, 'rows')}", 1)


def kill_in_snapshot(rig: Rig, random: Random) -> Struck:
    """Connect killed while it reads all rows for a new slot, after a part of them, and again after more."""
    said = _without_connect(rig, lambda slot: postgres.drop_slot(rig.settings, slot), "slot-lost")
    proofs = []
    for number, share in enumerate(_KILLS_IN_SNAPSHOT):
        rows, before = rig.written(), sum(rig.ends().values())
        starting = threading.Thread(target=_begin_snapshot, args=(rig, number == 0), daemon=True)
        starting.start()
        rig.until(lambda: sum(rig.ends().values()) - before >= share * rows, "a part of the snapshot")  # noqa: B023
        pid, _ = kill_connect(rig)
        starting.join(120)
        found = sum(rig.ends().values()) - before
        if found >= rows:
            raise NotStruckError(f"the snapshot's {rows} rows were all there when Connect was killed")
        proofs.append(f"Connect pid {pid} gone after {found:,} of {rows:,} rows")
    return Struck(f"{said}; {'; '.join(proofs)}", len(_KILLS_IN_SNAPSHOT))


def _begin_snapshot(rig: Rig, new: bool) -> None:
    # It is killed meanwhile.
    with contextlib.suppress(FraudstreamError):
        lifecycle.up(rig.settings, gap="renew" if new else "refuse")


def lost_log(rig: Rig, random: Random) -> Struck:
    """The slot's log removed by its cap while Connect is down: refused by name; a new slot reads all rows again."""

    def lose(slot: str) -> None:
        rig.admin("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'")
        rig.admin("SELECT pg_reload_conf()")
        doctor, warned = Doctor(rig.settings, rig.pipeline, load_limits(), rig.rules_file), set[Runbook]()

        def is_lost() -> bool:
            warned.update(each.name for each in doctor.look()[1])
            rig.admin("SELECT pg_logical_emit_message(false, 'drill', repeat('x', 8000000))")
            rig.admin("SELECT pg_switch_wal()")
            rig.admin("CHECKPOINT")
            return any(each["name"] == slot and each["wal_status"] == "lost" for each in postgres.slots(rig.settings))

        rig.until(is_lost, "the loss of the slot's log")
        if "slot-near-cap" not in warned:
            raise FraudstreamError(f"the doctor did not warn of the loss; it said {', '.join(sorted(warned))}")
        rig.admin("ALTER SYSTEM RESET max_slot_wal_keep_size")
        rig.admin("SELECT pg_reload_conf()")

    said = _without_connect(rig, lose, "slot-lost")
    lifecycle.up(rig.settings, gap="renew")
    return Struck(f"{said}; then a new slot", 1)


def _without_connect(rig: Rig, act: Callable[[str], None], runbook: Runbook) -> str:
    """Kill Connect, let rows go on, act on its slot, and require that the start is refused with this name."""
    pid, _ = kill_connect(rig)
    before = rig.written()
    slot, _ = guard.slot_of(json.loads(lifecycle.TRANSACTIONS.read_text(encoding="utf-8"))["config"])
    rig.until(lambda: not any(each["active"] for each in postgres.slots(rig.settings)), "the end of its session")
    act(slot)
    rig.until(lambda: rig.written() > before + 2000, "rows in the gap")
    try:
        lifecycle.up(rig.settings)
    except GuardError as refusal:
        if refusal.runbook != runbook:
            raise
        return f"Connect pid {pid} gone; {refusal}"[:200]
    raise FraudstreamError(f"a start that loses changes was not refused ({runbook})")


CAPTURE = (
    Fault(
        name="rotated_password", rows=(25,), strike=rotated_password,
        must_hold="fails fast; no hot loop, no secret in logs; `make up` with the new password goes on",
    ),
    Fault(
        name="lost_offsets", rows=(26,), strike=lost_offsets,
        must_hold="no start that would skip changes; from the slot, duplicates at most and no loss",
    ),
    Fault(
        name="lost_configs", rows=(26,), strike=lost_configs,
        must_hold="registered again, the connector goes on behind its stored offset; no loss",
    ),
    Fault(
        name="advanced_slot", rows=(15,), strike=advanced_slot, gap=True,
        must_hold="no start on a slot that is ahead; accepted, a repair brings what is missing",
    ),
    Fault(
        name="lost_slot", rows=(15,), strike=lost_slot, gap=True,
        must_hold="no start without the slot; a new one closes the gap",
    ),
    Fault(
        name="kill_in_snapshot", rows=(5,), strike=kill_in_snapshot, gap=True,
        must_hold="the whole table is in Delta once; no alert comes from a row of a snapshot",
    ),
    Fault(
        name="lost_log", rows=(14,), strike=lost_log, gap=True,
        must_hold="the cap protects the database, the doctor warns; no start on a lost slot; a new one closes the gap",
    ),
)  # fmt: skip
