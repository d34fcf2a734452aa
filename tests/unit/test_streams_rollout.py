"""Following a rules file, with queries that only note that they were started and stopped."""

from __future__ import annotations

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

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.log, self.unfit = file, [], set()
        file.write_text(LIVE)

        def take_over(spark, rule, pipeline, *, late=False):
            if rule.name in self.unfit:
                raise GuardError(f"{rule.name}: its key was user_id", "version-border")
            self.log.append(("late" if late else "early", rule.name, rule.version))
            return late

        def start_rule(spark, rule, pipeline, *, until_caught_up=False):
            self.log.append(("start", rule.name, rule.version))
            return Query(rule.name)

        def start_rules(spark, rules, pipeline, *, until_caught_up, has_state):
            return [start_rule(spark, rule, pipeline) for rule in rules]

        monkeypatch.setattr(rollouts, "take_over", take_over)
        for function in (start_rule, start_rules):
            monkeypatch.setattr(rollouts.queries, function.__name__, function)
        for name in ("check_rules", "record_missing"):
            monkeypatch.setattr(rollouts.queries, name, lambda *given: None)
        self.rollout = Rollout(None, load_pipeline(), file)
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
        return [query.name for query in self.rollout.queries if query.isActive]


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
