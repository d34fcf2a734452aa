"""What a Python worker spares itself; in a process of its own, which the calls change for good."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

# Arrays as a fold has them: ten of 3 MB at a time (larger ones get huge pages). Prints how many pages were met for the
# first time in the last nine of ten rounds, and how many objects the collector still looks through.
_ROUNDS = """
import gc, resource, sys
import numpy as np
from fraudstream.streams.worker import prepare_worker
if sys.argv[1] == "prepared":
    prepare_worker()
for number in range(10):
    if number == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [np.arange(3_000_000 // 8) for _ in range(10)]
    del kept
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, len(gc.get_objects()))
"""


def rounds(how: str) -> tuple[int, int]:
    """Pages met in the rounds, and objects that the collector sees."""
    done = subprocess.run([sys.executable, "-c", _ROUNDS, how], capture_output=True, text=True, check=True)
    pages, objects = map(int, done.stdout.split())
    return pages, objects


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="a C library without mallopt")
def test_a_worker_keeps_the_memory_of_its_arrays():
    as_it_is, prepared = rounds("as it is")[0], rounds("prepared")[0]
    assert as_it_is > 9 * 10 * 3_000_000 / 4096 / 4  # at least a quarter of all pages
    assert prepared < as_it_is / 20


def test_the_collector_looks_at_none_of_what_a_worker_has_loaded():
    assert rounds("prepared")[1] < rounds("as it is")[1] / 10
