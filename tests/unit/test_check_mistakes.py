"""The golden topics tell every deliberate mistake apart, and the power of a run is measured by them."""

from __future__ import annotations

import pytest

from fraudstream.check.mistakes import mistakes_of, power
from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.settings import settings_for
from golden.topics import RULES, goldens

MAX_BYTES = 262_144
FILES = goldens()
MISTAKES = [(rule, mistake.name) for rule in RULES for mistake in mistakes_of(settings_for(rule, {}))]


def judged(golden, rule, number=None):
    settings = settings_for(rule, golden.parameters.get(rule, {}))
    if number is not None:
        settings = mistakes_of(settings)[number].settings
    found = judge_topic(arrivals(golden.messages, MAX_BYTES), settings)
    return [alert.transaction_id for alert in found.alerts], found.parts


@pytest.mark.parametrize(("rule", "name"), MISTAKES)
def test_every_mistake_fails_a_golden_topic(rule, name):
    number = [other for kind, other in MISTAKES if kind == rule].index(name)
    failed = [golden.name for golden in FILES if judged(golden, rule, number) != judged(golden, rule)]
    assert failed


def a_run(*names):
    topic = [row for golden in FILES if golden.name in names for row in arrivals(golden.messages, MAX_BYTES)]
    settings = {rule: settings_for(rule, {}) for rule in RULES}
    return power(topic, {rule: (settings[rule], judge_topic(topic, settings[rule])) for rule in RULES})


def test_a_mistake_counts_the_decisions_it_would_change():
    # 01: with 49 amounts 51 (700.00) and 151 (750.00) would alert beside 251.
    assert a_run("01_history_of_50")["mistakes"]["anomaly"]["history of 49"] == 2
    # 02: with 51 amounts 52 would not alert (38103 > 30600.51), 152 would.
    assert a_run("02_history_of_51")["mistakes"]["anomaly"]["history of 51"] == 2
    # 23: by LSN the large amount comes second.
    assert a_run("23_interleaved_transactions")["mistakes"]["anomaly"]["ordered by LSN"] == 1


def test_a_run_with_few_alerts_is_not_proven_and_says_why():
    found = a_run("08_velocity_of_6")
    assert not found["proven"]
    assert found["reasons"] == [
        "not proven: anomaly has 0 alerts, 100 are needed",
        "not proven: velocity has 2 alerts, 100 are needed",
        "not proven: anomaly has 0 alerts after a full history, 20 are needed",
        "not proven: wrong windows and edges would change 1 decisions, 20 are needed",
    ]


def test_an_alert_after_a_full_history_is_a_late_one():
    assert a_run("02_history_of_51")["late_anomalies"] == 1
    assert a_run("01_history_of_50")["late_anomalies"] == 0
