"""What every function that Spark runs in its Python workers does for the worker."""

from __future__ import annotations

import ctypes
import gc
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
_KEPT_BYTES = 256 * 1024**2


@cache
def prepare_worker() -> None:
    """Spare the process, once, what costs it much in every task."""
    _hide_from_collector()
    _keep_memory()


def _hide_from_collector() -> None:
    """Take what this process has loaded so far out of the garbage collector's sight.

    Spark's workers collect after every task, and looked through all of pandas, Arrow and pyspark each time, for 25 to
    60 ms: 61 % of the workers' CPU time with two rules at 2,000 rows/s. (That it was done is not asked of the
    collector: its answer counts all objects, which took a fifth of that time again.)
    """
    gc.freeze()


def _keep_memory() -> None:
    """Let the process keep the memory that its arrays leave, up to 256 MiB, where the C library knows of that.

    glibc maps what takes more than 128 KiB to 32 MiB anew for each array, and gives it back with it: every page is then
    met for the first time. Of a fold onto a million users' histories that was a third of the time (20.6 instead of
    13.5 ms for 8,000 rows of a bucket of 64).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
