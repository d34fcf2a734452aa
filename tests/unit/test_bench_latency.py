"""The first alerts of a run, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fraudstream.bench import agents, latency
from fraudstream.check import stages
from fraudstream.check.latency import Latencies
from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.settings import settings_for
from golden.topics import messages_of
from report_runs import made_up_run


def alerts_at(*moments: tuple[str, int]) -> Latencies:
    """An alert for each (time of the commit, ms at which the broker took the alert)."""
    found = Latencies()
    for number, (committed, at) in enumerate(moments):
        found.add(
            {"alert_id": f"{number}", "committed_at": committed, "captured_at": committed, "partition": 0, "offset": 0},
            at,
        )
    return found


def test_the_first_alert_is_the_earliest_on_rows_that_were_there_before_spark():
    early, late = "1970-01-01T00:01:30.000Z", "1970-01-01T00:02:10.000Z"
    found = {
        "anomaly": alerts_at((late, 113_000), (early, 117_250), (early, 116_750)),
        "velocity": alerts_at((late, 113_000)),
    }
    run = replace(made_up_run(), submitted=100.0, alerts=found)
    assert latency.first_alert_s(run, "anomaly") == 16.75
    assert latency.first_alert_s(run, "velocity") is None
    assert latency.first_alert_s(run, "high_amount") is None


@pytest.mark.parametrize("parameters", [latency.PARAMETERS, agents.AGENTS])
@pytest.mark.parametrize("rule", latency.RULES)
def test_of_the_rows_before_spark_each_rule_alerts_on_the_last_one(rule, parameters):
    rows = "\n".join(f"c {n} u1 {amount} +0" for n, (_, amount) in enumerate(stages._ALARMING_ROWS, start=1))
    found = judge_topic(list(arrivals(messages_of(rows, 1), 262_144)), settings_for(rule, parameters.get(rule, {})))
    assert [alert.transaction_id for alert in found.alerts] == [100_026]
    assert len({user for user, _ in stages._ALARMING_ROWS}) == 1
