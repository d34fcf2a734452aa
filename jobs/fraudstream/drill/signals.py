"""Signals to processes, and their end."""

from __future__ import annotations

import os
import time

import psutil


def killed(pids: list[int], seconds: float = 10) -> bool:
    """Whether all of these processes are gone, or are so within some seconds."""
    limit = time.monotonic() + seconds
    while any(_is_alive(pid) for pid in pids):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to those of the processes that are there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def family(pid: int) -> list[int]:
    """The process and all below it."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return []
