"""Watching running queries: one that fails is reported and does not stop the others."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import StreamingQueryException
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.errors import FraudstreamError

_POLL_SECONDS = 1


def run_until_stopped(queries: Sequence[StreamingQuery], progress: str) -> int:
    """Wait until every query has ended or SIGTERM or SIGINT asks to stop. The exit code: 0, or 1 if a query failed.

    `<progress>/queries.json` names the process and each query's state (running, done, failed and why) meanwhile.
    Raises FraudstreamError when Spark's JVM ends unasked.
    """
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    failed: dict[str, str] = {}
    try:
        _write_state(progress, queries, failed)
        while not stopping and (running := [query for query in queries if query.isActive]):
            _wait(running[0])
            if _report_failures(queries, failed) or len(running) != sum(query.isActive for query in queries):
                _write_state(progress, queries, failed)
        if stopping and SparkContext._active_spark_context:
            # Each task cut off would log a trace: what follows was asked for.
            SparkContext._active_spark_context.setLogLevel("OFF")
        for query in queries:
            query.stop()
        _report_failures(queries, failed)
        _write_state(progress, queries, failed)
    except (Py4JError, OSError) as error:
        # A signal to the whole process group ends the JVM too; its checkpoints are made for that.
        if not stopping:
            raise FraudstreamError(
                "Spark's JVM has ended; see the lines above. Start the job again to go on."
            ) from error
    return 1 if failed else 0


def _wait(query: StreamingQuery) -> None:
    try:
        query.awaitTermination(_POLL_SECONDS)
    except StreamingQueryException:
        return  # it is read from the query itself, beside those of the others


def _report_failures(queries: Sequence[StreamingQuery], failed: dict[str, str]) -> bool:
    new = False
    for query in queries:
        error = None if query.isActive else query.exception()
        if error is not None and query.name not in failed:
            failed[query.name] = _head_of(str(error))
            print(f"error: query {query.name} failed: {failed[query.name]}", file=sys.stderr, flush=True)
            new = True
    return new


def _head_of(text: str) -> str:
    """What went wrong: the first line, and of a Python worker's trace the last, which names the error."""
    lines = [line.strip() for line in text.split("SQLSTATE")[0].splitlines() if line.strip()]
    return " ... ".join(dict.fromkeys([lines[0], lines[-1]]))[:600] if lines else "no reason given"


def _write_state(progress: str, queries: Sequence[StreamingQuery], failed: dict[str, str]) -> None:
    states = {
        query.name: f"failed: {failed[query.name]}" if query.name in failed else "running" if query.isActive else "done"
        for query in queries
    }
    path = Path(progress, "queries.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(json.dumps({"pid": os.getpid(), "queries": states}, indent=1), encoding="utf-8")
    written.rename(path)
