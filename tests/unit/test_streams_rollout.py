"""Following a rules file, with queries that only note that they were started and stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fraudstream.config import load_pipeline
from fraudstream.errors import GuardError
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams import rollout as rollouts
from fraudstream.streams.rollout import Rollout

LIVE = "anomaly: {parameters: {factor: 3}}\nvelocity: {}\n"
SHADOW = "odd_one: {rule: anomaly, status: shadow}\n"


class Query:
    """A query between two batches."""

    lastProgress, status = None, {"isTriggerActive": False}

    def __init__(self, name: str) -> None:
        self.name, self.isActive = name, True

    def stop(self) -> None:
        self.isActive = False


class Place:
    """A rules file, its rollout and what happened: `log` has (event, rule name, version) in order."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch, **shared: list[str]) -> None:
        self.file, self.log, self.unfit = file, [], set()
        file.write_text(LIVE)

        def take_over(spark, rule, pipeline, *, late=False):
            if rule.name in self.unfit:
                raise GuardError(f"{rule.name}: its key was user_id", "version-border")
            self.log.append(("late" if late else "early", rule.name, rule.version))
            return late

        def start_query(spark, rules, pipeline, *, until_caught_up=False):
            self.log.extend(("start", rule.name, rule.version) for rule in rules)
            return Query(pipeline.query_of(rules[0].name))

        def start_rules(spark, rules, pipeline, *, until_caught_up, judged):
            return [start_query(spark, own, pipeline) for own in rollouts.queries.by_query(rules, pipeline).values()]

        monkeypatch.setattr(rollouts, "take_over", take_over)
        for function in (start_query, start_rules):
            monkeypatch.setattr(rollouts.queries, function.__name__, function)
        for name in ("check_rules", "record_missing"):
            monkeypatch.setattr(rollouts.queries, name, lambda *given: None)
        self.pipeline = replace(load_pipeline(), shared_queries=shared)
        self.rollout = Rollout(None, self.pipeline, file)
        self.rollout.start(load_rules(file))
        self.log.clear()

    def change(self, text: str) -> list[tuple[str, str]]:
        """(event, rule name) of what the rollout does with the new text."""
        self.file.write_text(text)
        self.log.clear()
        assert [self.rollout.follow() for _ in range(3)] == [False, True, False]
        return [entry[:2] for entry in self.log]

    @property
    def running(self) -> list[str]:
        return [name for name, query in self.rollout.queries.items() if query.isActive]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path / "rules.yaml", monkeypatch)


def test_a_changed_rule_alone_is_started_anew(place: Place):
    assert place.change(LIVE.replace("factor: 3", "factor: 4")) == [("late", "anomaly"), ("start", "anomaly")]
    (rule, _) = load_rules(place.file)
    assert {entry[2] for entry in place.log} == {rule.version}
    assert place.rollout.report["running"]["anomaly"] == {"version": rule.version, "status": "live"}
    assert place.running == ["anomaly", "velocity"]


def test_what_no_query_knows_of_restarts_none(place: Place):
    assert place.change(f"# a comment\n{LIVE.replace('velocity: {}', 'velocity: {budget: 5/day}')}") == []
    assert place.change(LIVE + "many_merchants: {status: draft}\nspending_limit: {status: paused}\n") == []


def test_a_wrong_file_changes_nothing_and_says_so_until_it_is_right_again(place: Place, capsys):
    assert place.change(LIVE.replace("factor: 3", "factor: three") + SHADOW) == []
    assert "line 1: factor is 'three'; it must be a number" in place.rollout.report["refused"]
    assert "The rules go on as before; correct the file." in capsys.readouterr().err
    assert place.running == ["anomaly", "velocity"]
    assert place.change(LIVE) == []
    assert place.rollout.report["refused"] is None


def test_a_file_that_is_still_being_written_is_not_used(place: Place):
    place.file.write_text(LIVE[:20])
    assert not place.rollout.follow()
    place.file.write_text(LIVE + SHADOW)
    assert not place.rollout.follow()
    assert place.rollout.report["refused"] is None
    assert place.rollout.follow()
    assert place.running == ["anomaly", "velocity", "odd_one"]


def test_a_paused_rule_is_stopped_and_goes_on_when_it_is_live_again(place: Place):
    assert place.change(LIVE.replace("velocity: {}", "velocity: {status: paused}")) == []
    assert place.running == ["anomaly"]
    assert place.change(LIVE) == [("late", "velocity"), ("start", "velocity")]
    assert place.change("velocity: {}\n") == []
    assert place.running == ["velocity"]


