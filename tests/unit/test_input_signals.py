"""A signal ends the producer wherever it comes."""

from __future__ import annotations

import subprocess
import sys

from fraudstream.stack.settings import REPOSITORY

# The main thread is at work in the event's own lock most of the time.
_MANY_TIMES = """
import os, signal, threading
from fraudstream.input.produce import stop_on_signals
for _ in range(500):
    with stop_on_signals() as stop:
        threading.Timer(0.001, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        while not stop.wait(0.0):
            pass
print("ended")
"""


def test_a_signal_that_comes_while_the_producer_looks_at_its_event_is_taken():
    done = subprocess.run(
        [sys.executable, "-c", _MANY_TIMES], cwd=REPOSITORY / "jobs", capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr
