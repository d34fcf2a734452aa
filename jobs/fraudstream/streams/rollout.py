"""The rule queries of one application, kept as the rules file says: started, changed and stopped while others run."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.config import Pipeline
from fraudstream.documents import MAX_BYTES
from fraudstream.errors import ConfigError, head_of
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.streams import queries
from fraudstream.streams.record import settings_of
from fraudstream.streams.takeover import take_over

RUNNING = ("live", "shadow")
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05


class Rollout:
    """The running rules and their queries. A shadow rule that cannot start or fails is reported and harms nothing."""

    def __init__(self, spark: SparkSession, pipeline: Pipeline, file: Path, only: Collection[str] = ()) -> None:
        """`only`: of the file, look at these rules alone (default: all). The file is followed from now on: what `start`
        gets is to be read after this."""
        self._spark, self._pipeline, self._file, self._only = spark, pipeline, file, only
        self._rules: dict[str, Rule] = {}
        self._queries: dict[str, StreamingQuery] = {}
        self._has_state: dict[str, bool] = {}
        self._problems: dict[str, str] = {}  # why a rule does not run as the file says
        self._refused: str | None = None  # why the file is not used
        self._seen = self._used = _text(file)

    @property
    def queries(self) -> list[StreamingQuery]:
        """The query of each rule that was started and has not been stopped since."""
        return list(self._queries.values())

    @property
    def report(self) -> dict[str, Any]:
        """What runs, and what of the file does not, in plain JSON."""
        running = {name: {"version": rule.version, "status": rule.status} for name, rule in self._rules.items()}
        return {"file": str(self._file), "refused": self._refused, "running": running, "problems": self._problems}

    @property
    def is_idle(self) -> bool:
        """Whether no rule is to run: one may be started later."""
        return not self._rules

    def is_harmless(self, name: str) -> bool:
        """Whether the query's failure leaves all alerts as they are: it is a shadow rule's."""
        return name in self._rules and self._rules[name].status == "shadow"

    def start(self, rules: Sequence[Rule], *, until_caught_up: bool = False) -> None:
        """Start the queries. Raises GuardError before the first one starts if the topic or a checkpoint is unfit for a
        rule that is no shadow."""
        others = [rule for rule in rules if rule.status != "shadow"]
        started = queries.start_rules(
            self._spark, others, self._pipeline, until_caught_up=until_caught_up, has_state=self._has_state
        )
        for rule, query in zip(others, started, strict=True):
            self._rules[rule.name], self._queries[rule.name] = rule, query
        for rule in rules:
            if rule.status == "shadow":
                self._begin(rule, late=False, until_caught_up=until_caught_up)

    def follow(self) -> bool:
        """Look at the rules file and do what it says if it has changed. Returns whether it has."""
        text = _text(self._file)
        is_whole, self._seen = text == self._seen, text  # an editor may write it in pieces
        if not is_whole or text == self._used:
            return False
        self._used = text
        try:
            rules = {rule.name: rule for rule in load_rules(self._file)}
        except ConfigError as error:
            self._refused = str(error)
            _say(f"error: {error} The rules go on as before; correct the file.")
            return True
        if self._refused:
            _say(f"{self._file}: it is used again")
        self._refused, self._problems = None, {}
        self._apply({name: rule for name, rule in rules.items() if not self._only or name in self._only})
        return True

    def _apply(self, rules: dict[str, Rule]) -> None:
        for name in list(self._rules):
            found = rules.get(name)
            if found is None or (found.status not in RUNNING and found.status != self._rules[name].status):
                self._stop(name)
                del self._rules[name], self._queries[name]
                _say(f"{name}: stopped; what comes now it judges when it is live again")
        for name, rule in rules.items():
            running = self._rules.get(name)
            if running is not None and _runs_alike(running, rule):
                self._rules[name] = rule
            elif running is not None or rule.status in RUNNING:
                self._begin(rule, late=True)

    def _begin(self, rule: Rule, *, late: bool, until_caught_up: bool = False) -> None:
        """Start the rule's query, or start it anew as the rule is now. What stands against it is told, and the rule
        runs as before."""
        before = self._rules.get(rule.name)
        try:
            if before is None:
                queries.check_rules(self._spark, [rule], self._pipeline)
            self._stop(rule.name)
            has_changed = take_over(self._spark, rule, self._pipeline, late=late)
            if before is None:
                queries.record_missing(self._spark, rule, self._pipeline)
            self._run(rule, until_caught_up)
        except Exception as error:  # whatever Spark, Kafka or the author of the rule makes of it
            self._problems[rule.name] = _reason(error)
            _say(f"error: {rule.name}: not changed: {self._problems[rule.name]}")
            if before is not None:
                self._resume(before, until_caught_up)
            return
        _say(f"{rule.name}: version {rule.version} {'takes over' if has_changed else 'runs'} ({rule.status})")

    def _resume(self, rule: Rule, until_caught_up: bool) -> None:
        """Run a rule again whose change failed. Raises what stands against it, unless it is a shadow rule."""
        try:
            self._run(rule, until_caught_up)
        except Exception as error:
            if rule.status != "shadow":
                raise
            self._problems[rule.name] = _reason(error)
            del self._rules[rule.name], self._queries[rule.name]

    def _run(self, rule: Rule, until_caught_up: bool) -> None:
        self._has_state[rule.name] = not rule.stateless
        self._queries[rule.name] = queries.start_rule(
            self._spark, rule, self._pipeline, until_caught_up=until_caught_up
        )
        self._rules[rule.name] = rule

    def _stop(self, name: str) -> None:
        """Stop the rule's query, if it runs, at the border of a batch: one that is cut off is only judged again."""
        query = self._queries.get(name)
        if query is None or not query.isActive:
            return
        limit, batch = time.monotonic() + _STOP_SECONDS, _last_batch(query)
        while query.isActive and _last_batch(query) == batch and time.monotonic() < limit:
            if not query.status["isTriggerActive"]:
                break
            time.sleep(_POLL_SECONDS)
        query.stop()


def _runs_alike(running: Rule, rule: Rule) -> bool:
    """Whether the rules differ in nothing that their queries know of."""
    return all(of(running) == of(rule) for of in (settings_of, attrgetter("version", "trigger")))


def _reason(error: Exception) -> str:
    return head_of(str(error.java_exception.toString() if isinstance(error, Py4JJavaError) else error))


def _last_batch(query: StreamingQuery) -> int | None:
    progress = query.lastProgress
    return None if progress is None else int(progress["batchId"])


def _text(file: Path) -> bytes | None:
    try:
        with file.open("rb") as found:
            return found.read(MAX_BYTES + 1)  # of a file of more bytes, which is refused, no more
    except OSError:
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
