"""Growth with whole histories, and the load of several agents: figures of hand-made results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fraudstream.bench import agents, growth
from fraudstream.bench.database import Reading, load_between
from fraudstream.bench.known import AMOUNTS
from fraudstream.bench.ours import write_rules
from fraudstream.bench.parts import PARTS
from fraudstream.bench.report import as_text, assembled, write_report
from fraudstream.check.settings import settings_for
from fraudstream.rulebook.catalog import load_rules
from fraudstream.rulebook.past import FULL_LOG
from fraudstream.stack.settings import load_settings

MIB = 1024 * 1024


def line(ms: int | None, read: int, state: int = 0) -> dict[str, Any]:
    return {"duration_ms": ms, "read": read, "state_bytes": state * MIB}


def test_batches_from_40_percent_of_the_events_on_tell_what_an_event_costs():
    # Of 8,007 events 3,203 are to be judged before; 2,000 are before the second batch, 4,000 before the third.
    lines = [line(9000, 2000), line(1000, 2000, 5), line(3000, 1500, 6), line(2000, 2500, 7), line(838, 7, 7)]
    found = growth.of_batches([*lines, {"read": 50}])
    assert found == {
        "batches": 5, "first_batch_ms": 9000, "batch_ms": {"p50": 2500, "p95": 2950, "p99": 2990},
        "us_per_event": 1250.0, "state_mib": 7.0,
    }  # fmt: skip


def race(cost: float | None, **more: Any) -> dict[str, Any]:
    figures = {"us_per_event": cost, "rss_mib": cost, "progress": [1]}
    return {**figures, "failed": None, "equal": True, "missing": 0, "extra": 0, "examples": {}, **more}


def test_of_three_races_that_in_the_middle_is_told_with_the_spread_and_all_failures():
    found = growth.middle([race(5.0), race(2.0), race(3.0)])
    assert (found["us_per_event"], found["rss_mib"], found["failures"], "progress" in found) == (3.0, 3.0, [], False)
    assert (found["us_spread"]["min"], found["us_spread"]["max"]) == (2.0, 5.0)
    wrong = race(None, failed="it ended")
    assert growth.middle([wrong, race(2.0), race(3.0)])["us_per_event"] == 3.0
    assert growth.middle([race(2.0), wrong])["failures"] == ["it ended"]
    assert growth.middle([wrong])["us_spread"] is None


def test_without_a_second_batch_nothing_is_said_of_later_ones():
    assert growth.of_batches([line(9000, 100, 3)]) == {
        "batches": 1, "first_batch_ms": 9000, "batch_ms": {"p50": None, "p95": None, "p99": None},
        "us_per_event": None, "state_mib": 3.0,
    }  # fmt: skip
    nothing = growth.of_batches([])
    assert (nothing["batches"], nothing["first_batch_ms"], nothing["state_mib"]) == (0, None, None)


def test_every_step_has_a_name_of_its_own_and_buckets_that_the_partitions_share_evenly():
    assert len(growth.STEPS) == len(growth._CASES)
    assert all(case.buckets % 2 == 0 for case in growth.STEPS.values())
    assert {case.users for case in growth.STEPS.values()} == {9_000, 100_000, 1_000_000}


@pytest.mark.parametrize("batch", [500_000, 20_000])
def test_all_numbers_of_users_have_as_many_events(batch):
    assert len({case.events for case in growth.STEPS.values() if case.batch == batch}) == 1
    assert {case.runs for case in growth.STEPS.values() if case.batch == 500_000 and case.users != 100_000} == {3}


def test_the_page_says_after_how_many_events_a_base_is_written_anew():
    for users, events in ((100_000, "312,500"), (1_000_000, "3,125,000")):
        assert f"{users * AMOUNTS // FULL_LOG:,}" == events
        assert events in growth.table({}).caption


def grown(users: int, rss: int, buckets: int = 2, failures: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "users": users, "buckets": buckets, "batch": 500_000, "events": 10, "steady_per_s": 1234.5, "us_per_event": 4.5,
        "cpu_s_per_million": 7.5, "batch_ms": {"p50": 321, "p95": 1, "p99": 1}, "first_batch_ms": 999, "rss_mib": rss,
        "seed_mib": 3.6, "mib_per_million_users": 400, "alerts": 12, "failures": list(failures), "bases": 1.0,
        "us_spread": {"median": 4.5, "min": 4.25, "max": 5.0},
    }  # fmt: skip


def test_a_case_is_told_with_its_spread():
    (row,) = growth.table({"a": grown(9_000, 1500)}).rows
    assert row[:8] == [9_000, 2, 500_000, 10, 1234, 4.5, 4.25, 5.0]
    assert len(row) == len(growth.table({}).header)


def agent(count: int, p50: int | None = 500, connections: int = 3, senders: int = 1, **more: Any) -> dict[str, Any]:
    def rule(p50: int | None) -> dict[str, Any]:
        return {"latency_ms": {"p50": p50, "p95": p50 and p50 + 9}, "batch_ms": {"p50": 250}}

    load = {"cpu_s_per_s": 0.12, "connections": connections, "senders": senders, "sent_mib_per_s": 0.5}
    return {
        "agents": count, "rules": {"anomaly": rule(p50), "velocity": rule(700), "dormant_burst": rule(None)},
        "changes_per_s": 2000.4, "idle_share": 0.25, "failures": [], "database": load,
        "lag": {"anomaly": lag(0.5), "velocity": lag(1.25)}, **more,
    }  # fmt: skip


def lag(seconds: float | None, grows: bool | None = False) -> dict[str, Any]:
    return {"first_half_s": seconds, "second_half_s": seconds, "max_s": seconds, "grows": grows}


def test_a_database_that_more_agents_ask_fails_the_run():
    same = {"1 agent": agent(1), "8 agents": agent(8)}
    assert list(agents.unequal(same)) == []
    assert list(agents.unequal({})) == []
    more = {"8 agents": agent(8, connections=10, senders=8), "1 agent": agent(1)}
    assert list(agents.unequal(more)) == [
        "8 agents: PostgreSQL has 10 connections, with 1 it had 3",
        "8 agents: PostgreSQL has 8 senders, with 1 it had 1",
    ]  # fmt: skip


def test_a_step_is_told_by_its_first_agent_and_its_slowest():
    (row,) = agents.table({"2 agents": agent(2)}).rows
    assert row == [
        2, 2000, 1.25, "yes", 500, 509, 700, 709, "velocity", 250, "25.0 %", 0.12, 3, 1, 0.5, "flat", "equal",
    ]  # fmt: skip
    assert len(row) == len(agents.table({}).header)


def test_agents_keep_up_where_no_rules_lag_grows():
    assert agents.lag_s(agent(1, lag={"anomaly": lag(3.0, True), "velocity": lag(0.5)})) == 3.0
    assert not agents.keeps_up(agent(1, lag={"anomaly": lag(3.0, True), "velocity": lag(0.5)}))
    assert agents.keeps_up(agent(1))
    assert agents.keeps_up(agent(1, lag={"anomaly": lag(None, None)})) is None
    assert agents.keeps_up(agent(1, lag={})) is None


def loaded(cpu: float | None, sent: float | None) -> dict[str, Any]:
    return agent(2, database={"cpu_s_per_s": cpu, "connections": 3, "senders": 1, "sent_mib_per_s": sent})


def test_the_load_is_flat_up_to_a_quarter_more_than_with_the_fewest_agents():
    fewest = loaded(0.12, 0.5)
    assert agents.is_flat(loaded(0.15, 0.625), fewest)
    assert agents.is_flat(loaded(0.151, 0.5), fewest) is False
    assert agents.is_flat(loaded(0.12, 0.63), fewest) is False
    assert agents.is_flat(loaded(None, 0.5), fewest) is None
    assert agents.is_flat({**loaded(0.12, 0.5), "changes_per_s": 1000.0}, fewest) is False, "for a row it is double"
    two = {"2 agents": loaded(0.2, 0.5), "1 agent": agent(1)}
    assert [row[-2] for row in agents.table(two).rows] == ["not flat", "flat"]


def test_the_agents_are_live_rules_that_the_oracle_defines(tmp_path):
    assert [*agents.STEPS.values()] == [1, 2, 4, 8]
    write_rules(tmp_path / "rules.yaml", list(agents.AGENTS), agents.AGENTS)
    rules = load_rules(tmp_path / "rules.yaml")
    assert [rule.name for rule in rules] == list(agents.AGENTS)
    assert {rule.status for rule in rules} == {"live"}
    assert all(settings_for(rule.rule, rule.parameters) for rule in rules)
    assert float(rules[0].parameters["factor"]) == 1.95
    assert rules[0].parameters["history"] == 50, "of conf/rules.yaml"


def reading(at: float, cpu_s: float, connections: int, sent: int) -> Reading:
    return Reading(at=at, cpu_s=cpu_s, connections=connections, senders=1, sent=sent)


def test_the_load_on_the_database_is_that_of_the_window():
    readings = [reading(0, 0.0, 9, 0), reading(10, 5.0, 3, 10 * MIB), reading(15, 6.0, 4, 12 * MIB),
                reading(20, 8.0, 3, 40 * MIB), reading(30, 99.0, 9, 99 * MIB)]  # fmt: skip
    assert load_between(readings, 10, 30) == {
        "cpu_s_per_s": 0.3, "connections": 3, "senders": 1, "sent_mib_per_s": 3.0
    }  # fmt: skip
    assert set(load_between(readings, 10, 12).values()) == {None}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr("fraudstream.bench.report.versions", lambda settings: {"kafka": "1"})
    return load_settings(tmp_path)


def kept(part: str, step: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"key": f"{part}: {step}", "part": part, "step": step, "at": 1, "code": "c", "found": found}


def test_parts_stand_in_the_report_by_step_and_their_failures_fail_it(settings, tmp_path):
    results = [kept("growth", "few", grown(9_000, 1500)), kept("agents", "1 agent", agent(1))]
    report = write_report(tmp_path, assembled(results, settings))
    assert report["passed"]
    assert report["growth"]["few"]["mib_per_million_users"] == 400
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 1
    assert "2 buckets, 500,000 a batch" in page
    assert report["agents"]["1 agent"]["database"]["connections"] == 3
    assert json.loads((tmp_path / "report.json").read_text()) == report
    page = (tmp_path / "report.html").read_text()
    for text in (page, as_text(report)):
        assert "Growth with whole histories" in text
        assert "Agents over one topic" in text
        assert "1,500" in text
    wrong = [kept("growth", "few", grown(9_000, 1, failures=("3 alerts missing",))),
             kept("agents", "1 agent", agent(1)), kept("agents", "2 agents", agent(2, connections=4))]  # fmt: skip
    assert assembled(wrong, settings)["failures"] == [
        "growth, few: 3 alerts missing",
        "agents, 2 agents: PostgreSQL has 4 connections, with 1 it had 3",
    ]  # fmt: skip


def test_all_parts_are_known_by_name():
    assert set(PARTS) == {"latency", "capture", "mirror", "growth", "agents", "ablation"}
