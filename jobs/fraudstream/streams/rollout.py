"""The rule queries of one application, kept as the rules file says: started, changed and stopped while others run."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping, Sequence
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
from fraudstream.shared_queries import require_alike
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
        self._judged: dict[str, dict[str, bool]] = {}  # as for progress.BatchListener
        self._problems: dict[str, str] = {}  # why a rule does not run as the file says
        self._refused: str | None = None  # why the file is not used
        self._seen = self._used = _text(file)

    @property
    def queries(self) -> dict[str, StreamingQuery]:
        """The query of each rule that was started and has not been stopped since, by the rule's name."""
        return dict(self._queries)

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
            self._spark, others, self._pipeline, until_caught_up=until_caught_up, judged=self._judged
        )
        by_name = {query.name: query for query in started}
        for rule in others:
            self._rules[rule.name] = rule
            self._queries[rule.name] = by_name[self._pipeline.query_of(rule.name)]
        for rule in rules:
            if rule.status == "shadow":
                self._begin([rule], late=False, until_caught_up=until_caught_up)

    def follow(self) -> bool:
        """Look at the rules file and do what it says if it has changed. Returns whether it has."""
        text = _text(self._file)
        is_whole, self._seen = text == self._seen, text  # an editor may write it in pieces
        if not is_whole or text == self._used:
            return False
        self._used = text
        try:
            rules = {rule.name: rule for rule in load_rules(self._file) if not self._only or rule.name in self._only}
            require_alike(self._pipeline.shared_queries, [rule for rule in rules.values() if rule.status in RUNNING])
            self._require_same_queries(rules)
        except ConfigError as error:
            self._refused = str(error)
            _say(f"error: {error} The rules go on as before; correct the file.")
            return True
        if self._refused:
            _say(f"{self._file}: it is used again")
        self._refused, self._problems = None, {}
        self._apply(rules)
        return True

    def _require_same_queries(self, rules: Mapping[str, Rule]) -> None:
        """Raises ConfigError where a shared query would start, or stop, beside others that run."""
        for query, names in self._pipeline.shared_queries.items():
            runs = any(name in self._rules for name in names)
            if runs != any(name in rules and rules[name].status in RUNNING for name in names):
                raise ConfigError(
                    f"{self._file}: {', '.join(names)} share the query {query}, which starts and stops with the job; "
                    f"to {'stop' if runs else 'start'} them, stop the job, change the file, and start it again."
                )

    def _apply(self, rules: dict[str, Rule]) -> None:
        for name in list(self._rules):
            found = rules.get(name)
            if found is None or (found.status not in RUNNING and found.status != self._rules[name].status):
                self._stop(name)
                del self._rules[name], self._queries[name]
                _say(f"{name}: stopped; what comes now it judges when it is live again")
        changed: list[Rule] = []
        for name, rule in rules.items():
            running = self._rules.get(name)
            if running is not None and _runs_alike(running, rule):
                self._rules[name] = rule
            elif running is not None or rule.status in RUNNING:
                changed.append(rule)
        for own in queries.by_query(changed, self._pipeline).values():
            self._begin(own, late=True)

    def _begin(self, rules: Sequence[Rule], *, late: bool, until_caught_up: bool = False) -> None:
        """Start a query anew as these of its rules are now, or start it. What stands against a rule is told, and it
        runs as before."""
        before = [self._rules[rule.name] for rule in rules if rule.name in self._rules]
        taken: dict[str, bool] = {}  # whether another version of the rule ran before
        for rule in rules:
            try:
                taken[rule.name] = self._take_over(rule, late)
            except Exception as error:  # whatever Spark, Kafka or the author of the rule makes of it
                self._tell(rule, error)
        begun = [rule for rule in rules if rule.name in taken]
        try:
            if begun:
                self._run(begun, until_caught_up)
        except Exception as error:
            for rule in begun:
                self._tell(rule, error)
            begun = []
        if before and not begun:
            self._resume(before, until_caught_up)
        for rule in begun:
            _say(f"{rule.name}: version {rule.version} {'takes over' if taken[rule.name] else 'runs'} ({rule.status})")

    def _take_over(self, rule: Rule, late: bool) -> bool:
        """Whether the rule, whose query is stopped, takes over from another version."""
        if rule.name in self._rules:
            self._stop(rule.name)
            return take_over(self._spark, rule, self._pipeline, late=late)
        queries.check_rules(self._spark, [rule], self._pipeline)
        has_changed = take_over(self._spark, rule, self._pipeline, late=late)
        queries.record_missing(self._spark, rule, self._pipeline)
        return has_changed

    def _tell(self, rule: Rule, error: Exception) -> None:
        self._problems[rule.name] = _reason(error)
        _say(f"error: {rule.name}: not changed: {self._problems[rule.name]}")

    def _resume(self, rules: Sequence[Rule], until_caught_up: bool) -> None:
        """Run rules of a query again whose change failed. Raises what stands against it, unless it is a shadow rule."""
        try:
            self._run(rules, until_caught_up)
        except Exception as error:
            if any(rule.status != "shadow" for rule in rules):
                raise
            for rule in rules:
                self._problems[rule.name] = _reason(error)
                del self._rules[rule.name], self._queries[rule.name]

    def _run(self, rules: Sequence[Rule], until_caught_up: bool) -> None:
        """Start the query of the rules, with those that share it as they run."""
        name = self._pipeline.query_of(rules[0].name)
        sharing = {each: self._rules[each] for each in self._pipeline.judged_by(name) if each in self._rules}
        sharing |= {rule.name: rule for rule in rules}
        self._judged[name] = queries.have_state([*sharing.values()])
        query = queries.start_query(self._spark, [*sharing.values()], self._pipeline, until_caught_up=until_caught_up)
        self._rules |= sharing
        self._queries |= dict.fromkeys(sharing, query)

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
