"""The programs of the benchmark: started in a session of their own, measured with all below them, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fraudstream.check.children import Child
from fraudstream.check.resources import MIB
from fraudstream.compare.usage import children_seconds, cpu_seconds, memory
from fraudstream.errors import FraudstreamError
from fraudstream.stack.processes import uninterrupted
from fraudstream.stack.settings import REPOSITORY

_PATIENCE_S = 10.0
_KILL_S = 5.0


@dataclass(frozen=True)
class Command:
    """What is typed to start a program, and what its environment has beside ours; None takes a variable away."""

    words: Sequence[str | Path]
    environment: Mapping[str, str | None]


def python_module(name: str, *options: str) -> Command:
    """`python -m NAME ...` with this Python and the project's package."""
    return Command([sys.executable, "-m", name, *options], {"PYTHONPATH": str(REPOSITORY / "jobs")})


@contextlib.contextmanager
def program(name: str, command: Command, log: Path, folder: Path) -> Iterator[Child]:
    """The program at work in `folder` as long as the block lasts. Raises FraudstreamError when it cannot be started."""
    changed = {**os.environ, **command.environment}
    environment = {name: value for name, value in changed.items() if value is not None}
    child = None
    try:
        with log.open("wb") as output, uninterrupted():
            process = subprocess.Popen(
                [str(word) for word in command.words], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, cwd=folder, start_new_session=True, env=environment,
            )  # fmt: skip
            child = Child(name, process, log)
        yield child
    except OSError as error:
        if child is not None:
            raise
        raise FraudstreamError(f"{name} cannot be started: {error.strerror} ({error.filename}).") from error
    finally:
        if child is not None:
            _end(child)


def require_success(child: Child, seconds: float) -> None:
    """Wait for its end. Raises FraudstreamError when it failed or is still at work after so many seconds."""
    try:
        child.process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise FraudstreamError(f"{child.name} has not ended after {seconds:.0f} s: {child.last_words()}") from None
    child.ended_well()


def _end(child: Child) -> None:
    """SIGTERM to its group, and after 10 s SIGKILL to it and to all that it has started."""
    below = below_of(child.process.pid)
    try:
        _signal(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(_PATIENCE_S)
    finally:
        _signal(child, signal.SIGKILL)
        _kill(below)
        child.process.wait(_KILL_S)


def _signal(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


def kill_in(folder: Path) -> None:
    """End the processes that still work in `folder` or below it, as an executor does."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(each.cwd()).is_relative_to(folder.resolve()):
                found.append(each)
    _kill(found)


def _kill(found: Sequence[psutil.Process]) -> None:
    for each in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(found, _KILL_S)


def below_of(pid: int) -> list[psutil.Process]:
    """The processes below one, at every depth; none of one that has ended."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


@dataclass
class Meter:
    """What a program and all below it have used: CPU seconds so far, and the largest sum of their resident memory in
    MiB (pages that forked processes share count in each)."""

    cpu_s: float = 0.0
    rss_mib: float = 0.0

    def read(self, pid: int) -> None:
        """Look once more. A process that ended counts in its parent's CPU seconds as soon as the parent has noticed."""
        pids = [pid, *(each.pid for each in below_of(pid))]
        self.cpu_s = max(self.cpu_s, sum(cpu_seconds(each) + children_seconds(each) for each in pids))
        self.rss_mib = max(self.rss_mib, sum(memory(each)["rss_kib"] for each in pids) * 1024 / MIB)
