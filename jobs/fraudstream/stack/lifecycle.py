"""The whole stack: up, down, purge."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from fraudstream.errors import GuardError, Runbook, StackError
from fraudstream.stack import access, connect, guard, kafka, offsets, postgres, secrets
from fraudstream.stack.artifacts import debezium_plugin, jars, require_locked
from fraudstream.stack.java import require_java
from fraudstream.stack.processes import COMPONENTS, TITLES, crashed, forget, log_file, pid_of, require_free_ports, tail
from fraudstream.stack.queries import held_checkpoints, query_states
from fraudstream.stack.settings import StackSettings
from fraudstream.stack.status import status

__all__ = ["down", "purge", "status", "up"]

TRANSACTIONS = connect.CONNECTORS / "transactions.json"
_DISK_BYTES = 2 * 1024**3
_FIRST_OFFSET_S = 60.0
_HALT = {"connect": connect.halt, "kafka": kafka.halt, "postgres": postgres.halt}
# What a run writes and what means nothing without the topics that purge deletes.
_PURGED = ("lake", "checkpoints", "progress", "stack")
_log = logging.getLogger("fraudstream.stack")


Config = Mapping[str, Any]
Gap = Literal["refuse", "accept", "renew", "from-slot"]
# What is closed by going on from the slot's position.
_MOVED: Mapping[Gap, Runbook] = {"accept": "slot-ahead", "from-slot": "offset-gone"}


def up(settings: StackSettings, connector: Path | None = TRANSACTIONS, gap: Gap = "refuse") -> float:
    """Start what does not run yet, register `connector` (None: none) and wait until all is ready. Returns seconds.

    A `gap` between a slot and its connector's stored offset is refused; or accepted, where the slot is ahead; or closed
    by a new slot and a snapshot, where the slot is lost or the database is an earlier one; or by the slot's position,
    where the offset is gone.

    When a component cannot start, those that this call started are stopped again; when the connector fails, they stay
    up to be looked at. Raises StackError, ConfigError or GuardError saying why.
    """
    began = time.monotonic()
    with _alone(settings):
        _keep_profile(settings)
        postgres.stop_unfinished(settings)
        missing = [component for component in COMPONENTS if pid_of(settings, component) is None]
        if missing:
            _require_conditions(settings, missing)
        started: list[str] = []
        try:
            _start(settings, missing, started, gap)
        except BaseException:
            for component in reversed(started):
                _HALT[component](settings)
            raise
    if connector is not None:
        connect.put_connector(settings, connector, moved=_MOVED.get(gap))
    if gap == "renew":
        for name in offsets.stored_connectors(settings):
            _await_offset(settings, name)
    return time.monotonic() - began


def _keep_profile(settings: StackSettings) -> None:
    """Raises StackError where the data was made with the other profile: its users and access lists would be missing,
    or its clients refused."""
    noted, wanted = settings.folder / "profile", "secure" if settings.secure else "open"
    if not noted.exists():
        noted.write_text("open" if kafka.data_folder(settings).exists() else wanted, encoding="utf-8")
    found = noted.read_text(encoding="utf-8")
    if found != wanted:
        raise StackError(
            f"{settings.folder} was made with STACK_PROFILE={found}, and now it is {wanted}; set it back, delete the "
            "data with `make purge`, or set FRAUDSTREAM_HOME to another folder."
        )


def _require_conditions(settings: StackSettings, missing: list[str]) -> None:
    """All that can be wrong is said before the first process starts."""
    free = shutil.disk_usage(settings.folder).free
    if free < _DISK_BYTES:
        raise StackError(
            f"{settings.folder} has {free / 1024**3:.1f} GiB free, and 2 GiB are needed; make room, or set "
            "FRAUDSTREAM_HOME to a folder on another disk."
        )
    require_java()
    for component in missing:
        if crashed(settings, component):
            log = log_file(settings, component)
            last = " ".join(tail(log, 1))
            _log.warning("%s had ended by itself and starts anew; its log is now %s.1 and ends: %s",
                         TITLES[component], log, last)  # fmt: skip
            forget(settings, component)
    require_free_ports(settings, missing)
    require_locked(settings.versions)
    jars("kafka")
    debezium_plugin()


def _close_gaps(settings: StackSettings, gap: Gap, begin_anew: Callable[[StackSettings, str, Config], None]) -> None:
    """Close the gaps of all connectors as `gap` says. Raises GuardError for one that must not start."""
    # Not as Connect lists them: right after its start it knows none yet.
    for name, config in offsets.stored_connectors(settings).items():
        if gap in _MOVED and (lsn := guard.move_offset(settings, name, config, _MOVED[gap])) is not None:
            _log.warning("connector %s goes on from its slot at %s", name, guard.lsn_text(lsn))
        try:
            guard.require_slot(settings, name, config, may_begin=False)
        except GuardError as refusal:
            if gap != "renew" or refusal.runbook == "slot-ahead":
                raise
            _log.warning("connector %s begins anew with a snapshot of every row", name)
            begin_anew(settings, name, config)


def _await_offset(settings: StackSettings, name: str) -> None:
    """Wait until a connector has stored an offset: before its first one a start would take it for one whose offset is
    gone."""
    limit = time.monotonic() + _FIRST_OFFSET_S
    while offsets.stored_lsn(settings, name) is None and time.monotonic() < limit:
        time.sleep(0.2)


def _renew(settings: StackSettings, name: str, config: Config) -> None:
    """Let a connector of a running Connect begin anew, and wait for its first offset."""
    connect.renew_slot(settings, name, config)
    _await_offset(settings, name)


def _forget_offset(settings: StackSettings, name: str, config: Config) -> None:
    """Delete a connector's slot and then its stored offset, while Connect is down. A start that finds one of them gone,
    or both, is refused until it is told to go on."""
    postgres.drop_slot(settings, guard.slot_of(config)[0])
    offsets.forget_lsn(settings, name, str(config["topic.prefix"]))


def _start(settings: StackSettings, missing: list[str], started: list[str], gap: Gap) -> None:
    passwords: Mapping[str, str] = secrets.ensure(settings.folder / "secrets")
    if settings.secure:
        secrets.ensure(settings.folder / "secrets", secrets.SECURE)
        access.prepare(settings)
    if "postgres" in missing:
        started.append("postgres")
        postgres.launch(settings, passwords)
    if "kafka" in missing:
        started.append("kafka")
        kafka.launch(settings)
    postgres.wait_ready(settings, passwords)
    kafka.wait_ready(settings)
    if "connect" in missing:
        # Connect starts the connectors it knows as soon as it runs: what forbids that must be seen before.
        _close_gaps(settings, gap, _forget_offset)
        started.append("connect")
        connect.launch(settings)
    connect.wait_ready(settings)
    if gap == "renew" and "connect" not in missing:
        _close_gaps(settings, gap, _renew)


def down(settings: StackSettings) -> list[str]:
    """Stop every component of this home, whatever state it is in. Returns those that ran; data stays."""
    if not settings.folder.exists():
        return []
    with _alone(settings):
        return [component for component in _HALT if _HALT[component](settings)]


def purge(settings: StackSettings) -> list[Path]:
    """Stop the stack and delete its data, secrets and logs, and the lake, checkpoints and progress that were made from
    its topics. Replication slots are dropped first where PostgreSQL runs. Returns the folders deleted.

    Raises StackError while a driver runs on one of the checkpoints: it would write on into what is deleted.
    """
    if not settings.folder.exists():
        return []
    _refuse_drivers(settings.home)
    if pid_of(settings, "postgres") is not None:
        with _alone(settings):
            connect.halt(settings)
            postgres.drop_slots(settings)
    down(settings)
    found = [settings.home / name for name in _PURGED if (settings.home / name).exists()]
    for folder in found:
        shutil.rmtree(folder)
    return found


def _refuse_drivers(home: Path) -> None:
    held = held_checkpoints(home / "checkpoints")
    if not held:
        return
    pid, states = query_states(str(home / "progress"))
    whose = f" (pid {pid})" if pid is not None and states.keys() & set(held) else ""
    raise StackError(
        f"{', '.join(held)}: a driver{whose} runs on these checkpoints in {home}; nothing is deleted. Stop the job "
        "first (Ctrl-C where it runs), then repeat."
    )


@contextlib.contextmanager
def _alone(settings: StackSettings, seconds: float = 180) -> Iterator[None]:
    """Keep other starts and stops of this home waiting. The lock ends with the process, however that ends."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    limit = time.monotonic() + seconds
    with (settings.folder / "lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > limit:
                    raise StackError(
                        f"another start or stop of the stack has held {lock.name} for {seconds:.0f} s; wait for it, or "
                        "end it."
                    ) from None
                time.sleep(0.1)
        yield
