"""Where a version takes over, by a checkpoint's files and the record; the topic's ends and the history are given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fraudstream.config import Pipeline, load_pipeline
from fraudstream.errors import ConfigError, GuardError
from fraudstream.rulebook.catalog import Rule, parse_rules
from fraudstream.streams import record, takeover

ENDS = {0: 100, 1: 100}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setattr(takeover, "topic_ends", lambda spark, kafka: ENDS)
    monkeypatch.setattr(takeover, "topic_id", lambda spark, kafka, topic: "an id")
    monkeypatch.setattr(takeover, "alert_columns", lambda rule: None)
    monkeypatch.setattr(takeover, "history", lambda *given: None)
    return replace(load_pipeline(), lake=str(tmp_path / "lake"), checkpoints=str(tmp_path / "checkpoints"))


def rule(name: str, **parameters: int) -> Rule:
    return parse_rules(json.dumps({name: {"parameters": parameters}}), Path("rules.yaml"))[0]


def begun(pipeline: Pipeline, name: str, batch: int, end: int, *, committed: bool = True) -> None:
    for folder in ("offsets", "commits") if committed else ("offsets",):
        path = Path(pipeline.checkpoint(name), folder, str(batch))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("v1\n{}\n" + json.dumps({"topic": {"0": end, "1": end}}))


def since(pipeline: Pipeline, name: str) -> list[dict[int, int]]:
    return [record.since_of(entry) for entry in record.entries(pipeline.lake, name)]


def test_a_version_takes_over_behind_the_batch_that_was_begun(pipeline):
    assert not takeover.take_over(None, rule("anomaly", factor=3), pipeline)
    begun(pipeline, "anomaly", 0, 40)
    begun(pipeline, "anomaly", 1, 60, committed=False)
    assert takeover.take_over(None, rule("anomaly", factor=2), pipeline)
    assert not takeover.take_over(None, rule("anomaly", factor=2), pipeline)
    assert since(pipeline, "anomaly") == [{}, {0: 60, 1: 60}]


def test_a_rule_in_real_time_takes_over_at_the_topics_end(pipeline):
    takeover.take_over(None, rule("high_amount", over=4500), pipeline)
    begun(pipeline, "high_amount", 0, 60)
    takeover.take_over(None, rule("high_amount", over=900), pipeline)
    assert since(pipeline, "high_amount") == [{}, ENDS]


@pytest.mark.parametrize("name", ["high_amount", "anomaly"])
def test_where_the_old_code_is_gone_the_new_one_judges_what_was_not_committed(pipeline, monkeypatch, name):
    takeover.take_over(None, rule(name), pipeline)
    begun(pipeline, name, 0, 60)
    begun(pipeline, name, 1, 80, committed=False)
    monkeypatch.setattr(record, "can_be_had", lambda entry, name: False)
    takeover.take_over(None, replace(rule(name), version="of new code"), pipeline)
    assert since(pipeline, name) == [{}, {0: 60, 1: 60}]


def test_a_version_whose_predecessors_code_is_gone_and_wanted_is_refused_and_not_recorded(pipeline, monkeypatch):
    takeover.take_over(None, rule("high_amount", over=4500), pipeline)
    begun(pipeline, "high_amount", 0, 60)
    takeover.take_over(None, rule("high_amount", over=900), pipeline)  # from 100 on
    monkeypatch.setattr(record, "can_be_had", lambda entry, name: False)
    monkeypatch.setattr(record, "parse_rules", lambda text, file: [replace(rule("high_amount"), version="new code")])
    with pytest.raises(GuardError, match="still has records to judge, but the code of its rule file"):
        takeover.take_over(None, replace(rule("high_amount"), version="new code"), pipeline)
    assert since(pipeline, "high_amount") == [{}, ENDS]


def test_what_spark_refuses_is_not_recorded(pipeline, monkeypatch):
    def refuse(rule: Rule) -> None:
        raise ConfigError("divides by 0")

    monkeypatch.setattr(takeover, "alert_columns", refuse)
    with pytest.raises(ConfigError, match="divides by 0"):
        takeover.take_over(None, rule("high_amount"), pipeline)
    assert since(pipeline, "high_amount") == []


def test_a_late_rule_whose_seeding_failed_is_late_again(pipeline, monkeypatch):
    def fail(*given: object) -> None:
        raise OSError("the lake is away")

    monkeypatch.setattr(takeover, "history", fail)
    with pytest.raises(OSError, match="the lake is away"):
        takeover.take_over(None, rule("anomaly"), pipeline, late=True)
    assert since(pipeline, "anomaly") == []
    monkeypatch.setattr(takeover, "history", lambda *given: None)
    takeover.take_over(None, rule("anomaly"), pipeline, late=True)
    assert since(pipeline, "anomaly") == [ENDS]
