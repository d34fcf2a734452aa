"""Oracle and fold against the golden topics of rules with corrections, cut into micro-batches in several ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.check.corrected import judge_corrected
from fraudstream.check.oracle import HighAmount, arrivals, judge_topic
from fraudstream.check.settings import settings_for
from golden.topics import RULES, corrected_goldens, goldens
from unit.corrections import MAX_BYTES, NAMES_OF_COUNTS, folded, rule_of

FILES = corrected_goldens()
by_file = pytest.mark.parametrize("golden", FILES, ids=lambda golden: golden.name)


def judged(golden, rule: str):
    settings = settings_for(rule, golden.parameters.get(rule, {}))
    return judge_corrected(arrivals(golden.messages, MAX_BYTES), settings)


def counted(verdict) -> dict:
    read = sum(verdict.parts.values()) + sum(verdict.ignored.values())
    return {"read": read, **verdict.parts, "ignored": verdict.ignored}


@by_file
@pytest.mark.parametrize("rule", RULES)
def test_the_oracle_finds_the_alerts_and_counts_worked_out_by_hand(golden, rule):
    found = judged(golden, rule)
    assert tuple((alert.transaction_id, alert.status, alert.revision) for alert in found.alerts) == golden.alerts[rule]
    assert counted(found) == golden.counts[rule]


@by_file
def test_without_corrections_the_messages_are_what_they_were(golden):
    assert counted(judge_topic(arrivals(golden.messages, MAX_BYTES), HighAmount())) == golden.counts["entries"]


@by_file
def test_the_oracle_saw_the_figures_worked_out_by_hand(golden):
    for rule, by_alert in golden.evidence.items():
        seen = {
            (alert.transaction_id, alert.status, alert.revision): alert.figures for alert in judged(golden, rule).alerts
        }
        for alert, figures in by_alert.items():
            shown = {**seen[alert], **({"sum": f"{seen[alert]['sum'] / 100:.2f}"} if "sum" in seen[alert] else {})}
            assert {name: shown[name] for name in figures} == figures


@by_file
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_the_fold_finds_what_was_worked_out_by_hand_however_the_topic_is_cut(golden, rule, size, tmp_path: Path):
    alerts, counts = folded(rule_of(golden, rule, tmp_path), golden.messages, size)
    found = {(alert["transaction_id"], alert["status"], alert["revision"]): alert for alert in alerts}
    assert len(found) == len(alerts)
    assert sorted(found) == sorted(golden.alerts[rule])
    expected = {**golden.counts[rule], **golden.counts[rule]["ignored"]}
    assert counts == {name: expected.get(name, 0) for name in NAMES_OF_COUNTS}
    for alert, figures in golden.evidence.get(rule, {}).items():
        shown = {**found[alert]["evidence"], "score": found[alert]["score"]}
        assert {name: shown[name] for name in figures.keys() & shown.keys()} == {
            name: figures[name] for name in figures.keys() & shown.keys()
        }


@pytest.mark.parametrize("rule", ["anomaly", "velocity"])
@pytest.mark.parametrize("golden", goldens(), ids=lambda golden: golden.name)
def test_a_topic_without_changes_gives_with_corrections_what_it_gives_without(golden, rule, tmp_path: Path):
    arrived = list(arrivals(golden.messages, MAX_BYTES))
    if any(arrival.name in ("update", "delete", "key_change") for arrival in arrived):
        return
    alerts, counts = folded(rule_of(golden, rule, tmp_path), golden.messages, 7)
    assert sorted(alert["transaction_id"] for alert in alerts) == sorted(golden.alerts[rule])
    assert {(alert["status"], alert["revision"], alert["changed_by"]) for alert in alerts} <= {("open", 0, None)}
    assert (counts["judged"], counts["corrected"]) == (golden.counts[rule]["judged"], 0)
