"""Starting again with back-off on a clock of the test's own, and what is never started again."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from fraudstream.check.children import Child
from fraudstream.errors import GuardError, StackError
from fraudstream.health import supervisor
from fraudstream.health.parts import Driver, Queries
from fraudstream.health.restarts import CALM_S, TRIES, Problem, Restarts, is_transient, problem


@dataclass
class Fake:
    """A part that has failed until `heals` starts have been tried."""

    heals: float = float("inf")
    found: Problem | None = field(default_factory=lambda: Problem("dead", None))
    refuses: Exception | None = None
    starts: list[float] = field(default_factory=list)
    name: str = "part"
    now: float = 0.0

    def problem(self):
        return None if len(self.starts) >= self.heals else self.found

    def restart(self):
        self.starts.append(self.now)
        if self.refuses:
            raise self.refuses


class Clock:
    def __init__(self, part: Fake) -> None:
        self.said: list[str] = []
        self.restarts = Restarts(self.said.append)
        self.part = part

    def until(self, end: int) -> None:
        """A step each second."""
        while self.part.now < end:
            self.restarts.step([self.part], self.part.now)
            self.part.now += 1

    @property
    def state(self):
        return self.restarts.told()["part"]


def test_waits_double_up_to_a_minute_and_end_after_eight_tries():
    part = Fake()
    clock = Clock(part)
    clock.until(1000)
    # One second after a try the failure is seen again, and the next wait begins: 1, 2, 4, 8, 16, 32, 60, 60.
    assert part.starts == [1, 4, 9, 18, 35, 68, 129, 190]
    assert (clock.state["state"], len(part.starts)) == ("stopped", TRIES)
    assert clock.said[-1] == f"part: stopped: dead; given up after {TRIES} tries"
    assert clock.restarts.stopped == ["part"]


def test_calm_minutes_make_the_next_failure_a_first_one_and_fewer_do_not():
    for calm, tries in ((int(CALM_S) + 2, 1), (int(CALM_S) - 5, 2)):
        part = Fake(heals=1)
        clock = Clock(part)
        clock.until(2 + calm)
        assert clock.state["state"] == "running"
        part.heals = 9
        clock.until(int(part.now) + 1)
        assert clock.state["tries"] == tries


def test_calm_begins_anew_with_each_failure():
    part = Fake(heals=0)
    clock = Clock(part)
    for seconds, heals in ((100, 1), (3, 1), (40, 2)):  # well, failed and started again, well, failed again
        clock.until(int(part.now) + seconds)
        part.heals = heals + (seconds == 40)
    clock.until(int(part.now) + 1)
    assert clock.state["tries"] == 2


def test_what_is_forbidden_is_not_started_and_told_once_with_its_runbook():
    part = Fake(found=Problem("moved", "slot-ahead"))
    clock = Clock(part)
    clock.until(50)
    assert part.starts == []
    assert clock.said == ["part: stopped: moved; it is not started again [docs/operations.md: slot-ahead]"]


def test_a_guard_that_refuses_the_start_ends_the_tries():
    part = Fake(refuses=GuardError("The slot was moved.", "slot-ahead"))
    clock = Clock(part)
    clock.until(50)
    assert part.starts == [1]
    assert clock.said[-1] == (
        "part: stopped: The slot was moved. [docs/operations.md: slot-ahead]; it is not started again"
    )


def test_a_start_that_fails_is_tried_again_later():
    part = Fake(refuses=StackError("port taken"))
    clock = Clock(part)
    clock.until(10)
    assert part.starts == [1, 4, 9]
    assert "part: did not start: port taken" in clock.said


def test_what_is_well_by_itself_is_no_longer_stopped():
    part = Fake(found=Problem("28P01", "connector-failed"))
    clock = Clock(part)
    clock.until(2)
    part.heals = 0
    clock.until(4)
    assert clock.said[-1] == "part: well again"
    assert clock.state == {"state": "running", "tries": 0, "why": None}


def test_all_parts_are_looked_at_though_one_is_not_well():
    one, other = Fake(name="one"), Fake(name="other")
    restarts = Restarts(lambda _: None)
    assert not restarts.step([one, other], 0.0)
    assert list(restarts.told()) == ["one", "other"]


@pytest.mark.parametrize(
    ("text", "runbook"),
    [
        ("x [docs/operations.md: slot-ahead]", "slot-ahead"),
        ("x [docs/operations.md: checkpoint-in-use]", "checkpoint-in-use"),
        ("Kafka does not answer [docs/operations.md: kafka-down]", None),
        ("[KAFKA_DATA_LOSS.START_OFFSET_RESET] gone", "records-gone"),
        ('PSQLException: FATAL: password authentication failed for user "capture"', "connector-failed"),
        ("DebeziumException: ... is no longer available on the server. Reconfigure", "slot-lost"),
        ("ERROR: can no longer access replication slot", "slot-lost"),
        ("Connection refused", None),
        ("killed", None),
    ],
)
def test_what_forbids_a_start_is_read_from_what_was_said(text, runbook):
    assert problem(text).runbook == runbook


@pytest.mark.parametrize(
    ("text", "transient"),
    [
        ("failed: org.apache.kafka.common.errors.TimeoutException: Timed out", True),
        ("failed: Kafka at x does not answer [docs/operations.md: kafka-down]", True),
        ("failed: ValueError: bad rule", False),
        ("failed: [KAFKA_DATA_LOSS.X] after TimeoutException", False),
    ],
)
def test_a_query_is_only_started_again_if_something_did_not_answer(text, transient):
    assert is_transient(text) is transient


@pytest.fixture
def child(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    log = tmp_path / "driver.log"
    log.write_text("WARN x\nerror: Kafka at x does not answer [docs/operations.md: kafka-down]\n")
    found = Child("detect_fraud", process, log)
    yield found
    found.stop()


def driver_of(child, frozen=lambda _: False) -> Driver:
    class Settings:
        home = child.log.parent

    driver = Driver(Settings(), [], frozen)  # type: ignore[arg-type]
    driver._child = child
    return driver


def test_a_driver_is_well_until_it_ends_and_then_says_how(child):
    driver = driver_of(child)
    assert driver.problem() is None
    os.killpg(child.process.pid, signal.SIGKILL)
    child.process.wait(10)
    found = driver.problem()
    assert found is not None
    assert found.text.startswith("killed by signal 9: Kafka at x does not answer")
    assert found.runbook is None


def test_a_frozen_driver_is_a_problem(child):
    found = driver_of(child, lambda _: True).problem()
    assert found == ("it is frozen, and is killed", None)


def test_failed_queries_count_if_this_driver_told_of_them(child, tmp_path):
    class Pipeline:
        progress = str(tmp_path)

    queries = Queries(Pipeline(), driver_of(child))  # type: ignore[arg-type]

    def told(pid: int, **states: str):
        (tmp_path / "queries.json").write_text(json.dumps({"pid": pid, "queries": states}))
        return queries.problem()

    assert told(1, velocity="failed: TimeoutException") is None
    pid = child.process.pid
    assert told(pid, velocity="running", s="shadow failed: ValueError: x") is None
    assert told(pid, velocity="failed: TimeoutException").runbook is None
    assert told(pid, velocity="failed: ValueError: x").runbook == "query-failed"
    assert told(pid, velocity="failed: [KAFKA_DATA_LOSS.X]").runbook == "records-gone"


def test_a_state_that_cannot_be_written_is_said_once_and_written_when_there_is_room(tmp_path, capsys):
    told = supervisor._Told(tmp_path / "supervisor" / supervisor.STATE_FILE)  # the folder is not there
    restarts = Restarts(told.say)
    for _ in range(3):
        told.write(restarts)
    assert capsys.readouterr().out.count("supervisor.json cannot be written") == 1
    (tmp_path / "supervisor").mkdir()
    told.write(restarts)
    (line,) = json.loads((tmp_path / "supervisor" / supervisor.STATE_FILE).read_text())["decisions"]
    assert line.endswith("; it is tried again")


def test_a_full_disk_is_named_with_its_runbook_and_ends_nothing_where_the_output_is_on_it_too(monkeypatch, tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*_, **__):
        raise full

    monkeypatch.setattr("builtins.print", fail)
    told = supervisor._Told(tmp_path / supervisor.STATE_FILE)
    with monkeypatch.context() as patched:
        patched.setattr(type(tmp_path), "write_text", fail)
        told.write(Restarts(told.say))
    told.write(Restarts(told.say))
    (line,) = json.loads((tmp_path / supervisor.STATE_FILE).read_text())["decisions"]
    assert line.endswith("No space left on device); it is tried again [docs/operations.md: disk-full]")
