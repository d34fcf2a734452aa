"""The whole stack: up, down, purge."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from fraudstream.errors import StackError
from fraudstream.stack import connect, kafka, postgres, secrets
from fraudstream.stack.artifacts import jars
from fraudstream.stack.java import require_java
from fraudstream.stack.processes import pid_of
from fraudstream.stack.settings import StackSettings

TRANSACTIONS = connect.CONNECTORS / "transactions.json"
_DISK = 2 * 1024**3


def up(settings: StackSettings, connector: Path | None = TRANSACTIONS) -> float:
    """Start what does not run yet, register `connector` (None: none) and wait until all is ready. Returns seconds.

    A component that cannot start stops those which this call started, and raises StackError.
    """
    began = time.monotonic()
    with _alone(settings):
        _require_room(settings)
        require_java()
        jars("kafka")
        passwords = secrets.ensure(settings.folder / "secrets")
        started: list[str] = []
        try:
            _start_missing(settings, passwords, started)
            if connector is not None:
                connect.put_connector(settings, connector)
        except BaseException:
            for component in reversed(started):
                _HALT[component](settings)
            raise
    return time.monotonic() - began


_HALT = {"postgres": postgres.halt, "kafka": kafka.halt, "connect": connect.halt}


def _start_missing(settings: StackSettings, passwords: dict[str, str], started: list[str]) -> None:
    missing = [component for component in _HALT if pid_of(settings, component) is None]
    if "kafka" in missing:
        started.append("kafka")
        kafka.launch(settings)
    if "postgres" in missing:
        started.append("postgres")
        postgres.launch(settings, passwords)
    postgres.wait_ready(settings, passwords)
    kafka.wait_ready(settings)
    if "connect" in missing:
        started.append("connect")
        connect.launch(settings)
    connect.wait_ready(settings)


def down(settings: StackSettings) -> list[str]:
    """Stop every component of this home, whatever state it is in. Returns those that ran; data stays."""
    if not settings.folder.exists():
        return []
    with _alone(settings):
        return [component for component in reversed(_HALT) if _HALT[component](settings)]


def purge(settings: StackSettings) -> None:
    """Stop the stack and delete its data, secrets and logs."""
    down(settings)
    shutil.rmtree(settings.folder, ignore_errors=True)


@contextlib.contextmanager
def _alone(settings: StackSettings, seconds: float = 120) -> Iterator[None]:
    settings.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.folder / "lock", timeout=seconds):
            yield
    except Timeout:
        raise StackError(
            f"another start or stop of the stack in {settings.folder} is under way for {seconds:.0f} s; wait for it."
        ) from None


def _require_room(settings: StackSettings) -> None:
    free = shutil.disk_usage(settings.folder).free
    if free < _DISK:
        raise StackError(
            f"{settings.folder} has {free / 1024**3:.1f} GiB free, and 2 GiB are needed; make room, or set "
            "FRAUDSTREAM_HOME to another disk."
        )
