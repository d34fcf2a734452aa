"""A pipeline of a drill's own, under load: the stack, a driver with all queries, and a producer with a ledger."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from fraudstream.check.children import Child, start_job
from fraudstream.config import RULES_FILE, Pipeline, load_pipeline, write_variant
from fraudstream.drill import positions
from fraudstream.drill.feed import Feed
from fraudstream.drill.helped import Help
from fraudstream.errors import FraudstreamError, StackError
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack import connect, guard, kafka, lifecycle, postgres
from fraudstream.stack.processes import COMPONENTS, pid_of
from fraudstream.stack.queries import query_states
from fraudstream.stack.settings import StackSettings

ARCHIVE, MIRROR = "archive_alerts", "mirror_transactions"
CONNECTOR = lifecycle.TRANSACTIONS.stem
# Short, so that a kill finds every query in the middle of its work.
_TRIGGERS = {
    "triggers.real_time": "5 seconds",
    "triggers.archive_alerts": "3 seconds",
    "triggers.mirror_transactions": "5 seconds",
}
_STEP_S = 0.1
PATIENCE_S = 240.0


class Rig:
    """The pipeline in `settings.home`. `start` it, `end` it; between the two, faults strike and `restore` mends."""

    def __init__(self, settings: StackSettings, seed: int, rate: float, *, inserts_only: bool = False) -> None:
        self.settings = settings
        self.home = settings.home
        self.ledger, self.copies = self.home / "ledger.jsonl", self.home / "copies.jsonl"
        self.config, self.rules_file = self.home / "pipeline.yaml", self.home / "rules.yaml"
        self.log = self.home / "driver.log"
        self._seed, self._rate, self._inserts_only = seed, rate, inserts_only
        # Changes up to a position may have been delivered again, from these offsets on.
        self.redelivered_to, self.redelivered_from = 0, dict[str, int]()
        self.poison: dict[tuple[int, int], bytes] = {}  # unreadable messages, by partition and offset
        self.helped: list[Help] = []  # what `restore` has started again
        self.driver: Child | None = None
        self.feed: Feed | None = None
        self.environment = {"FRAUDSTREAM_HOME": str(self.home)}

    def start(self) -> None:
        """Begin anew in the home: everything runs and rows are written when this returns."""
        lifecycle.purge(self.settings)
        for path in (self.ledger, self.copies, self.log):
            path.unlink(missing_ok=True)
        # What faults have made for themselves, too: a checkpoint of theirs is of a topic that is gone.
        for folder in self.home.iterdir():
            if folder.is_dir() and folder != self.settings.folder:
                shutil.rmtree(folder)
        self._write_files()
        self.pipeline: Pipeline = load_pipeline(self.config)
        self.rules = [rule for rule in load_rules(self.rules_file) if rule.status == "live"]
        self.queries = [*(rule.name for rule in self.rules), MIRROR, ARCHIVE]
        lifecycle.up(self.settings)
        topic = NewTopic(self.topic, num_partitions=self.settings.topic_partitions, replication_factor=1)
        client = kafka.admin(self.settings)
        client.create_topics([topic])[self.topic].result(30)
        self.feed = Feed(self.settings.dsn("app"), self.ledger, self._rate, self._seed, inserts_only=self._inserts_only)
        self.start_driver()
        self.await_judged(self.ends())

    def _write_files(self) -> None:
        write_variant(self.config, _TRIGGERS)
        self.rules_file.write_text(RULES_FILE.read_text(encoding="utf-8"), encoding="utf-8")

    @property
    def topic(self) -> str:
        """The topic of the captured transactions."""
        return self.pipeline.kafka.transactions_topic

    def start_driver(self, *options: str) -> None:
        """Start detect_fraud with its companions and wait until every query runs. Raises FraudstreamError if not."""
        Path(self.pipeline.progress, "queries.json").unlink(missing_ok=True)
        self.driver = self.start_job("detect_fraud", ["--with", f"{ARCHIVE},{MIRROR}", *options], self.log)
        self.until(lambda: self._runs(), "the queries")

    def start_job(self, name: str, arguments: list[str], log: Path, config: Path | None = None) -> Child:
        """A job on the rig's pipeline, or one with another `config`; detect_fraud with its rules."""
        options = ["--config", str(config or self.config)]
        options += ["--rules-file", str(self.rules_file)] if name == "detect_fraud" else []
        return start_job(name, [*options, *arguments], log, self.environment)

    def _runs(self) -> bool:
        assert self.driver is not None
        self.driver.require_running()
        states = query_states(self.pipeline.progress)[1]
        failed = {name: state for name, state in states.items() if state.startswith("failed")}
        if failed:
            raise FraudstreamError(f"{failed}; see {self.log}.")
        return all(states.get(query) == "running" for query in self.queries)

    def restore(self) -> None:
        """What an operator does after a fault: start what is down, restart what has failed; `helped` tells it."""
        limit = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._make_up()
                break
            except StackError:
                # A worker that reads what has piled up may answer late: whoever operates it would repeat `make up`.
                if time.monotonic() > limit:
                    raise
        while (why := self._standstill()) is not None:
            self.helped.append(Help("driver", why))
            self.stop_driver()
            try:
                self.start_driver()
            except FraudstreamError:
                if time.monotonic() > limit:
                    raise

    def _make_up(self) -> None:
        running = self.component_pids()
        lifecycle.up(self.settings, connector=None)
        self.helped += [Help(name, "it had ended") for name in COMPONENTS if name not in running]
        if (failure := self._capture_failure()) is not None:
            self.helped.append(Help("connector", failure))
        lifecycle.up(self.settings)

    def is_driving(self) -> bool:
        """Whether the driver lives and none of its queries has failed."""
        return self._standstill() is None

    def _standstill(self) -> str | None:
        """Why the driver does not drive; None if it does."""
        if self.driver is None:
            return "it was stopped"
        try:
            return None if self._runs() else "not all of its queries run"
        except FraudstreamError as error:
            return str(error)

    def _capture_failure(self) -> str | None:
        """Why the connector has failed; None if it has not, as far as Connect answers."""
        try:
            state = connect.connector_status(self.settings, CONNECTOR)
        except StackError:
            return None
        return str(state["trace"]) if connect.has_failed(state) else None

    def stop_driver(self) -> None:
        """Stop the driver, however it is."""
        if self.driver is not None:
            self.driver.stop()
        self.driver = None

    def pids(self) -> dict[str, list[int]]:
        """The pids of the driver's Python, of its JVM and of its Python workers; without those that are gone."""
        if self.driver is None or self.driver.process.poll() is not None:
            return {"python": [], "jvm": [], "workers": []}
        try:
            below = psutil.Process(self.driver.process.pid).children(recursive=True)
        except psutil.Error:
            below = []
        found: dict[str, list[int]] = {"python": [self.driver.process.pid], "jvm": [], "workers": []}
        for each in below:
            try:
                if each.name() == "java":
                    found["jvm"].append(each.pid)
                elif "pyspark.daemon" in " ".join(each.cmdline()):
                    found["workers"].append(each.pid)
            except psutil.Error:
                continue
        return found

    def component_pids(self) -> dict[str, int]:
        """The pids of the stack's components that run."""
        return {name: pid for name in COMPONENTS if (pid := pid_of(self.settings, name)) is not None}

    def written(self) -> int:
        """Rows inserted so far, as the ledger has them."""
        assert self.feed is not None
        return self.feed.inserted

    def wal(self) -> int:
        """The end of the database's log."""
        return guard.end_lsn(self.settings)

    def captured(self, wal: int) -> bool:
        """Whether capture has passed a place of the log."""
        slot, database = guard.slot_of(json.loads(lifecycle.TRANSACTIONS.read_text(encoding="utf-8"))["config"])
        try:
            return (guard.confirmed_lsn(self.settings, slot, database) or 0) >= wal
        except psycopg2.Error:
            return False

    def ends(self, topic: str = "") -> dict[str, int]:
        """{partition: offset behind its last record} of a topic, by default that of the transactions."""
        return positions.ends(self.settings, topic or self.topic)

    def behind(self, queries: list[str], ends: dict[str, int]) -> list[str]:
        """Those of the queries that have not committed all records below `ends` of the topic that they read."""
        topics = {ARCHIVE: self.pipeline.kafka.alerts_topic}
        return [
            query
            for query in queries
            if positions.is_behind(self.settings, self.pipeline, query, topics.get(query, self.topic), ends)
        ]

    def await_judged(self, ends: dict[str, int]) -> None:
        """Wait until every rule has committed what lies before `ends`."""
        rules = [rule.name for rule in self.rules]
        self.until(lambda: not self.behind(rules, ends), "the rules", watch=True)

    def await_recovered(self, wal: int) -> None:
        """Wait until what was committed before `wal` is captured and judged by every rule; what fails meanwhile is
        restored again."""
        self.until(lambda: self.captured(wal), "capture", watch=True)
        self.await_judged(self.ends())

    @contextmanager
    def connection(self) -> Iterator[psycopg2.extensions.connection]:
        """A connection of the application; what is not committed is rolled back."""
        database = psycopg2.connect(self.settings.dsn("app"))
        try:
            yield database
        finally:
            database.close()

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Commit a statement that returns the inserted rows as the ledger has them, and note them there."""
        with self.connection() as database, database.cursor() as cursor:
            cursor.execute(statement, values or None)
            rows = cursor.fetchall()
            database.commit()
        self.note([["c", *row, at.isoformat()] for *row, at in rows])

    def note(self, changes: list[list[Any]]) -> None:
        """Add a committed transaction to the ledger."""
        assert self.feed is not None
        self.feed.note(changes)

    def admin(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the database's administrator; its rows."""
        with postgres.cursor(self.settings) as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def end(self) -> None:
        """Stop writing, wait until every query has processed all, and stop the driver."""
        assert self.feed is not None
        self.feed.stop()
        wal = self.wal()
        with postgres.cursor(self.settings) as cursor:  # the slot moves with the next change
            cursor.execute("UPDATE dbz.heartbeat SET ts = now()")
        self.await_recovered(wal)
        ends = self.ends()
        self.until(lambda: not self.behind([*self.queries[:-1]], ends), "the mirror", watch=True)
        alerts = self.ends(self.pipeline.kafka.alerts_topic)
        self.until(lambda: not self.behind([ARCHIVE], alerts), "the archive", watch=True)
        self.stop_driver()

    def clear(self) -> None:
        """Stop all that runs, in any state."""
        if self.feed is not None:
            self.feed.stop()
        self.stop_driver()
        lifecycle.down(self.settings)

    def until(
        self, done: Callable[[], bool], waiting_for: str, *, watch: bool = False, seconds: float = PATIENCE_S
    ) -> None:
        """Wait for a condition; with `watch`, restore what has failed meanwhile. Raises FraudstreamError in the end."""
        limit = time.monotonic() + seconds
        while True:
            try:
                if done():
                    return
            except KafkaException:
                pass  # the broker is on its way
            if watch and not (self.is_driving() and self._capture_failure() is None):
                self.restore()
            if self.feed is not None and self.feed.error is not None:
                raise FraudstreamError(f"the producer died: {self.feed.error!r}.")
            if time.monotonic() > limit:
                at = positions.standing(self.settings, self.pipeline, self.queries)
                raise FraudstreamError(f"waited {seconds:.0f} s for {waiting_for}: {at}; see {self.log}.")
            time.sleep(_STEP_S)
