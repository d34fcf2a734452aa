"""Where a new rule's history comes from: the lake as far as the mirror of this topic has come, then the topic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fraudstream.config import Pipeline, load_pipeline
from fraudstream.rulebook.catalog import Rule, parse_rules
from fraudstream.streams import seed

UNTIL = {0: 90, 1: 30}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What is read of the lake (up to which offsets), and of the topic (from and up to which)."""
    found: list[tuple[str, object]] = []

    class Part:
        def select(self, *columns: str) -> Part:
            return self

        def unionByName(self, other: Part) -> Part:
            return self

    def of_lake(spark, pipeline, until):
        found.append(("lake", until))
        return Part()

    def of_topic(spark, kafka, topic, start, end):
        found.append(("topic", (start, end)))
        return Part()

    monkeypatch.setattr(seed, "_of_lake", of_lake)
    monkeypatch.setattr(seed, "read_range", of_topic)
    monkeypatch.setattr(seed, "rule_events", lambda records, rule, pipeline: records)
    monkeypatch.setattr(seed, "topic_id", lambda spark, kafka, topic: "this one")
    return found


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return replace(load_pipeline(), checkpoints=str(tmp_path))


def anomaly(**settings: str) -> Rule:
    return parse_rules(json.dumps({"anomaly": settings}), Path("rules.yaml"))[0]


def mirrored(pipeline: Pipeline, topic: str, end: int) -> None:
    """A mirror that has read both partitions of the topic of this id up to `end`."""
    checkpoint = Path(pipeline.checkpoint("mirror_transactions"))
    for folder in ("offsets", "commits"):
        (checkpoint / folder).mkdir(parents=True)
        (checkpoint / folder / "0").write_text("v1\n{}\n" + json.dumps({"topic": {"0": end, "1": end}}))
    (checkpoint / "fraudstream.json").write_text(json.dumps({"topic_id": topic}))


def test_the_lake_tells_as_far_as_the_mirror_has_come_and_the_topic_the_rest(pipeline, asked):
    mirrored(pipeline, "this one", 60)
    assert seed.history(None, anomaly(), pipeline, UNTIL) is not None
    assert asked == [("lake", {0: 60, 1: 30}), ("topic", ({"0": 60}, {"0": 90}))]


def test_a_mirror_of_another_topic_of_that_name_tells_nothing(pipeline, asked):
    mirrored(pipeline, "the one before", 60)
    assert seed.history(None, anomaly(), pipeline, UNTIL) is not None
    assert asked == [("topic", ({}, {"0": 90, "1": 30}))]


def test_a_rule_that_corrects_has_its_history_of_the_topic_alone(pipeline, asked):
    mirrored(pipeline, "this one", 60)
    assert seed.history(None, anomaly(corrections="on"), pipeline, UNTIL) is not None
    assert asked == [("topic", ({}, {"0": 90, "1": 30}))]


def test_without_a_mirror_all_comes_of_the_topic_and_before_the_first_record_there_is_nothing(pipeline, asked):
    assert seed.history(None, anomaly(), pipeline, {0: 0, 1: 0}) is None
    assert asked == []
    assert seed.history(None, anomaly(), pipeline, UNTIL) is not None
    assert asked == [("topic", ({}, {"0": 90, "1": 30}))]
