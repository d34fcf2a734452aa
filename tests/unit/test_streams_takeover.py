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
from fraudstream.streams.start_over import start_over

ENDS = {0: 100, 1: 100}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setattr(takeover, "topic_ends", lambda spark, kafka: ENDS)
    monkeypatch.setattr(takeover, "topic_begins", lambda spark, kafka, topic: {0: 0, 1: 0})
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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[int, int]]]:
    """A topic without its first records; what is asked of the history that they are: (rule version, until)."""
    found: list[tuple[str, dict[int, int]]] = []
    monkeypatch.setattr(takeover, "topic_begins", lambda spark, kafka, topic: {0: 30, 1: 0})
    monkeypatch.setattr(takeover, "history", lambda spark, rule, pipeline, until: found.append((rule.version, until)))
    return found


def mirrored(pipeline: Pipeline, end: int, start: int = 0, topic_id: str = "an id") -> None:
    """A mirror that has read the topic from `start` to `end`."""
    begun(pipeline, "mirror_transactions", 0, end)
    checkpoint = Path(pipeline.checkpoint("mirror_transactions"))
    (checkpoint / "start.json").write_text(json.dumps({"0": start, "1": 0}))
    (checkpoint / "fraudstream.json").write_text(json.dumps({"generation": "g", "topic_id": topic_id}))


@pytest.mark.parametrize("end", [30, 90])
def test_where_the_topic_has_lost_its_beginning_a_rule_begins_with_the_history_of_it(pipeline, asked, end):
    mirrored(pipeline, end)
    ours = rule("anomaly", factor=3)
    for _ in range(2):  # with a record it begins as without one, and once
        takeover.take_over(None, ours, pipeline)
        assert asked == [(ours.version, {0: 30, 1: 0})]
        assert json.loads(Path(pipeline.checkpoint("anomaly"), "start.json").read_text()) == {"0": 30, "1": 0}
    start_over(pipeline, "anomaly")
    takeover.take_over(None, ours, pipeline)
    assert asked == [(ours.version, {0: 30, 1: 0})] * 2


@pytest.mark.parametrize(
    "mirror",
    [{"end": 29}, {"end": 90, "start": 1}, {"end": 90, "topic_id": "of another"}, None],
    ids=["behind", "begun later", "of another topic", "none"],
)
def test_a_history_that_nothing_tells_refuses_a_rule_with_a_record_until_that_is_forgotten(pipeline, asked, mirror):
    ours = rule("anomaly", factor=3)
    if mirror:
        mirrored(pipeline, **mirror)
    takeover.take_over(None, ours, pipeline)  # without a record it begins with what the topic has
    assert asked == []
    takeover.take_over(None, ours, pipeline)  # which a driver's death before its first batch does not change
    start_over(pipeline, "anomaly")
    with pytest.raises(GuardError, match=r"does not tell all that was before \{0: 30, 1: 0\}.*--forget") as refusal:
        takeover.take_over(None, ours, pipeline)
    assert refusal.value.runbook == "history-gone"
    record.path_of(pipeline.lake, "anomaly").unlink()
    takeover.take_over(None, ours, pipeline)
    assert asked == []


def test_a_rule_whose_seeds_were_not_made_to_their_end_gets_them_at_the_next_start(pipeline, asked, monkeypatch):
    ours = rule("anomaly", factor=3)
    mirrored(pipeline, 100)
    takeover.take_over(None, ours, pipeline)
    start_over(pipeline, "anomaly")
    with monkeypatch.context() as broken:
        broken.setattr(takeover, "history", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            takeover.take_over(None, ours, pipeline)
    asked.clear()
    takeover.take_over(None, ours, pipeline)
    assert asked == [(ours.version, {0: 30, 1: 0})]


def test_a_new_version_that_keeps_more_needs_the_history_that_the_topic_has_lost(pipeline, asked):
    old, new = rule("anomaly", factor=3, history=50), rule("anomaly", factor=3, history=90)
    takeover.take_over(None, old, pipeline)
    begun(pipeline, "anomaly", 0, 60)
    with pytest.raises(GuardError, match=r"before \{0: 60, 1: 60\}"):
        takeover.take_over(None, new, pipeline)
    assert len(record.entries(pipeline.lake, "anomaly")) == 1
    mirrored(pipeline, 30)  # and from there on the topic tells it
    takeover.take_over(None, new, pipeline)
    assert asked == [(new.version, {0: 60, 1: 60})]


def test_a_changed_rule_that_begins_at_the_first_records_left_takes_over_at_the_topics_end(pipeline, asked):
    mirrored(pipeline, 100)
    takeover.take_over(None, rule("anomaly", factor=3), pipeline)
    begun(pipeline, "anomaly", 0, 60)
    start_over(pipeline, "anomaly")
    takeover.take_over(None, rule("anomaly", factor=2), pipeline)
    assert since(pipeline, "anomaly") == [{}, ENDS]


def test_each_epoch_that_is_alive_gets_the_history_by_its_own_rule(pipeline, asked):
    old, new = rule("anomaly", factor=3, history=50), rule("anomaly", factor=3, history=90)
    mirrored(pipeline, 100)
    takeover.take_over(None, old, pipeline)
    begun(pipeline, "anomaly", 0, 60)
    takeover.take_over(None, new, pipeline)
    asked.clear()
    start_over(pipeline, "anomaly")
    takeover.take_over(None, new, pipeline)
    assert asked == [(old.version, {0: 30, 1: 0}), (new.version, {0: 30, 1: 0})]


def test_a_rule_without_state_begins_at_the_first_records_left_without_a_history(pipeline, asked):
    ours = rule("high_amount", over=4500)
    takeover.take_over(None, ours, pipeline)
    start_over(pipeline, "high_amount")
    takeover.take_over(None, ours, pipeline)
    assert json.loads(Path(pipeline.checkpoint("high_amount"), "start.json").read_text()) == {"0": 30, "1": 0}
    assert asked == []


def test_rules_that_share_a_query_begin_where_its_first_one_does(pipeline, asked, monkeypatch):
    pipeline = replace(pipeline, shared_queries={"windows": ["anomaly", "velocity"]})
    mirrored(pipeline, 100)
    first, second = rule("anomaly", factor=3), rule("velocity")
    takeover.take_over(None, first, pipeline)
    monkeypatch.setattr(takeover, "topic_begins", lambda spark, kafka, topic: {0: 50, 1: 0})
    takeover.take_over(None, second, pipeline)
    assert asked == [(first.version, {0: 30, 1: 0}), (second.version, {0: 30, 1: 0})]
