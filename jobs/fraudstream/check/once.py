"""A run that starts processes: alone in its folder, interrupted at most once, so that its stopping is not disturbed."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from fraudstream.errors import FraudstreamError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Ctrl-C or a signal to end: everything is stopped on the way out."""


@contextlib.contextmanager
def one_interruption() -> Iterator[None]:
    """The first signal raises Interrupted; later ones are ignored, so that nothing disturbs the stopping."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        print("\nstopping ...", file=sys.stderr, flush=True)
        raise Interrupted(number)

    former = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def alone(home: Path, what: str) -> Iterator[None]:
    """Raises FraudstreamError when another run (a `what`, such as "demo") is at work in `home`."""
    with (home / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FraudstreamError(f"another {what} runs in {home}; wait for it or stop it with Ctrl-C.") from None
        yield
