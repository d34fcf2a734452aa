"""The demo as a user runs it: a short one to its end, and one that is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fixtures.short_lived import short_lived
from fraudstream.stack.settings import REPOSITORY, free_ports

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


@pytest.fixture
def start(tmp_path: Path):
    """A function that starts a demo with these options, its stack beside that of the tests."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> subprocess.Popen[str]:
        ports = {name: str(port) for name, port in free_ports().items()}
        demo = subprocess.Popen(
            [sys.executable, "-m", "fraudstream.check.demo", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY,
            env={**short_lived(), **ports, "FRAUDSTREAM_HOME": str(tmp_path)},
        )  # fmt: skip
        started.append(demo)
        return demo

    yield begin
    for demo in started:
        if demo.poll() is None:
            demo.send_signal(signal.SIGTERM)
            demo.communicate(timeout=120)


def _left_running(home: Path) -> list[str]:
    """Command lines of the processes that were started for this home."""
    found = []
    for process in psutil.process_iter():
        try:
            # The demo's own variable, and for PostgreSQL, which gets few variables, its folder.
            own = process.environ().get("FRAUDSTREAM_HOME") == str(home / "demo")
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if own or str(home) in line:
            found.append(line)
    return found


def _lines_until(demo: subprocess.Popen[str], wanted: Callable[[str], bool]) -> list[str]:
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if wanted(line):
            return lines
    raise AssertionError("".join(lines))


def test_a_short_demo_passes_reports_and_leaves_nothing_running(start, tmp_path: Path):
    demo = start("--seconds", "6", "--rate", "1000")
    said, _ = demo.communicate(timeout=800)
    assert demo.returncode == 0, said
    assert "\x1b" not in said
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["passed"] is True
    assert report["committed"]["inserts"] == 6016  # 16 rows warm the queries up
    assert report["capture"] == {"lost": 0, "doubled": 0}
    assert report["mirror"]["different"] == 0
    assert report["rules"]["high_amount"]["oracle"] > 0
    assert all(rule["missing"] == rule["extra"] == 0 for rule in report["rules"].values())
    parts = report["topic"]
    assert parts["read"] == sum(count for name, count in parts.items() if name != "read")
    assert "<strong>Passed</strong>" in (tmp_path / "demo" / "report.html").read_text()
    assert _left_running(tmp_path) == []


def test_ctrl_c_while_spark_starts_stops_all_that_was_started(start, tmp_path: Path):
    demo = start()
    _lines_until(demo, lambda line: "starting Spark" in line)
    assert _left_running(tmp_path)
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=180)
    assert demo.returncode == 130
    assert said.endswith("interrupted; everything that the demo had started is stopped\n")
    assert _left_running(tmp_path) == []
