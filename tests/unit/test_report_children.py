"""What is said of a program that ended, and that nothing of it stays behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from fraudstream.check import children
from fraudstream.check.children import Child, meaning
from fraudstream.errors import FraudstreamError


def _child(tmp_path: Path, program: str) -> Child:
    log = tmp_path / "child.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Child("some_job", process, log)


def test_an_error_line_explains_an_end_better_than_what_follows_it():
    log = "starting\nerror: no Java: install one\n\tat org.apache.Foo\nshutting down\n"
    assert meaning(log) == "no Java: install one"


def test_without_an_error_line_the_exception_explains_and_else_the_last_lines():
    assert meaning("a\njava.lang.IllegalStateException: full\n\tat b.c\n") == "java.lang.IllegalStateException: full"
    assert meaning("a\nb\n\nc\nd\n") == "b | c | d"
    assert meaning("\n") == "it said nothing"


def test_a_program_that_failed_is_named_with_its_exit_code_words_and_log(tmp_path: Path):
    child = _child(tmp_path, "import sys; sys.exit('error: it went wrong.')")
    child.process.wait(30)
    with pytest.raises(FraudstreamError) as raised:
        child.ended_well()
    assert str(raised.value) == f"some_job ended with exit code 1: it went wrong; see {child.log}."


def test_a_program_that_is_done_ended_well(tmp_path: Path):
    child = _child(tmp_path, "pass")
    child.process.wait(30)
    assert child.ended_well()


def test_stopping_ends_the_programs_children_too(tmp_path: Path):
    program = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)\n"
        "time.sleep(600)"
    )
    child = _child(tmp_path, program)
    while not child.log.read_text().endswith("\n"):
        assert child.process.poll() is None
    grandchild = psutil.Process(int(child.log.read_text()))
    child.stop()
    assert child.process.returncode == -15
    psutil.wait_procs([grandchild], timeout=30)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_a_signal_in_the_moment_of_the_start_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    started: list[subprocess.Popen[bytes]] = []

    def start(_: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(_child(tmp_path, "import time; time.sleep(600)").process)
        signal.raise_signal(signal.SIGINT)  # the program runs, and nobody has its pid yet
        return started[0]

    former = signal.signal(signal.SIGINT, interrupt)
    try:
        monkeypatch.setattr(children, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": start}))
        with pytest.raises(Interrupted), children.job("some_job", [], tmp_path / "job.log", {}):
            pytest.fail("the block was entered")
    finally:
        signal.signal(signal.SIGINT, former)
    assert started[0].poll() is not None
