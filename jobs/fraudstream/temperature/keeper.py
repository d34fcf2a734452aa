"""Asking on schedule: at the end of every window, for the windows that have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from fraudstream.errors import FraudstreamError
from fraudstream.temperature.averages import Average
from fraudstream.temperature.windows import Window, Windows

_MOST_MISSED = 1000


class Engine(NamedTuple):
    """One way to the averages: `read` asks for a window, `write` replaces windows in the lake. Both raise
    FraudstreamError."""

    read: Callable[[Window], list[Average]]
    write: Callable[[Mapping[Window, Sequence[Average]]], None]


def keep(
    engine: Engine, windows: Windows, again: int, stop: threading.Event, show: Callable[[Window, list[Average]], None],
    fail: Callable[[FraudstreamError], None],
) -> None:  # fmt: skip
    """Fill the windows as they end, at once the last `again` ones, until `stop`; each time those are asked anew.

    What the database does not answer is told to `fail` and asked again with the next window.
    """
    missed: list[Window] = []
    now = datetime.now(UTC)
    while not stop.is_set():
        wanted = windows.closed(now, again)
        asked = [*(window for window in missed if window not in wanted), *wanted][-_MOST_MISSED:]
        try:
            fill(engine, asked, show)
            missed = []
        except FraudstreamError as error:
            fail(error)
            missed = asked
        due = windows.next_end(now)
        stop.wait(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        now = max(due, datetime.now(UTC))


def fill(engine: Engine, asked: Sequence[Window], show: Callable[[Window, list[Average]], None]) -> None:
    """Read and write these windows once, and show them."""
    found = {window: engine.read(window) for window in asked}
    engine.write(found)
    for window, averages in found.items():
        show(window, averages)
