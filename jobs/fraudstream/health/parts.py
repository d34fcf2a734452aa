"""The parts that supervision holds: the stack's components, its connectors, the driver, and the driver's queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import psycopg2
from confluent_kafka import KafkaException

from fraudstream.check.children import Child, job
from fraudstream.config import Pipeline
from fraudstream.errors import StackError
from fraudstream.health.restarts import Problem, is_transient, problem
from fraudstream.stack import connect, guard, lifecycle
from fraudstream.stack.processes import COMPONENTS, TITLES, crashed, log_file, process_of, tail
from fraudstream.stack.queries import query_states
from fraudstream.stack.settings import StackSettings


class Stack:
    """PostgreSQL, Kafka and Connect. What ended by itself is started; what was stopped by `make down` is not."""

    name = "stack"

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self._missing: set[str] = set()

    def problem(self) -> Problem | None:
        """Which of them has ended."""
        self._missing |= {name for name in COMPONENTS if crashed(self._settings, name)}
        self._missing -= {name for name in COMPONENTS if process_of(self._settings, name)}
        if not self._missing:
            return None
        titles = ", ".join(TITLES[name] for name in COMPONENTS if name in self._missing)
        last = [line for name in sorted(self._missing) for line in tail(log_file(self._settings, name), 1)]
        return Problem(f"{titles} has ended by itself; last said: {' | '.join(last) or 'nothing'}", None)

    def restart(self) -> None:
        """Start what is missing. Connect is not started if it would lose something (GuardError)."""
        try:
            lifecycle.up(self._settings, connector=None)
        except (psycopg2.Error, KafkaException) as error:
            raise StackError(" ".join(str(error).split())) from error


class Connector:
    """A registered connector and its tasks."""

    def __init__(self, settings: StackSettings, name: str) -> None:
        self.name = f"connector {name}"
        self._settings, self._connector = settings, name

    def problem(self) -> Problem | None:
        """Why it or a task has failed. Paused and stopped ones are so on purpose."""
        try:
            found = connect.connector_status(self._settings, self._connector)
        except StackError:
            return None  # Connect is seen to elsewhere
        if not connect.has_failed(found):
            return None
        return problem(str(found["trace"]))

    def restart(self) -> None:
        """Start what has failed of it, unless its slot forbids that (GuardError)."""
        try:
            config = connect.connectors(self._settings)[self._connector]
            guard.require_slot(self._settings, self._connector, config, may_begin=False)
        except (psycopg2.Error, KafkaException, KeyError) as error:
            raise StackError(" ".join(str(error).split())) from error
        connect.restart_failed(self._settings, self._connector)


def connectors(settings: StackSettings) -> list[Connector]:
    """The registered connectors; none while Connect does not answer."""
    if process_of(settings, "connect") is None:
        return []
    try:
        return [Connector(settings, name) for name in connect.connectors(settings)]
    except StackError:
        return []


class Driver:
    """detect_fraud in a process of its own. `is_frozen` says whether it has been seen to do nothing since a time (epoch
    seconds)."""

    name = "driver"

    def __init__(
        self, settings: StackSettings, arguments: Sequence[str], is_frozen: Callable[[float], bool] = lambda _: False
    ) -> None:
        self.log = settings.home / "driver.log"
        self._settings, self._arguments, self._is_frozen = settings, arguments, is_frozen
        self._running = ExitStack()
        self._child: Child | None = None
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        """Of the process that runs; None before the first start."""
        return self._child.process.pid if self._child else None

    def problem(self) -> Problem | None:
        """Whether it has ended, and what it said last; or that it is frozen."""
        if self._child is None:
            return Problem("not started", None)
        code = self._child.process.poll()
        if code is not None:
            how = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            found = problem(self._child.last_words().removesuffix("."))
            return Problem(f"{how}: {found.text}", found.runbook)
        return Problem("it is frozen, and is killed", None) if self._is_frozen(self._started) else None

    def restart(self) -> None:
        """End what is left of it and start it; the log of the start before is kept beside the new one."""
        if self._child is not None and self._is_frozen(self._started):
            self._child.process.kill()  # it would not hear anything gentler
        self.stop()
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        environment = {"FRAUDSTREAM_HOME": str(self._settings.home)}
        self._started = time.time()
        self._child = self._running.enter_context(job("detect_fraud", self._arguments, self.log, environment))

    def stop(self) -> None:
        """End it: gently, then its whole session."""
        self._running.close()
        self._child = None


class Queries:
    """The driver's queries, of which one may fail while the others run: the driver is then started anew, if what the
    query met may be over by now."""

    name = "queries"

    def __init__(self, pipeline: Pipeline, driver: Driver) -> None:
        self._progress, self._driver = pipeline.progress, driver

    def problem(self) -> Problem | None:
        """The failed queries; shadow rules harm nobody."""
        pid, states = query_states(self._progress)
        failed = {name: state for name, state in states.items() if state.startswith("failed")}
        if not failed or pid != self._driver.pid or self._driver.problem() is not None:
            return None
        text = "; ".join(f"{name} {state}" for name, state in failed.items())
        found = problem(text)
        lasting = None if all(map(is_transient, failed.values())) else "query-failed"
        return Problem(found.text, found.runbook or lasting)

    def restart(self) -> None:
        """Start the driver anew."""
        self._driver.restart()
