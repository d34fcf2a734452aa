"""One reader as a process of its own: python -m fraudstream.compare.reader, its options in FRAUDSTREAM_READER as JSON.

It says {"ready": true, ...} in a line of JSON when it is in position. Lines on stdin command it: `start T` (epoch
seconds; from then on it notes what it sees, a poller polling at T + k intervals) and `finish X` (a poller ends after
its first poll from the time X on, a consumer when it has read the marker with the id X and what is before it). When it
has read to its end it writes its sightings, says in a last line what it used, and waits for the end of stdin, so that
its session can still be measured; the end of stdin ends it at any time.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fraudstream.compare.sightings import Sightings
from fraudstream.compare.usage import memory


class Commands:
    """The commands on stdin."""

    def __init__(self) -> None:
        self.start: float | None = None
        self.finish: float | None = None
        self.gone = False
        self.cpu_at_start = 0.0
        self._rest = b""

    def wait(self, seconds: float) -> None:
        """Wait for a command for at most `seconds` and take it up."""
        ready, _, _ = select.select([0], [], [], max(0.0, seconds))
        if not ready:
            return
        found = os.read(0, 4096)
        self.gone = not found
        *lines, self._rest = (self._rest + found).split(b"\n")
        for line in lines:
            word, at = line.split()
            if word == b"start":
                self.start, self.cpu_at_start = float(at), time.process_time()
            else:
                self.finish = float(at)


def main() -> None:
    """Read until told to finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = json.loads(os.environ["FRAUDSTREAM_READER"])
    commands, sightings = Commands(), Sightings()
    read = _reading(options["kind"])
    for found in read(options, commands, sightings):
        if found.get("ready"):
            _say({**found, "started_s": time.time() - options["spawned_at"]})
            continue
        used = {"cpu_s": time.process_time() - commands.cpu_at_start, **memory(os.getpid())}
        sightings.write(Path(options["sightings"]))
        _say({**found, **used})
        while not commands.gone:
            commands.wait(3600)


def _reading(kind: str) -> Callable[[dict[str, Any], Commands, Sightings], Iterator[dict[str, Any]]]:
    """Each kind imports only what it needs: a poller's memory must not hold a Kafka client."""
    if kind == "cdc":
        from fraudstream.compare.consumer import consume

        return consume
    from fraudstream.compare.poller import poll

    return poll


def _say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
