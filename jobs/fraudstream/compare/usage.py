"""CPU time and memory of processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far, without its children's; 0 of one that has ended.

    To the nanosecond where it has one thread (/proc/PID/schedstat), else in ticks of 10 ms (/proc/PID/stat, which
    counts threads that have ended, too).
    """
    try:
        if len(os.listdir(f"/proc/{pid}/task")) == 1:
            return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        pass  # a kernel without it
    return sum(_ticks(pid)[:2]) / _TICKS


def children_seconds(pid: int) -> float:
    """CPU seconds of the children of a process that have ended."""
    return sum(_ticks(pid)[2:]) / _TICKS


def _ticks(pid: int) -> list[int]:
    """utime, stime, cutime, cstime; fields 14 to 17, the name (2nd) may hold anything but ends with a bracket."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return [0, 0, 0, 0]
    return [int(field) for field in fields[11:15]]


def memory(pid: int) -> dict[str, int]:
    """KiB of a process: rss_kib, peak_kib (of its whole life) and own_kib (without files and shared memory)."""
    names = {"VmRSS": "rss_kib", "VmHWM": "peak_kib", "RssAnon": "own_kib"}
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return dict.fromkeys(names.values(), 0)
    found = {line.split(":")[0]: line.split(":")[1] for line in lines if ":" in line}
    return {name: int(found.get(field, "0").split()[0]) for field, name in names.items()}


def used(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """CPU seconds so far of each group of processes."""
    return {name: sum(cpu_seconds(pid) for pid in pids) for name, pids in groups.items()}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What the groups used between two readings."""
    return {name: after[name] - before.get(name, 0.0) for name in after}


def tree(pid: int) -> dict[str, float]:
    """Of a process and all of its children: cpu_s so far (of children that have ended, too), peak_kib, processes."""
    pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return {
        "cpu_s": sum(cpu_seconds(each) + children_seconds(each) for each in pids),
        "peak_kib": sum(memory(each)["peak_kib"] for each in pids),
        "processes": len(pids),
    }
