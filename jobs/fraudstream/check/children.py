"""The programs that a demo starts: each in a session of its own with its output in a file, stopped by a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fraudstream.errors import FraudstreamError
from fraudstream.stack.processes import uninterrupted
from fraudstream.stack.settings import REPOSITORY

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Child:
    """A running program and the file that has its output."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def require_running(self) -> None:
        """Raises FraudstreamError, with the end of its log, if it has ended."""
        if self.process.poll() is not None:
            raise FraudstreamError(f"{self.name} ended with exit code {self.process.returncode}: {self.last_words()}")

    def ended_well(self) -> bool:
        """Whether it has ended. Raises FraudstreamError, with the end of its log, if it failed."""
        if self.process.poll() not in (None, 0):
            self.require_running()
        return self.process.returncode == 0

    def last_words(self) -> str:
        """What the log says last that explains an end, and where the log is."""
        said = meaning(self.log.read_text(encoding="utf-8", errors="replace"))
        return f"{said.rstrip('.')}; see {self.log}."

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL to its whole session if it takes over a minute or leaves children behind."""
        try:
            if self.process.poll() is None:
                self.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(_PATIENCE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def job(name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[Child]:
    """`./spark-submit.sh NAME ...` as long as the block lasts."""
    child = None
    try:
        log.unlink(missing_ok=True)
        with uninterrupted():
            child = start_job(name, arguments, log, environment)
        yield child
    finally:
        if child is not None:
            child.stop()


def start_job(name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
    """`./spark-submit.sh NAME ...` started; its output is appended to the log."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(REPOSITORY / "spark-submit.sh"), name, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches the parent alone, which then stops its children in order.
            start_new_session=True,
            env={**os.environ, "PYTHON": sys.executable, **environment},
        )
    return Child(name, process, log)


def meaning(log: str) -> str:
    """The lines of a log that say why its program ended: the last error that was said plainly, else the last
    exception's line, else the last lines."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for found in (
        [line for line in lines if line.startswith("error:")],
        [line for line in lines if "Error: " in line or "Exception: " in line],
        lines[-3:],
    ):
        if found:
            return " | ".join(found[-3:])[:600].removeprefix("error: ")
    return "it said nothing"
