"""The options that every peer takes, and the end that every peer comes to."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def arguments(description: str | None, processes: int = 1) -> argparse.Namespace:
    """The options of this process; `processes` is the default of --processes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT", help="Kafka's address")
    parser.add_argument("--topic", required=True, help="change events of the table transactions")
    parser.add_argument("--alerts", required=True, help="topic of the alerts; it must exist")
    parser.add_argument("--group", required=True, help="consumer group, or the system's name for the application")
    parser.add_argument("--form", choices=("envelope", "compact"), default="envelope", help="form of the change events")
    parser.add_argument("--state", required=True, type=Path, metavar="DIR", help="folder for what the system keeps")
    parser.add_argument("--recovery", action="store_true", help="with the system's own fault tolerance")
    parser.add_argument("--processes", type=int, default=processes, help="processes or threads, where a peer has them")
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    return options


def end_on_signal(stop: Callable[[], Any]) -> None:
    """Call `stop` on the first SIGTERM or Ctrl-C; later ones are ignored."""

    def once(*_: object) -> None:
        for number in _ENDS:
            signal.signal(number, signal.SIG_IGN)
        stop()

    for number in _ENDS:
        signal.signal(number, once)


_ENDS = (signal.SIGTERM, signal.SIGINT)


def fork(processes: int, work: Callable[[int], Any]) -> int:
    """Run work(0), work(1) ... each in a process of its own. SIGTERM is passed on; the first process that fails ends
    the others; a process that loses its parent is killed. Returns the exit code."""
    children: list[int] = []

    def end() -> None:
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    end_on_signal(end)
    for index in range(processes):
        pid = os.fork()
        if pid == 0:
            _run(work, index)
        children.append(pid)
    failed = 0
    while children:
        pid, status = os.wait()
        children.remove(pid)
        if status and not failed:
            failed = 1
            end()
    return failed


def _run(work: Callable[[int], Any], index: int) -> None:
    for number in _ENDS:
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        work(index)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)
