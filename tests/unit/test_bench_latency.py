"""The first alerts of a run, and what a plain producer writes and the broker tells of it; by hand."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from fraudstream.bench import agents, direct, drawing, latency
from fraudstream.bench.goals import PLAIN
from fraudstream.check import stages
from fraudstream.check.latency import STAGES, Latencies, Stamps
from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.settings import settings_for
from fraudstream.config import RULES_FILE
from fraudstream.rulebook.catalog import load_rules
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


def test_a_plain_producer_writes_at_the_usual_rate_each_user_to_one_partition():
    found = direct.payments(4000, 10.0, 2)
    assert found.created_at[[0, 1, 2000]].tolist() == [10_000_000, 10_000_500, 11_000_000]
    assert set(found.partition.tolist()) == {0, 1}
    assert (found.user_id % 2 == found.partition).all()
    assert 0.05 < (found.cents > direct._OVER).mean() < 0.15
    (rule,) = (rule for rule in load_rules(RULES_FILE) if rule.name == direct.RULE)
    assert Decimal(rule.parameters["over"]) * 100 == direct._OVER


class Topics:
    """An observer whose alerts all come with its first look, and their records with its third."""

    def __init__(self, pipeline, rules, ledger) -> None:
        self.alerts, self.looks, self.stamps = {direct.RULE: Latencies()}, 0, Stamps()

    def listen(self, seconds: float) -> None:
        self.looks += 1
        alert = {"alert_id": "1", "committed_at": "1970-01-01T00:00:10.000Z", "captured_at": None, "partition": 0,
                 "offset": 7}  # fmt: skip
        self.alerts[direct.RULE].add(alert, 10_009, self.stamps)
        if self.at_the_end():
            self.stamps.note(0, 7, 10_005)
        self.alerts[direct.RULE].meet(self.stamps)

    def at_the_end(self) -> bool:
        return self.looks >= 3

    def close(self) -> None:
        pass


def test_both_topics_are_read_to_their_ends_though_all_alerts_are_there(monkeypatch, tmp_path):
    monkeypatch.setattr(direct, "Observer", Topics)
    found = direct._heard(None, tmp_path, 1)
    assert direct.figures(found, 10.5, 1)["rules"][direct.RULE]["record_to_alert_ms"]["p50"] == 4


def test_the_driver_of_a_run_that_was_killed_is_ended_before_its_checkpoints_are_deleted(monkeypatch, tmp_path):
    done: list[object] = []
    monkeypatch.setattr(direct, "stop_leftover", lambda progress: done.append(progress))
    monkeypatch.setattr(direct.lifecycle, "purge", lambda settings: done.append("purge"))
    monkeypatch.setattr(direct, "broker", lambda settings: nullcontext())
    monkeypatch.setattr(direct, "_detected", lambda settings, changes, seconds: (Latencies(), 0.0, 0))
    direct.measure(tmp_path / "direct", {})
    assert done == [str(tmp_path / "direct" / "progress"), "purge", "purge"]


def test_the_last_two_minutes_count_and_missing_alerts_fail_the_step():
    stamps, found = Stamps(), Latencies()
    for number, (second, waited) in enumerate([("00:10", 900), ("01:41", 4), ("02:40", 6)]):
        alert = {"alert_id": f"{number}", "committed_at": f"1970-01-01T00:{second}.000Z", "captured_at": None,
                 "partition": 1, "offset": number}  # fmt: skip
        stamps.note(1, number, 1000.0 * number)
        found.add(alert, 1000 * number + waited, stamps)
    told = direct.figures(found, 160.5, 4)
    assert told["rules"][direct.RULE]["record_to_alert_ms"]["p50"] == 5
    assert told["failures"] == ["3 instead of 4 alerts"]
    assert direct.figures(found, 160.5, 3)["failures"] == []
    (row,) = latency.table({PLAIN: told}).rows
    assert len(row) == len(latency.table({}).header)
    assert row[:2] == [PLAIN, "high_amount"]
    assert np.count_nonzero([cell == 5 for cell in row]) == 1


def test_the_stages_of_rules_in_batches_and_in_real_time_are_drawn():
    batched = dict(zip(STAGES, (16, 24, 156, 48, 234), strict=True))
    real_time = {**batched, "topic_to_batch": None, "batch_to_work": None}
    rules = {"anomaly": {"stages_ms": batched}, "high_amount": {"stages_ms": real_time}}
    unseen = {"rules": {"velocity": {"stages_ms": dict.fromkeys(STAGES)}}}
    (text,) = drawing.of_tables({"latency_ms": {"together": {"rules": rules}, "x": unseen}, "growth": {}}).values()
    assert [name in text for name in ("together: anomaly", "together: high_amount", "velocity")] == [True, True, False]
