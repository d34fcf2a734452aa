"""fraud.alerts against a recomputation: the rules' own fold over all of history, each recorded version from its offsets
on; or the oracle of the checks, which was written apart from the rules and reads the whole topic, slowly."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fraudstream import alerts
from fraudstream.audit.bounds import Bounds, Offsets
from fraudstream.audit.finding import Part, Position
from fraudstream.backtest.runtime import parts
from fraudstream.backtest.source import History
from fraudstream.check.topic import Record
from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import fold
from fraudstream.rulebook.versions import Version, fold_versions, in_force
from fraudstream.streams import record

# An alert as the fold gives it takes 4 KB.
_ROWS_AT_ONCE = 500_000


class Alert(NamedTuple):
    """An alert's message: whether in the topic of shadow rules, its texts, and the record that was judged.

    The texts are interned: an alert's is in the recomputation, in the topic and in the archive, and an audit of two
    million alerts that kept three of each took more than 20 GB."""

    shadow: bool
    key: str
    value: str
    of: Position


class Message(NamedTuple):
    """A record of an alerts topic; `alert` and `rule` are None for one that is no alert."""

    at: Position
    alert: Alert | None
    rule: str | None = None
    version: str | None = None


@dataclass
class Judged:
    """What was recomputed of one rule: its alerts, up to which records, and by which versions. `problem` says why not;
    `recorded` are the names of all its versions, those too that have nothing to judge any more."""

    alerts: list[Alert] = field(default_factory=list)
    until: Offsets = field(default_factory=dict)
    versions: Sequence[Version] = ()
    problem: str | None = None
    recorded: frozenset[str] = frozenset()


def read_message(found: Record, shadow: bool) -> Message:
    """A record of an alerts topic."""
    at = (found.partition, found.offset)
    try:
        payload = json.loads(found.value or b"")
        of = (int(payload["partition"]), int(payload["offset"]))
        key, value = (sys.intern((text or b"").decode()) for text in (found.key, found.value))
        rule, version = (sys.intern(str(payload[name])) for name in ("rule", "rule_version"))
        return Message(at, Alert(shadow, key, value, of), rule, version)
    except (ValueError, KeyError, TypeError, RecursionError):
        return Message(at, None)


def versions_of(pipeline: Pipeline, name: str, rules: Sequence[Rule], since: Offsets) -> tuple[Version, ...]:
    """The versions of a rule that have judged the topic from `since` on. Raises GuardError for one whose code is
    gone."""
    found = record.versions(pipeline.lake, name, since)
    return found or tuple(Version(rule, {}) for rule in rules if rule.name == name)


def recompute(versions: Sequence[Version], history: History) -> list[Alert]:
    """Every alert of the versions over history, in the order of the topic."""
    rule = versions[-1].rule
    corrected = rule.corrections == "on" and history.corrected is not None
    batch = history.corrected if corrected else history.batch
    assert batch is not None
    if rule.stateless:
        made = [_alert(versions[place], each) for place, each in _each_by_itself(versions, batch, history.topic)]
    else:
        made = []
        for part in parts(batch, rule.key, _ROWS_AT_ONCE):
            outcome = fold_versions(versions, {}, part, history.topic)
            found = zip(outcome.found_by, outcome.fold.alerts, strict=True)
            made += [_alert(versions[place], each) for place, each in found]
    return sorted(made, key=lambda alert: alert.of)


def _alert(version: Version, payload: Mapping[str, Any]) -> Alert:
    key, value = map(sys.intern, alerts.message(payload))
    return Alert(version.rule.status == "shadow", key, value, (payload["partition"], payload["offset"]))


def _each_by_itself(versions: Sequence[Version], batch: Batch, topic: str) -> Iterable[tuple[int, dict[str, Any]]]:
    number = in_force(versions, batch["partition"], batch["offset"])
    for place, version in enumerate(versions):
        mine = {name: column[number == place] for name, column in batch.items()}
        judge = mine["judge"] | (version.rule.snapshot == "judge")
        alone = replace(version.rule, key="row")
        rows = {**mine, "row": np.arange(len(judge)), "judge": judge}
        yield from ((place, payload) for payload in fold(alone, None, rows, topic).alerts)


def without(history: History, positions: Iterable[Position]) -> History:
    """History as if these records had not come."""
    gone = np.array(sorted(positions), dtype=np.int64).reshape(-1, 2)

    def left(batch: Batch) -> Batch:
        keep = np.ones(len(batch["offset"]), dtype=bool)
        for partition, offset in gone:
            keep &= (batch["partition"] != partition) | (batch["offset"] != offset)
        return {name: column[keep] for name, column in batch.items()}

    corrected = None if history.corrected is None else left(history.corrected)
    return replace(history, batch=left(history.batch), corrected=corrected)


def effect(judged: Mapping[str, Judged], history: History, positions: Iterable[Position]) -> list[str]:
    """The ids of the alerts that are others, or no alerts, where these records had not come; copies do not count."""
    less = without(history, positions)
    changed: set[str] = set()
    for each in judged.values():
        if each.versions and not each.problem:
            now, then = _first(each.alerts), _first(recompute(each.versions, less))
            changed |= {key for key in now.keys() | then.keys() if now.get(key) != then.get(key)}
    return sorted(changed)


def _first(made: Iterable[Alert]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in made:
        found.setdefault(each.key, each.value)
    return found


def judge_all(
    pipeline: Pipeline, names: Iterable[str], rules: Sequence[Rule], bounds: Bounds, history: History, end: Offsets
) -> dict[str, Judged]:
    """The recomputation of each rule, up to where its query stands and history is known."""
    found = {}
    for name in names:
        until = {number: min(offset, end.get(number, 0)) for number, offset in bounds.of(name).items()}
        try:
            versions = versions_of(pipeline, name, rules, bounds.transactions.since)
            alerts_of = recompute(versions, history) if versions and history.rows else []
            recorded = frozenset(each["version"] for each in record.entries(pipeline.lake, name))
            problem = None if versions else "no version of it is known"
            found[name] = Judged(alerts_of, until, versions, problem, recorded)
        except FraudstreamError as error:
            found[name] = Judged(until=until, problem=str(error))
    return found


Present = Callable[[Alert], bool]


def compare_alerts(
    judged: Mapping[str, Judged],
    messages: Iterable[Message],
    bounds: Bounds,
    known: set[tuple[bool, Position]],
    aged: Present,
) -> Part:
    """The part of the audit. `known` are acknowledged messages; `aged` says of an alert that its message may have been
    deleted with its topic's first records."""
    part = Part("alerts")
    by_rule: dict[str, list[Message]] = defaultdict(list)
    strangers: list[Message] = []
    acknowledged = 0
    for message in messages:
        if (message.alert is not None and message.alert.shadow, message.at) in known:
            acknowledged += 1
        elif message.alert is None or message.rule not in judged:
            strangers.append(message)
        else:
            by_rule[str(message.rule)].append(message)
    part.found("alert_extra", "fraud.alerts", positions=[each.at for each in strangers], about=strangers)
    part.figures = {"acknowledged": acknowledged}
    for name, each in judged.items():
        if each.problem is None:
            part.figures[name] = _compare_rule(part, name, each, by_rule[name], bounds, aged)
        elif any(offset > bounds.transactions.since.get(number, 0) for number, offset in each.until.items()):
            part.incomplete.append(f"{name}: {each.problem}")
        else:
            part.notes.append(f"{name}: has judged none of the records that are compared ({each.problem})")
    return part


