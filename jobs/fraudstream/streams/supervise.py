"""Watching running queries: one that fails is reported and does not stop the others."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import StreamingQueryException
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.errors import FraudstreamError, head_of, with_runbook

if TYPE_CHECKING:
    from fraudstream.streams.rollout import Rollout

_POLL_SECONDS = 1.0


class Starter(NamedTuple):
    """What starts a query later: asked every so many seconds, or as often as is looked, until it returns one."""

    ask: Callable[[], StreamingQuery | None]
    every: float = 10.0


def run_until_stopped(
    queries: Sequence[StreamingQuery],
    progress: str,
    rollout: Rollout | None = None,
    starters: Sequence[Starter] = (),
    *,
    until_caught_up: bool = False,
) -> int:
    """Wait until every query has ended or SIGTERM or SIGINT asks to stop. The exit code: 0, or 1 if a query failed;
    of queries that run `until_caught_up` and were stopped before they were, 128 + the signal's number.

    `<progress>/queries.json` names the process and each query's state (running, done, failed and why) meanwhile, of
    rules by their names. The queries of a `rollout` are watched too, and its rules file is followed unless they run
    `until_caught_up`. What the `starters` start is watched from then on. Raises FraudstreamError when Spark's JVM ends
    unasked.
    """
    stopping = 0  # the signal's number
    follow = not until_caught_up

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = number

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    failed: dict[str, str] = {}
    fixed, told = list(queries), None
    pending = dict.fromkeys(starters, 0.0)  # when each is asked next
    against: set[str] = set()  # what was said to stand against them

    def watched() -> dict[str, StreamingQuery]:
        return {query.name: query for query in fixed} | (rollout.queries if rollout else {})

    try:
        while not stopping:
            fixed += _started(pending, against)
            _report_failures(watched(), failed)
            told = _write_state(progress, watched(), failed, rollout, told)
            running = [query for query in watched().values() if query.isActive]
            if not running and not (rollout and follow and rollout.is_idle):
                break
            _wait(running)
            if rollout and follow:
                rollout.follow()
        if stopping and SparkContext._active_spark_context:
            # Each task cut off would log a trace: what follows was asked for.
            SparkContext._active_spark_context.setLogLevel("OFF")
        for query in watched().values():
            query.stop()
        _report_failures(watched(), failed)
        _write_state(progress, watched(), failed, rollout, None)
    except (Py4JError, OSError) as error:
        # A signal to the whole process group ends the JVM too; its checkpoints are made for that.
        if not stopping:
            raise FraudstreamError(
                "Spark's JVM has ended; see the lines above. Start the job again to go on."
            ) from error
    if stopping and until_caught_up:
        return 128 + stopping
    return 1 if any(not (rollout and rollout.is_harmless(name)) for name in failed) else 0


def _started(pending: dict[Starter, float], said: set[str]) -> list[StreamingQuery]:
    """The queries of those starters that are to be asked by now and start one; these are pending no more."""
    now, found = time.monotonic(), []
    for starter in [each for each, due in pending.items() if due <= now]:
        query = _asked(starter, said)
        if query:
            found.append(query)
            del pending[starter]
        else:
            pending[starter] = now + starter.every
    return found


def _asked(starter: Starter, said: set[str]) -> StreamingQuery | None:
    """What the starter starts; None where something stands against it now (a broker that is away): said once, as it
    is asked again and the others run on."""
    try:
        return starter.ask()
    except (FraudstreamError, Py4JJavaError) as error:
        reason = head_of(str(error))
        if reason not in said:
            print(f"error: not started yet: {reason}", file=sys.stderr, flush=True)
        said.add(reason)
        return None


def _wait(running: Sequence[StreamingQuery]) -> None:
    if not running:
        time.sleep(_POLL_SECONDS)
        return
    try:
        running[0].awaitTermination(_POLL_SECONDS)  # type: ignore[arg-type]
    except StreamingQueryException:
        return  # it is read from the query itself, beside those of the others


def _report_failures(queries: Mapping[str, StreamingQuery], failed: dict[str, str]) -> None:
    for name in failed.keys() - queries.keys():
        del failed[name]  # its rule has been taken out since
    for name, query in queries.items():
        error = None if query.isActive else query.exception()
        if error is None:
            failed.pop(name, None)
        elif name not in failed:
            failed[name] = with_runbook(str(error))
            print(f"error: query {name} failed: {failed[name]}", file=sys.stderr, flush=True)


def _write_state(
    progress: str,
    queries: Mapping[str, StreamingQuery],
    failed: dict[str, str],
    rollout: Rollout | None,
    told: str | None,
) -> str:
    """Write the state if it is not what was `told` last; returns it."""
    states = {name: "running" if query.isActive else "done" for name, query in queries.items()}
    for name, reason in failed.items():
        states[name] = f"{'shadow ' if rollout and rollout.is_harmless(name) else ''}failed: {reason}"
    rules = {"rules": rollout.report} if rollout else {}
    text = json.dumps({"pid": os.getpid(), "queries": states, **rules}, indent=1)
    if text == told:
        return text
    path = Path(progress, "queries.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(text, encoding="utf-8")
    written.rename(path)
    return text
