"""Watching a run until a condition holds: every second a sample, the live view, and a look at what must be running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

import psutil

from fraudstream.check.children import Child
from fraudstream.check.live import Show
from fraudstream.check.observe import Observer, Sample
from fraudstream.errors import FraudstreamError, StackError
from fraudstream.stack import lifecycle
from fraudstream.stack.connect import connector_status, has_failed
from fraudstream.stack.processes import COMPONENTS, TITLES, crashed, explain
from fraudstream.stack.queries import query_states
from fraudstream.stack.settings import StackSettings

_STEP_S = 1.0
_START_S = 300.0
_STANDSTILL_S = 180.0
_SUSPICIOUS_S = 10.0


class Watch:
    """Takes samples of a running pipeline; `spark` is the application of the queries."""

    def __init__(self, settings: StackSettings, observer: Observer, show: Show, spark: Child, progress: str) -> None:
        self._settings = settings
        self._observer = observer
        self._show = show
        self._spark = spark
        self._progress = progress
        self.samples: list[Sample] = []

    def until(self, title: Callable[[], str], done: Callable[[Sample], bool], waiting_for: str) -> None:
        """Take samples until `done`. Raises FraudstreamError when a query, the application, a component of the stack or
        the connector fails, or nothing has moved for three minutes."""
        moved = time.monotonic()
        while True:
            self._observer.listen(_STEP_S)
            sample = self._observer.sample()
            if not self.samples or _totals(sample) != _totals(self.samples[-1]):
                moved = time.monotonic()
            self.samples.append(sample)
            self._show(title(), sample)
            self._spark.require_running()
            require_queries(self._progress, self._spark)
            require_components(self._settings)
            if done(sample):
                return
            if time.monotonic() - moved > _SUSPICIOUS_S:
                require_connector(self._settings)
            if time.monotonic() - moved > _STANDSTILL_S:
                raise FraudstreamError(
                    f"nothing has moved for {_STANDSTILL_S:.0f} s while waiting for {waiting_for} "
                    f"({_behind(sample)}); see {self._spark.log}."
                )


def _totals(sample: Sample) -> tuple[object, ...]:
    return sample.committed, sample.captured, sample.read, sample.alerts


def _behind(sample: Sample) -> str:
    behind = {query: sample.behind(query) for query in sample.read}
    return ", ".join(f"{query} is {count:,} behind" for query, count in behind.items() if count) or "all is processed"


def require_queries(progress: str, spark: Child) -> None:
    """Raises FraudstreamError if a query has failed."""
    for query, state in query_states(progress)[1].items():
        if state.startswith("failed"):
            raise FraudstreamError(f"query {query} {state}; see {spark.log}.")


def require_components(settings: StackSettings) -> None:
    """Raises StackError, with the end of its log, if a component of the stack has ended by itself."""
    for component in COMPONENTS:
        if crashed(settings, component):
            raise StackError(f"{TITLES[component]} has ended by itself; {explain(settings, component)}.")


def require_connector(settings: StackSettings) -> None:
    """Raises StackError with the head of its trace if the connector or its task has failed."""
    name = lifecycle.TRANSACTIONS.stem
    try:
        found = connector_status(settings, name)
    except StackError:
        return  # Connect may be too busy to answer; whether it has ended is asked elsewhere
    if has_failed(found):
        raise StackError(f"connector {name} has failed: {found['trace']}")


def wait_for_queries(progress: str, queries: Sequence[str], spark: Child) -> None:
    """Return once every query runs. Raises FraudstreamError if the application ends, a query fails or it takes over
    five minutes."""
    limit = time.monotonic() + _START_S
    while True:
        spark.require_running()
        require_queries(progress, spark)
        _, states = query_states(progress)
        if all(states.get(query) == "running" for query in queries):
            return
        if time.monotonic() > limit:
            missing = ", ".join(query for query in queries if query not in states)
            raise FraudstreamError(f"after {_START_S:.0f} s these queries do not run: {missing}; {spark.last_words()}")
        time.sleep(0.2)


def stop_leftover(progress: str) -> None:
    """End the application of an earlier demo that was killed before it could stop it."""
    pid, _ = query_states(progress)
    if pid is None or not psutil.pid_exists(pid):
        return
    try:
        process = psutil.Process(pid)
        if "detect_fraud.py" in " ".join(process.cmdline()):
            os.killpg(os.getpgid(pid), signal.SIGKILL)
            process.wait(30)
    except (psutil.Error, ProcessLookupError):
        return
