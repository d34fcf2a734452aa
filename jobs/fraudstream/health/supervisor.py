"""Holding a pipeline up: looking every second, and starting again what may be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fraudstream.check.once import Interrupted, alone, one_interruption
from fraudstream.config import Pipeline
from fraudstream.errors import with_runbook
from fraudstream.health.doctor import Doctor
from fraudstream.health.endpoint import Latest
from fraudstream.health.limits import load_limits
from fraudstream.health.parts import Driver, Queries, Stack, connectors
from fraudstream.health.restarts import Restarts
from fraudstream.stack import connect, lifecycle
from fraudstream.stack.settings import StackSettings

STATE_FILE = "supervisor.json"
_STEP_S = 1.0
_LOOK_S = 15.0
_TOLD = 50  # decisions kept in the state's file


class _Told:
    """The state's file, and the decisions on standard output."""

    def __init__(self, path: Path) -> None:
        self._path, self._lines = path, list[str]()
        self._written = ""
        self._fails = False

    def say(self, text: str) -> None:
        """Print one line, and keep it."""
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}"
        with suppress(OSError):  # standard output may be a file on a disk that is full
            print(line, flush=True)
        self._lines = [*self._lines, line][-_TOLD:]

    def write(self, restarts: Restarts) -> None:
        """Write the state if it has changed. That it cannot be is said once, and the next time it is tried again."""
        text = json.dumps({"pid": os.getpid(), "parts": restarts.told(), "decisions": self._lines}, indent=1)
        if text == self._written:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            if not self._fails:
                self.say(with_runbook(f"{self._path} cannot be written ({error}); it is tried again"))
            self._fails = True
        else:
            self._written, self._fails = text, False


def supervise(
    settings: StackSettings, pipeline: Pipeline, arguments: Sequence[str], paths: Sequence[Path], rules_file: Path
) -> int:
    """Start the stack with the connectors in `paths` and detect_fraud with `arguments`, and hold them until a signal
    comes; then the driver is stopped, and the stack stays. The exit code: 0, or 1 if a part was stopped at the end.

    Raises FraudstreamError when the stack does not start, or is supervised already.
    """
    folder = settings.home / "supervisor"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, "supervision"), one_interruption():
        told = _Told(folder / STATE_FILE)
        restarts = Restarts(told.say)
        frozen = _Frozen(Doctor(settings, pipeline, load_limits(), rules_file))
        driver = Driver(settings, arguments, frozen)
        try:
            seconds = lifecycle.up(settings, connector=None)
            for path in paths:
                connect.put_connector(settings, path)
            told.say(f"stack: up after {seconds:.1f} s")
            driver.restart()
            told.say(f"driver: started; its log is {driver.log}")
            stack, queries = Stack(settings), Queries(pipeline, driver)
            while True:
                if restarts.step([stack], time.monotonic()):
                    # Without the stack the others would fail again and again for that reason alone.
                    restarts.step([*connectors(settings), driver, queries], time.monotonic())
                told.write(restarts)
                time.sleep(_STEP_S)
        except Interrupted:
            told.say(f"stopped by a signal; the stack stays up, `make down` stops it{_left(restarts)}")
        finally:
            driver.stop()
            told.write(restarts)
    return 1 if restarts.stopped else 0


def _left(restarts: Restarts) -> str:
    return f"; stopped parts: {', '.join(restarts.stopped)}" if restarts.stopped else ""


class _Frozen:
    """Whether two looks of the doctor in a row have found the driver frozen. Never waits for one."""

    def __init__(self, doctor: Doctor) -> None:
        self._latest = Latest(doctor.look, fresh=_LOOK_S, patience=0.0)
        self._looks: list[tuple[float, bool]] = []

    def __call__(self, since: float) -> bool:
        seen = self._latest.get()
        if seen is not None and (not self._looks or seen[0]["at"] > self._looks[-1][0]):
            frozen = any(each.name == "driver-frozen" for each in seen[1])
            self._looks = [*self._looks, (seen[0]["at"], frozen)][-2:]
        return len(self._looks) == 2 and all(frozen and at > since for at, frozen in self._looks)
