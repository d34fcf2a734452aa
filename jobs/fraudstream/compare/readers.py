"""The readers of a cell as the one who runs it sees them: started, in position, begun together, ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fraudstream.compare.account import Seen
from fraudstream.compare.sightings import MARKER_VALUE, read_sightings
from fraudstream.errors import FraudstreamError
from fraudstream.stack.processes import uninterrupted
from fraudstream.stack.settings import REPOSITORY

PATHS = ("poll_id", "poll_updated", "cdc")


@dataclass
class Reader:
    """One process. `ready` and `summary` are what it said (see fraudstream.compare.reader)."""

    kind: str
    options: Mapping[str, Any]
    process: subprocess.Popen[bytes]
    log: Path
    ready: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def command(self, word: str, at: float) -> None:
        """Send `start` or `finish`."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{word} {at:.6f}\n".encode())
            self.process.stdin.flush()
        except OSError:
            raise self._failed() from None

    def await_ready(self, seconds: float = 90) -> None:
        """Wait until it is in position. Raises FraudstreamError with its last words."""
        self.ready = self._line(seconds)

    def await_end(self, seconds: float = 180) -> None:
        """Wait until it has read to its end; it and its session stay. Raises FraudstreamError with its last words."""
        self.summary = self._line(seconds)

    def seen(self) -> list[Seen]:
        """Its sightings, once it has read to its end."""
        found = read_sightings(Path(self.options["sightings"]))
        return [each for each in found if each.value != MARKER_VALUE]

    def stop(self) -> None:
        """End it, at the latest after 5 s."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()

    def _line(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise FraudstreamError(f"reader {self.kind} says nothing for {seconds:.0f} s; see {self.log}.")
        line = self.process.stdout.readline()
        if not line:
            raise self._failed()
        found: dict[str, Any] = json.loads(line)
        return found

    def _failed(self) -> FraudstreamError:
        said = [line for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return FraudstreamError(f"reader {self.kind} has ended: {(said or ['it said nothing'])[-1]}; see {self.log}.")


def spawn(kind: str, number: int, folder: Path, options: Mapping[str, Any]) -> Reader:
    """Start a reader; its files lie in `folder`."""
    name = f"{kind}-{number}"
    given = {**options, "kind": kind, "sightings": str(folder / f"{name}.csv"), "spawned_at": time.time()}
    log = folder / f"{name}.log"
    with log.open("wb") as errors, uninterrupted():
        process = subprocess.Popen(
            [sys.executable, "-m", "fraudstream.compare.reader"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            start_new_session=True,  # Ctrl-C reaches the comparison alone; the end of stdin ends its readers
            # Not an argument: anyone may read those, and these have a password.
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "jobs"), "FRAUDSTREAM_READER": json.dumps(given)},
        )  # fmt: skip
        return Reader(kind, given, process, log)


@contextmanager
def running(
    kinds: Sequence[str], count: int, folder: Path, options: Callable[[str, int], Mapping[str, Any]]
) -> Iterator[list[Reader]]:
    """`count` readers of each kind, in position; none is left after the block."""
    with ExitStack() as ending:
        found = []
        for kind in kinds:
            for number in range(count):
                reader = spawn(kind, number, folder, options(kind, number))
                ending.callback(reader.stop)
                found.append(reader)
        for reader in found:
            reader.await_ready()
        yield found


def of_kind(readers: Sequence[Reader], kind: str) -> list[Reader]:
    """The readers of one kind."""
    return [reader for reader in readers if reader.kind == kind]