def _compare_rule(
    part: Part, name: str, judged: Judged, messages: Sequence[Message], bounds: Bounds, aged: Present
) -> dict[str, int]:
    def compared(at: Position) -> bool:
        return bounds.transactions.is_recent(*at) and at[1] < judged.until.get(at[0], 0)

    known = judged.recorded | {version.rule.version for version in judged.versions}
    expected = Counter(each for each in judged.alerts if compared(each.of))
    own = [each for each in messages if each.alert and compared(each.alert.of) and each.version in known]
    forgotten = sum(each.version not in known for each in messages)
    present = Counter(each.alert for each in own if each.alert)
    absent = [each for each in expected if each not in present and not aged(each)]
    surplus = [each for each in own if each.alert not in expected]
    places = {each.of for each in absent} & {each.alert.of for each in surplus if each.alert}
    missing = [each for each in absent if each.of not in places]
    differing = [each for each in absent if each.of in places]
    extra = [each for each in surplus if each.alert and each.alert.of not in places]
    wrong = [each for each in surplus if each.alert and each.alert.of in places]
    where = f"fraud.alerts {name}"
    part.found("alert_missing", where, ids=[each.key for each in missing], about=missing)
    part.found("alert_differs", where, ids=[each.key for each in differing], about=(differing, wrong))
    part.found("alert_extra", where, ids=[each.alert.key for each in extra if each.alert], about=extra)
    if forgotten:
        part.notes.append(f"{name}: {forgotten:,} alerts are of versions that its record does not name (--forget)")
    in_flight = sum(
        each.alert is not None and each.alert.of[1] >= judged.until.get(each.alert.of[0], 0) for each in messages
    )
    return {
        "recomputed": sum(expected.values()), "kafka": sum(present.values()),
        "copies": sum((present - expected).values()) - len(surplus), "in_flight": in_flight,
    }  # fmt: skip
