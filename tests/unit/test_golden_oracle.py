"""The oracle against the golden topics, whose alerts and counts were worked out by hand."""

from __future__ import annotations

import pytest

from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.settings import settings_for
from golden.topics import RULES, Golden, goldens, pour

MAX_BYTES = 262_144
FILES = goldens()
COUNTS_OF = (("anomaly", "anomaly"), ("velocity", "velocity"), ("high_amount", "entries"))


def verdict(golden: Golden, rule: str):
    settings = settings_for(rule, golden.parameters.get(rule, {}))
    return judge_topic(arrivals(golden.messages, MAX_BYTES), settings)


def counted(found) -> dict:
    return {"read": sum(found.parts.values()) + sum(found.ignored.values()), **found.parts, "ignored": found.ignored}


@pytest.mark.parametrize("golden", FILES, ids=lambda golden: golden.name)
@pytest.mark.parametrize("rule", RULES)
def test_the_oracle_finds_the_alerts_worked_out_by_hand(golden, rule):
    assert tuple(alert.transaction_id for alert in verdict(golden, rule).alerts) == golden.alerts[rule]


@pytest.mark.parametrize("golden", FILES, ids=lambda golden: golden.name)
@pytest.mark.parametrize(("rule", "counts"), COUNTS_OF)
def test_the_oracle_counts_as_worked_out_by_hand(golden, rule, counts):
    assert counted(verdict(golden, rule)) == golden.counts[counts]


@pytest.mark.parametrize(
    "golden", [file for file in FILES if file.evidence.keys() & set(RULES)], ids=lambda golden: golden.name
)
def test_the_oracle_saw_the_figures_worked_out_by_hand(golden):
    for rule in golden.evidence.keys() & set(RULES):
        by_id = golden.evidence[rule]
        figures = {alert.transaction_id: alert.figures for alert in verdict(golden, rule).alerts}
        for transaction, expected in by_id.items():
            seen = dict(figures[transaction])
            if "sum" in expected:
                seen["sum"] = f"{seen['sum'] // 100}.{seen['sum'] % 100:02d}"
            assert {name: seen[name] for name in expected} == expected


@pytest.mark.parametrize("rule", RULES)
def test_files_poured_into_one_topic_give_the_alerts_of_all(rule):
    files = [golden for golden in FILES if not golden.parameters]
    found = judge_topic(arrivals(pour(files), MAX_BYTES), settings_for(rule, {}))
    expected = [transaction for golden in files for transaction in golden.alerts[rule]]
    assert [alert.transaction_id for alert in found.alerts] == expected
