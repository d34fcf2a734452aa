"""Rules changed while they run, on real streaming queries: each version alerts in its part of the topic as the oracle
does that judges all of it with that version, and a replay by the record gives the same messages."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import compare_rules
import promote_rule
from fraudstream.backtest.runtime import judge
from fraudstream.backtest.source import history_of_lake
from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.settings import settings_for
from fraudstream.rulebook import catalog
from fraudstream.rulebook.catalog import Rule, load_rules, parse_rules
from fraudstream.rules.anomaly import anomaly
from fraudstream.streams import progress, queries, record
from fraudstream.streams.rollout import Rollout
from fraudstream.streams.supervise import run_until_stopped
from fraudstream.trial import report as reports
from stack.world import World, committed, world

pytestmark = pytest.mark.stack
# Rows of 5 users: amounts that rise slowly, and every 6th about 3 times as large, so that factor and history matter.
ROWS = """
insert into transactions (user_id, amount, card_type, merchant_id, created_at)
select 1 + n % 5, (20 + n * 7 % 13 + n / 20) * case when n % 6 = 0 then 3 else 1 end, 'VISA', n % 7,
       timestamp '2026-03-01 12:00:00' + interval '1 second' * (120 * n)
from generate_series({first}, {last}) as n
"""
PLAIN = "minimum: 3, floor: 5"
Place = tuple[int, int, int]  # partition, offset, transaction


class Driver:
    """The rules of a file, as detect_fraud runs them."""

    def __init__(self, world: World, file: Path) -> None:
        self.world, self.file, self.written = world, file, 0
        self.rollout = self._rollout()

    def _rollout(self) -> Rollout:
        return Rollout(self.world.session.newSession(), self.world.pipeline, self.file)

    def start(self, *, until_caught_up: bool = False) -> None:
        """Start the queries as the file says."""
        self.rollout = self._rollout()
        rules = [rule for rule in load_rules(self.file) if rule.status in ("live", "shadow")]
        self.rollout.start(rules, until_caught_up=until_caught_up)

    def change(self, text: str) -> None:
        """Write the file, and look at it until it is taken for whole."""
        self.file.write_text(text)
        assert not self.rollout.follow()
        assert self.rollout.follow()
        assert not self.rollout.follow()

    def write(self, count: int) -> None:
        """Commit rows and wait until they are in the topic."""
        first, self.written = self.written + 1, self.written + count
        self.world.sql(ROWS.format(first=first, last=self.written))
        self.world.wait_for_row(self.written)

    def judge(self, count: int) -> None:
        """Commit rows and wait until every query has judged them."""
        self.write(count)
        for query in self.rollout.queries.values():
            query.processAllAvailable()

    def stop(self) -> None:
        """End all queries."""
        for query in self.rollout.queries.values():
            query.stop()


@pytest.fixture
def driver(stack, spark, tmp_path: Path, request: pytest.FixtureRequest):
    with world(stack, spark, tmp_path, request.node.name.removeprefix("test_")[:40]) as made:
        made.capture()
        driver = Driver(made, tmp_path / "rules.yaml")
        yield driver
        driver.stop()


def messages(world: World, topic: str) -> list[tuple[bytes, bytes]]:
    """Key and value of every committed message of an alerts topic."""
    return [(each.key, each.value) for each in committed(world.settings, topic)]


def found(world: World, topic: str) -> list[tuple[str, str, int]]:
    """(rule, version, transaction) of the messages."""
    values = [json.loads(value) for _, value in messages(world, topic)]
    return sorted((value["rule"], value["rule_version"], value["transaction_id"]) for value in values)


def expected(world: World, name: str) -> list[tuple[str, str, int]]:
    """What each recorded version should have found: the oracle's alerts over the whole topic that lie in its part,
    where the version before it would have found something else."""
    topic = list(arrivals(world.records(), world.pipeline.max_message_bytes))

    def oracle(rule: Rule) -> set[Place]:
        found = judge_topic(topic, settings_for(rule.rule, rule.parameters)).alerts
        return {(alert.arrival.partition, alert.arrival.offset, alert.transaction_id) for alert in found}

    return in_their_parts(world, name, oracle)


def backtested(world: World, name: str) -> list[tuple[str, str, int]]:
    """What a backtest of each recorded version finds in the lake, in its part."""
    history = history_of_lake(world.pipeline.lake)

    def backtest(rule: Rule) -> set[Place]:
        found = judge(rule, history).messages
        return {(each["partition"], each["offset"], each["transaction_id"]) for each in found}

    return in_their_parts(world, name, backtest)


def in_their_parts(world: World, name: str, alerts_of: Callable[[Rule], set[Place]]) -> list[tuple[str, str, int]]:
    """(rule, version, transaction) of each recorded version's alerts between its first offset and the next one's."""
    entries = record.entries(world.pipeline.lake, name)
    verdicts = [alerts_of(parse_rules(json.dumps({name: entry["settings"]}), Path(name))[0]) for entry in entries]
    begins = [record.since_of(entry) for entry in entries]
    parts = []
    for place in range(len(entries)):
        inside = [
            {
                transaction
                for partition, offset, transaction in alerts
                if begins[place].get(partition, 0) <= offset
                and (place + 1 == len(begins) or offset < begins[place + 1][partition])
            }
            for alerts in verdicts
        ]
        parts += [(name, entries[place]["version"], transaction) for transaction in inside[place]]
        assert place == 0 or inside[place - 1] != inside[place], f"{name}: it makes no difference whether it changed"
    return sorted(parts)


def test_changed_rules_alert_by_the_record_over_a_restart_and_in_a_replay(driver: Driver):
    world, pipeline = driver.world, driver.world.pipeline
    factor_3 = f"anomaly: {{parameters: {{{PLAIN}, factor: 3}}}}"
    factor_2 = f"anomaly: {{parameters: {{{PLAIN}, factor: 2}}}}"
    longer = f"anomaly: {{parameters: {{{PLAIN}, factor: 2.75, history: 90}}}}"
    shadow = f"\nsteady: {{rule: anomaly, status: shadow, parameters: {{{PLAIN}, factor: 2, history: 100}}}}"
    driver.file.write_text(factor_3)
    driver.write(100)
    driver.start()
    driver.judge(200)
    driver.change(factor_2 + shadow)  # steady begins here, with a history that the topic alone has: no mirror ran yet
    driver.judge(60)
    mirror = queries.start_mirror(world.session, pipeline, until_caught_up=True)
    mirror.awaitTermination()
    driver.judge(60)
    driver.change(longer + shadow)  # with a history from the lake, and from the topic what the mirror has not got yet
    running = {query.id for query in driver.rollout.queries.values()}
    driver.change(longer.replace("2.75", "two"))
    assert "factor is 'two'; it must be a number" in driver.rollout.report["refused"]
    assert {query.id for query in driver.rollout.queries.values() if query.isActive} == running
    driver.judge(90)
    driver.stop()
    driver.file.write_text(longer + shadow.replace("factor: 2", "factor: 3"))  # while nothing runs
    driver.start()
    driver.judge(90)
    driver.stop()

    live, shadows = found(world, pipeline.kafka.alerts_topic), found(world, pipeline.kafka.shadow_topic)
    assert [entry["epoch"] for entry in record.entries(pipeline.lake, "anomaly")] == [0, 0, 1]
    assert [entry["epoch"] for entry in record.entries(pipeline.lake, "steady")] == [0, 0]
    assert set(live) == set(expected(world, "anomaly"))
    assert set(shadows) == set(expected(world, "steady"))
    assert len(live) > 20 < len(shadows)
    queries.start_mirror(world.session, pipeline, until_caught_up=True).awaitTermination()
    assert set(live) == set(backtested(world, "anomaly"))
    assert set(shadows) == set(backtested(world, "steady"))  # from the first record on, though it began in the middle
    for name in ("anomaly", "steady"):
        parts = world.parts(name)
        assert parts["read"] == sum(parts[part] for part in progress.PARTS)
    assert world.parts("anomaly")["read"] == len(world.records()) > world.parts("steady")["read"] > 0

    topics = {
        topic: set(messages(world, topic)) for topic in (pipeline.kafka.alerts_topic, pipeline.kafka.shadow_topic)
    }
    for name in ("anomaly", "steady"):
        queries.reset(world.session, pipeline, name)
    for query in queries.start_rules(
        world.session.newSession(), load_rules(driver.file), pipeline, until_caught_up=True
    ):
        query.awaitTermination()
    for topic, before in topics.items():
        again = Counter(messages(world, topic))
        assert set(again) == before
        assert all(copies >= 2 for copies in again.values())


def test_a_draft_is_tried_compared_promoted_and_paused_while_detection_runs(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    world, pipeline, file = driver.world, driver.world.pipeline, driver.file
    monkeypatch.setattr(reports, "folder_of", lambda rule: tmp_path / "compare_rules" / rule)
    for job in (compare_rules, promote_rule):
        monkeypatch.setattr(job, "load_pipeline", lambda path: pipeline)
    live = f"anomaly: {{parameters: {{{PLAIN}, factor: 3}}}}\n"
    trial = f"trial: {{rule: anomaly, status: draft, parameters: {{{PLAIN}, factor: 2}}}}\n"
    file.write_text(live + trial)
    driver.write(100)
    driver.start()
    driver.judge(60)
    assert [*driver.rollout.queries] == ["anomaly"]
    driver.change(live + trial.replace("draft", "shadow"))
    driver.judge(90)
    queries.start_archive(world.session, pipeline, until_caught_up=True).awaitTermination()
    queries.start_shadow_archive(world.session, pipeline, until_caught_up=True).awaitTermination()
    for job in (compare_rules, promote_rule):
        assert job.main(["trial", "--rules-file", str(file)]) == 0
    compared = json.loads((tmp_path / "compare_rules/trial/report.json").read_text())
    alerts = {name: cell["alerts"] for name, cell in compared["cells"].items()}
    # With its history from the first record on, factor 2 finds what factor 3 finds, and more.
    assert compared["records"] >= 90  # and the marks of Kafka's transactions, which have offsets, too
    assert alerts["only_old"] == 0
    assert alerts["both"] + alerts["only_new"] == len(expected(world, "trial"))
    assert alerts["both"] > 0 < alerts["only_new"]
    assert not driver.rollout.follow()
    assert driver.rollout.follow()  # what promote_rule wrote
    driver.judge(60)
    assert {*driver.rollout.queries} == {"anomaly"}
    promoted = file.read_text()
    driver.change(promoted.replace("anomaly: {", "anomaly: {status: paused, "))
    assert not driver.rollout.queries
    driver.write(60)
    driver.change(promoted)
    driver.judge(30)
    driver.stop()
    driver.start()
    driver.judge(30)
    assert [entry["settings"]["parameters"]["factor"] for entry in record.entries(pipeline.lake, "anomaly")] == [
        "3", "2"
    ]  # fmt: skip
    assert set(found(world, pipeline.kafka.alerts_topic)) == set(expected(world, "anomaly"))
    assert set(found(world, pipeline.kafka.shadow_topic)) <= set(expected(world, "trial"))
    parts = world.parts("anomaly")
    assert parts["read"] == len(world.records()) == 430


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch):
    """A rule file that this process has, and the Python workers of its queries have not; and the signals as before."""
    module = ModuleType("fraudstream.rules.only_here")
    module.only_here = anomaly
    monkeypatch.setitem(sys.modules, module.__name__, module)
    known = [*catalog.known_rules(), "only_here"]
    monkeypatch.setattr(catalog, "known_rules", lambda: known)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_shadow_rule_that_fails_is_shown_and_harms_nothing(driver: Driver, only_here: None):
    world, pipeline = driver.world, driver.world.pipeline
    live = f"anomaly: {{parameters: {{{PLAIN}, factor: 2}}}}"
    driver.file.write_text(f"{live}\nonly_here: {{status: shadow, parameters: {{{PLAIN}}}}}")
    driver.write(100)
    driver.start(until_caught_up=True)
    assert run_until_stopped([], pipeline.progress, driver.rollout, until_caught_up=True) == 0
    shown = json.loads(Path(pipeline.progress, "queries.json").read_text())
    assert shown["queries"]["anomaly"] == "done"
    assert "No module named 'fraudstream.rules.only_here'" in shown["queries"]["only_here"]
    assert shown["rules"]["running"]["only_here"]["status"] == "shadow"
    assert set(found(world, pipeline.kafka.alerts_topic)) == set(expected(world, "anomaly")) != set()
    assert world.parts("anomaly")["read"] == 100
