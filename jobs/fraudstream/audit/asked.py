"""fraud.alerts against the oracle of the checks, which was written apart from the rules: every message of the topic,
one at a time, slowly."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fraudstream import alerts
from fraudstream.audit.bounds import Bounds
from fraudstream.audit.finding import Part, Position
from fraudstream.audit.judged import Judged, Message
from fraudstream.audit.records import positions_of
from fraudstream.check.corrected import judge_corrected
from fraudstream.check.oracle import Arrival, Judgement, arrivals, judge_topic
from fraudstream.check.payload import wrong_fields
from fraudstream.check.settings import DEFINED, settings_for
from fraudstream.check.topic import Record, read_topic
from fraudstream.config import Pipeline
from fraudstream.masking import Mask
from fraudstream.rulebook.versions import Version, in_force

_Place = tuple[str, int, int]  # alert_id, partition and offset


def arrivals_of(
    records: Iterable[Record], max_bytes: int, quarantined: Collection[Position], mask: Mask | None = None
) -> list[Arrival]:
    """The topic for the oracle: what was unreadable when it came is, even if it can be read by now."""
    found = []
    for each in arrivals(records, max_bytes, mask):
        was_unreadable = (each.partition, each.offset) in quarantined
        found.append(replace(each, entry="unreadable", event=None) if was_unreadable else each)
    return found


def ask(pipeline: Pipeline, bounds: Bounds, judged: Mapping[str, Judged], messages: Sequence[Message]) -> Part:
    """The part of the audit; the topic is read once more."""
    topic, kafka = bounds.transactions, pipeline.kafka
    if any(topic.low.values()):
        return Part("oracle", incomplete=["it judges a topic from its first record, which has been deleted"])
    places = positions_of(pipeline.lake, "quarantine", topic.name)
    quarantined = {(number, int(offset)) for number, offsets in places.items() for offset in offsets}
    every = read_topic(kafka.bootstrap_servers, topic.name, kafka.client_options)
    arrived = arrivals_of(every, pipeline.max_message_bytes, quarantined, pipeline.mask)
    return compare_oracle(judged, messages, arrived, topic.name)


def compare_oracle(
    judged: Mapping[str, Judged], messages: Sequence[Message], topic: Sequence[Arrival], name: str
) -> Part:
    """The part of the audit; `name` is the topic's."""
    part = Part("oracle")
    for rule, each in judged.items():
        if each.problem is not None:
            part.incomplete.append(f"{rule}: {each.problem}")
        elif any(version.rule.rule not in DEFINED for version in each.versions):
            part.notes.append(f"{rule}: not compared: the oracle has no definition of it")
        else:
            part.figures[rule] = _compare_rule(part, rule, each, messages, topic, name)
    return part


def _compare_rule(
    part: Part, name: str, judged: Judged, messages: Sequence[Message], topic: Sequence[Arrival], topic_name: str
) -> dict[str, int]:
    def is_done(at: Position) -> bool:
        return at[1] < judged.until.get(at[0], 0)

    expected: dict[_Place, tuple[Judgement, Version]] = {}
    for number, version in enumerate(judged.versions):
        for alert in _alerts(judged.versions, number, topic):
            at = (alert.arrival.partition, alert.arrival.offset)
            if is_done(at):
                key = alerts.alert_id(name, version.rule.version, alert.transaction_id)
                expected[key, *at] = (alert, version)
    known = {version.rule.version for version in judged.versions}
    own = [each for each in messages if each.rule == name and each.version in known and each.alert]
    found = {(json.loads(a.value)["alert_id"], *a.of): a for each in own if (a := each.alert) and is_done(a.of)}
    wrong = [place for place, (alert, version) in expected.items() if place in found
             and wrong_fields(alert, found[place].value.encode(), name, version.rule.version, version.rule.severity,
                              topic_name, version.rule.corrections == "on")]  # fmt: skip
    part.found("oracle_missing", name, ids=[place[0] for place in expected.keys() - found.keys()])
    part.found("oracle_extra", name, ids=[place[0] for place in found.keys() - expected.keys()])
    part.found("oracle_differs", name, ids=[place[0] for place in wrong])
    return {"oracle": len(expected), "kafka": len(found)}


def _alerts(versions: Sequence[Version], number: int, topic: Sequence[Arrival]) -> list[Judgement]:
    """What the oracle finds with the settings of that version, where it was in force."""
    rule = versions[number].rule
    judge = judge_corrected if rule.corrections == "on" else judge_topic
    settings = settings_for(rule.rule, rule.parameters)
    made = judge(topic, settings, judge_snapshot=rule.snapshot == "judge").alerts
    partitions, offsets = (np.array([getattr(each.arrival, name) for each in made]) for name in ("partition", "offset"))
    if not made:
        return []
    return [each for each, place in zip(made, in_force(versions, partitions, offsets), strict=True) if place == number]
