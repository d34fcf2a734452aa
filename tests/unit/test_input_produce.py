"""A producer's run without a database: options, schedule, signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from itertools import islice

import pytest

from fraudstream.errors import FraudstreamError
from fraudstream.input import produce as module
from fraudstream.input.produce import Options, paced, planned, produce, stop_on_signals, told
from fraudstream.input.writer import Totals


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"profile": "hott"}, "--profile is 'hott'; there are exercise, realistic, hot"),
        ({"rate": -1.0}, "--rate is -1.0; it must lie between 0 and 1e"),
        ({"rate": float("nan")}, "--rate is nan"),
        ({"batch_size": 0}, "--batch-size is 0; it must lie between 1 and 100000"),
        ({"update_share": 1.5}, "--update-share is 1.5; it must lie between 0 and 1"),
        ({"delete_share": -0.1}, "--delete-share"),
        ({"rows": 0}, "--rows is 0"),
        ({"seconds": 0.0}, "--seconds is 0.0"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_a_senseless_option_is_refused_with_what_is_allowed(given, text):
    with pytest.raises(FraudstreamError) as error:
        Options(**given)
    assert text in str(error.value)


class Clock:
    """Time that passes only where somebody waits, or where `advance` says so."""

    def __init__(self):
        self.now = 1000.0
        self.stopped = False

    def monotonic(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds
        return self.stopped

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def due_times(clock, steps, rate, seconds, work=0.0):
    found = []
    for _ in paced(steps, rate, seconds, clock):
        found.append(round(clock.now - 1000, 6))
        clock.advance(work)
    return found


def test_the_exercise_writes_at_once_and_then_pauses_half_a_second_after_each_batch(clock):
    assert due_times(clock, planned(Options()), None, 2.5, work=0.1) == [0, 0.6, 1.2, 1.8, 2.4]


def test_a_rate_writes_each_batch_when_its_last_row_is_due(clock):
    assert due_times(clock, planned(Options()), 2000, 2, work=0.1) == [0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize("profile", ["exercise", "realistic", "hot"])
def test_a_slow_rate_writes_something_each_second(clock, profile):
    options = Options(profile=profile, rate=10)
    due = due_times(clock, planned(options), options.rate, 60)
    assert due[-1] >= 59.5
    # A second where two transactions of 5 rows are open together.
    assert max(later - earlier for earlier, later in zip([0.0, *due], due, strict=False)) <= 1.0


def test_a_rate_below_one_writes_row_by_row(clock):
    assert due_times(clock, planned(Options(rate=0.5)), 0.5, 6) == [2.0, 4.0, 6.0]


def test_a_batch_size_that_is_asked_for_stands_at_any_rate(clock):
    assert due_times(clock, planned(Options(rate=10, batch_size=50)), 10, 12) == [5.0, 10.0]


def test_a_late_batch_does_not_shift_those_after_it(clock):
    steps = paced(islice(planned(Options()), 6), 2000, None, clock)
    found = []
    for number, _ in enumerate(steps):
        found.append(clock.now - 1000)
        clock.advance(1.2 if number == 1 else 0.0)
    assert found == pytest.approx([0.5, 1.0, 2.2, 2.2, 2.5, 3.0])


def test_a_run_that_cannot_keep_up_ends_with_its_time(clock):
    assert due_times(clock, planned(Options()), 2000, 3, work=1.0) == [0.5, 1.5, 2.5, 3.5]


def test_rate_0_waits_for_nothing(clock):
    assert due_times(clock, planned(Options(rows=3000)), 0, None) == [0, 0, 0]


class FakeWriter:
    """Counts what a writer would commit, and gets a signal in the middle of the third batch."""

    def __init__(self, dsn, ledger):
        self.totals = Totals()
        self.closed = False

    def write(self, step):
        if self.totals.transactions == 2:
            os.kill(os.getpid(), signal.SIGINT)
        for each in step:
            self.totals.inserts += len(each.inserts)
            self.totals.transactions += 1

    def close(self):
        self.closed = True


def test_ctrl_c_in_the_middle_of_a_batch_finishes_it_and_begins_no_other(monkeypatch):
    monkeypatch.setattr(module, "Writer", FakeWriter)
    with stop_on_signals() as stop:
        totals = produce("", Options(rate=0), stop=stop)
    assert (totals.transactions, totals.inserts) == (3, 3000)


def test_a_signal_ends_the_wait_for_the_next_batch():
    with stop_on_signals() as stop:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        assert list(paced(planned(Options(rows=1000)), 0.1, None, stop)) == []
    assert time.monotonic() - began < 30


def test_a_second_ctrl_c_interrupts_and_signals_are_as_before_afterwards():
    # A shell starts what runs in the background with SIGINT ignored.
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.wait(10)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, found)


def test_totals_name_only_what_there_was():
    assert told(Totals(inserts=2000), 1.0) == "committed 2,000 rows, 2,000/s in 1.0 s"
    text = told(Totals(inserts=10, updates=1, deletes=2, frauds=3), 2.0)
    assert text == "committed 10 rows, 5/s, 1 updates, 2 deletes, 3 frauds in 2.0 s"
