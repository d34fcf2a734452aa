"""What a running pipeline holds at a moment: memory of its processes, bytes and files on the disk."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fraudstream.config import Pipeline
from fraudstream.stack.processes import COMPONENTS, process_of
from fraudstream.stack.queries import query_states
from fraudstream.stack.settings import StackSettings
from fraudstream.stack.status import memory_of

MIB = 1024 * 1024
_WORK = 200_000  # steps, about 10 ms


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Memory in MiB per process group, MiB and files per folder (but for those of a table's log, which Delta keeps for
    30 days), at an epoch second; the share of the CPU that was idle since the reading before; and the CPU time in ms
    that the same piece of work took, which grows where others get more of the machine."""

    at: float
    idle: float
    work_ms: float
    memory: dict[str, float]
    disk: dict[str, float]
    files: dict[str, int]


@dataclass
class Meter:
    """The readings so far; filled by `metering`."""

    readings: list[Resources] = field(default_factory=list)


def measure(settings: StackSettings, pipeline: Pipeline) -> Resources:
    """The readings of now; a process that does not run has none."""
    memory = {name: memory_of(found) / MIB for name in COMPONENTS if (found := process_of(settings, name))}
    places = {
        "topics": settings.folder / "kafka",
        "wal": settings.folder / "postgres" / "pg_wal",
        "checkpoints": Path(pipeline.checkpoints),
        **{name: Path(pipeline.table(name)) for name in ("alerts", "transactions", "transaction_changes")},
    }
    sizes = {name: _size(path) for name, path in places.items()}
    return Resources(
        at=time.time(),
        idle=psutil.cpu_times_percent().idle / 100,
        work_ms=_work_ms(),
        memory=memory | _driver(pipeline.progress),
        disk={name: size / MIB for name, (size, _) in sizes.items()},
        files={name: files for name, (_, files) in sizes.items()},
    )


@contextmanager
def metering(settings: StackSettings, pipeline: Pipeline, seconds: float) -> Iterator[Meter]:
    """Readings every so many seconds, on a thread of their own, until the block ends."""
    meter, ended = Meter(), threading.Event()

    def read() -> None:
        psutil.cpu_times_percent()  # from here on
        while not ended.wait(seconds):
            meter.readings.append(measure(settings, pipeline))

    thread = threading.Thread(target=read, name="metering", daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        ended.set()
        thread.join(30)


def _work_ms() -> float:
    began = time.thread_time()
    sum(number * number for number in range(_WORK))
    return (time.thread_time() - began) * 1000


def _driver(progress: str) -> dict[str, float]:
    """MiB of the driver's JVM, and of its Python process with the workers."""
    pid, _ = query_states(progress)
    try:
        driver = psutil.Process(pid) if pid else None
        below = driver.children(recursive=True) if driver else []
        jvm = next((each for each in below if each.name() == "java"), None)
        if driver is None or jvm is None:
            return {}
        whole, of_jvm = memory_of(driver) / MIB, memory_of(jvm, children=False) / MIB
    except psutil.Error:
        return {}
    return {"spark jvm": of_jvm, "spark python": whole - of_jvm}


def _size(folder: Path) -> tuple[int, int]:
    """Bytes that the files below a folder take on disk, and the number of those outside the log of a table."""
    total = files = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            except OSError:
                continue
            files += "_delta_log" not in root
    return total, files