def test_a_shadow_rule_that_becomes_live_is_started_anew(place: Place):
    assert place.change(LIVE + SHADOW) == [("late", "odd_one"), ("start", "odd_one")]
    assert place.rollout.is_harmless("odd_one")
    assert place.change(LIVE + SHADOW.replace("shadow", "live")) == [("late", "odd_one"), ("start", "odd_one")]
    assert not place.rollout.is_harmless("odd_one")


def test_a_change_that_cannot_be_made_is_told_and_the_rule_runs_as_before(place: Place, capsys):
    place.unfit = {"anomaly", "odd_one"}
    (before, _) = load_rules(place.file)
    assert place.change(LIVE.replace("factor: 3", "factor: 4") + SHADOW) == [("start", "anomaly")]
    assert place.log == [("start", "anomaly", before.version)]
    assert place.rollout.report["problems"] == {
        name: f"{name}: its key was user_id [docs/operations.md: version-border]" for name in ("anomaly", "odd_one")
    }  # fmt: skip
    assert "error: odd_one: not changed: odd_one: its key was user_id" in capsys.readouterr().err
    assert place.running == ["anomaly", "velocity"]


def test_a_changed_rule_that_shares_its_query_starts_it_anew_with_the_others_as_they_are(tmp_path, monkeypatch):
    place = Place(tmp_path / "rules.yaml", monkeypatch, windows=["anomaly", "velocity"])
    (_, velocity) = load_rules(place.file)
    first = place.rollout.queries["velocity"]
    assert place.change(LIVE.replace("factor: 3", "factor: 4")) == [
        ("late", "anomaly"), ("start", "anomaly"), ("start", "velocity"),
    ]  # fmt: skip
    assert place.log[-1] == ("start", "velocity", velocity.version)
    assert not first.isActive
    assert place.rollout.queries["velocity"] is place.rollout.queries["anomaly"] is not first
    assert place.running == ["anomaly", "velocity"]


@pytest.mark.parametrize("status", ["paused", "shadow", "draft"])
def test_a_rule_that_shares_its_query_is_not_stopped_alone(tmp_path, monkeypatch, status):
    place = Place(tmp_path / "rules.yaml", monkeypatch, windows=["anomaly", "velocity"])
    assert place.change(LIVE.replace("velocity: {}", f"velocity: {{status: {status}}}")) == []
    assert place.running == ["anomaly", "velocity"]
    assert "velocity is not live" in place.rollout.report["refused"]


def test_rules_of_a_query_that_change_at_once_start_it_anew_once(tmp_path, monkeypatch):
    place = Place(tmp_path / "rules.yaml", monkeypatch, windows=["anomaly", "velocity"])
    changed = "anomaly: {parameters: {factor: 4}}\nvelocity: {parameters: {more_than: 4}}\n"
    assert place.change(changed) == [
        ("late", "anomaly"), ("late", "velocity"), ("start", "anomaly"), ("start", "velocity"),
    ]  # fmt: skip
    assert [entry[2] for entry in place.log[2:]] == [rule.version for rule in load_rules(place.file)]


def test_of_rules_of_a_query_that_change_at_once_the_one_that_cannot_runs_as_before(tmp_path, monkeypatch):
    place = Place(tmp_path / "rules.yaml", monkeypatch, windows=["anomaly", "velocity"])
    place.unfit, (before, _) = {"anomaly"}, load_rules(place.file)
    place.change("anomaly: {parameters: {factor: 4}}\nvelocity: {parameters: {more_than: 4}}\n")
    (_, velocity) = load_rules(place.file)
    assert place.log == [
        ("late", "velocity", velocity.version), ("start", "anomaly", before.version),
        ("start", "velocity", velocity.version),
    ]  # fmt: skip
    assert [*place.rollout.report["problems"]] == ["anomaly"]


def test_a_shared_query_is_neither_stopped_nor_started_beside_others(tmp_path, monkeypatch):
    paused = "high_amount: {}\nanomaly: {status: paused}\nvelocity: {status: paused}\n"
    place = Place(tmp_path / "rules.yaml", monkeypatch, windows=["anomaly", "velocity"])
    assert place.change(paused) == []
    assert "to stop them, stop the job, change the file" in place.rollout.report["refused"]
    assert place.running == ["anomaly", "velocity"]

    place.file.write_text(paused)
    rollout = Rollout(None, place.pipeline, place.file)
    rollout.start([rule for rule in load_rules(place.file) if rule.status == "live"])
    place.file.write_text("high_amount: {}\n" + LIVE)
    assert [rollout.follow() for _ in range(2)] == [False, True]
    assert "to start them, stop the job, change the file" in rollout.report["refused"]
    assert [*rollout.queries] == ["high_amount"]
