"""The goals, held against reports made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from fraudstream.bench.goals import CONTESTS, LIVE, PLAIN, REAL_TIME, goals, table
from fraudstream.bench.parts import PARTS
from fraudstream.bench.systems import NAMES


def raced(system: str, rate: float, **changes: Any) -> dict[str, Any]:
    entry = {
        "system": system, "profile": "exercise", "form": "envelope", "users": 9000, "events": 1000, "failed": None,
        "steady_per_s": {"median": rate, "min": 1.0, "max": 1e9}, "first_alert_s": 9.0, "equal": True,
    }  # fmt: skip
    return {**entry, **changes}


def reported(*systems: dict[str, Any], **more: Any) -> dict[str, Any]:
    raw = [{name: value for name, value in each.items() if name != "equal"}
           for each in systems if each["system"] == "raw_read"]  # fmt: skip
    races = [each for each in systems if each["system"] != "raw_read"]
    nothing = {"scaling": {"cores": {}}, "growth": {}, "latency_ms": {}, "capture": {}, "agents": {}, "mirror": {}}
    return {**nothing, "systems": races, "raw_read": raw, **more}


def found(goal: str, report: dict[str, Any]) -> tuple[str | None, bool | None]:
    """What was found of the one goal whose name has these words, and whether it is met."""
    (one,) = (each for each in goals(report) if goal in each["goal"])
    return one["found"], one["met"]


def test_nothing_is_met_or_missed_where_nothing_was_measured():
    every = goals(reported())
    assert {(each["found"], each["met"]) for each in every} == {(None, None)}
    assert len({each["goal"] for each in every}) == len(every) == 28
    assert {row[3] for row in table(every).rows} == {"not measured"}


def test_every_system_and_step_that_a_goal_names_is_known():
    assert {name for contest in CONTESTS for name in (*contest.ours, *contest.others)} <= set(NAMES)
    assert {LIVE, *REAL_TIME} <= {*PARTS["latency"].steps}


def test_the_best_of_ours_is_compared_with_pyflink():
    enough = reported(raced("ours", 200.0), raced("ours_built_in", 250.0), raced("pyflink", 100.0))
    assert found("PyFlink", enough) == ("2.5 x: ours_built_in 250/s, pyflink 100/s", True)
    less = reported(raced("ours", 249.0), raced("pyflink", 100.0))
    assert found("PyFlink", less) == ("2.49 x: ours 249/s, pyflink 100/s", False)
    assert ["one rule with state against PyFlink SQL", "at least 2.5 x", "2.49 x: ours 249/s, pyflink 100/s",
            "NOT MET"] in table(goals(less)).rows  # fmt: skip


def test_a_best_of_several_is_met_only_once_all_were_measured():
    two = [raced("ours", 200.0), raced("bytewax_recovery", 100.0), raced("pathway_recovery", 20.0)]
    text, met = found("Bytewax", reported(*two))
    assert (text, met) == (
        "2 x: ours 200/s, bytewax_recovery 100/s; not measured: bytewax_packed_recovery", None,
    )  # fmt: skip
    assert found("Bytewax", reported(*two, raced("bytewax_packed_recovery", 105.0)))[1] is True
    assert found("Bytewax", reported(*two, raced("bytewax_packed_recovery", 140.0)))[1] is False
    slow = reported(raced("ours", 170.0), raced("bytewax_recovery", 100.0))
    assert found("Bytewax", slow)[1] is False, "no other can make it better"


def test_being_as_fast_is_not_being_faster():
    assert found("plain Python", reported(raced("ours", 300.0), raced("python_2", 300.0)))[1] is False
    assert found("plain Python", reported(raced("ours", 301.0), raced("python_2", 300.0)))[1] is True


def test_streams_is_compared_on_envelopes_and_on_compact_messages():
    compact = [raced("ours", 400.0, form="compact"), raced("streams", 500.0, form="compact")]
    report = reported(raced("ours", 300.0), raced("streams", 500.0), *compact)
    assert found("Kafka Streams", report) == ("0.6 x: ours 300/s, streams 500/s", True)
    assert found("on compact messages", report) == ("0.8 x: ours 400/s, streams 500/s", False)
    assert found("compact messages against envelopes", report)[0] == "1.33 x: ours 400/s, ours 300/s"


def test_the_raw_read_is_compared_with_the_fastest_and_with_sparks_own_reader():
    report = reported(raced("ours", 790.0), raced("ours_built_in_large", 600.0), raced("raw_read", 1000.0))
    assert found("against Spark's own raw read", report) == ("0.79 x: ours 790/s, raw_read 1,000/s", True)
    assert [each["met"] for each in goals(report) if each["goal"] == "the same (stretch)"] == [False]
    own = "with Spark's own reader"
    assert found(own, report) == ("0.6 x: ours_built_in_large 600/s, raw_read 1,000/s", False)
    failed = raced("raw_read", 1000.0, failed="it read too little")
    assert found(own, reported(raced("ours_built_in", 700.0), failed)) == (None, None)


def test_two_queries_count_with_the_sum_of_their_rates():
    report = reported(raced("ours", 100.0), raced("ours_both", 31.0))
    assert found("in sum", report) == ("0.62 x: ours_both 62/s, ours 100/s", True)


@pytest.mark.parametrize(
    "changes",
    [{"events": 500}, {"users": 100_000}, {"profile": "realistic"}, {"form": "compact"}, {"equal": False},
     {"steady_per_s": None}],
)  # fmt: skip
def test_other_data_and_wrong_alerts_are_not_compared(changes):
    assert found("PyFlink", reported(raced("ours", 300.0), raced("pyflink", 1.0, **changes))) == (None, None)


def test_the_longest_topic_that_both_have_read_counts():
    both = [raced("ours", 100.0), raced("pyflink", 50.0)]
    shorter = [raced("ours", 900.0, events=10), raced("pyflink", 1.0, events=10)]
    report = reported(*shorter, *both, raced("ours", 999.0, events=5000))
    assert found("PyFlink", report)[0] == "2 x: ours 100/s, pyflink 50/s"


def test_a_second_core_must_bring_seven_tenths():
    cores = {"1 core": {"median": 100.0}, "2 cores": {"median": 169.0}}
    assert found("second core", reported(scaling={"cores": {"ours": cores}})) == ("1.69 x", False)
    del cores["1 core"]
    assert found("second core", reported(scaling={"cores": {"ours": cores}})) == (None, None)


def test_a_million_users_may_cost_twice_as_much():
    def case(users: int, cost: float, *failures: str) -> dict[str, Any]:
        return {"users": users, "batch": 500_000, "us_per_event": cost, "failures": list(failures)}

    steps = {"a": case(9_000, 4.0), "b": case(1_000_000, 8.0)}
    assert found("1,000,000 users", reported(growth=steps)) == ("2 x", True)
    assert found("1,000,000 users", reported(growth=steps | {"b": case(1_000_000, 8.1)})) == ("2.02 x", False)
    assert found("1,000,000 users", reported(growth=steps | {"b": case(1_000_000, 8.0, "wrong")})) == (None, None)


def test_latencies_are_those_with_everything_running():
    def rule(p50: int | None, p99: int | None) -> dict[str, Any]:
        return {"latency_ms": {"p50": p50, "p99": p99}, "record_to_alert_ms": {"p50": 4, "p99": 50}}

    step = {"rules": {"anomaly": rule(599, 1500), "high_amount": rule(1, 1)}, "failures": []}
    report = reported(latency_ms={LIVE: step, "together": {"rules": {"velocity": rule(1, 1)}, "failures": []}})
    assert found("anomaly, commit to alert, everything running, p50", report) == ("599 ms", True)
    assert found("anomaly, commit to alert, everything running, p99", report) == ("1,500 ms", False)
    assert found("velocity, commit to alert, everything running, p50", report) == (None, None)
    assert found("real time, record to alert, everything running, p50", report) == ("4 ms", True)
    assert found("real time, record to alert, everything running, p99", report) == ("50 ms", False)
    assert found("real time, record to alert, plain producer, p50", report) == (None, None)
    plain = {"rules": {"high_amount": {"record_to_alert_ms": {"p50": 5, "p99": 49}}}, "failures": []}
    both = reported(latency_ms={LIVE: step, PLAIN: plain})
    assert found("real time, record to alert, plain producer, p50", both) == ("5 ms", False)
    assert found("real time, record to alert, plain producer, p99", both) == ("49 ms", True)
    wrong = reported(latency_ms={LIVE: {**step, "failures": ["an alert is missing"]}})
    assert found("anomaly, commit to alert, everything running, p50", wrong) == (None, None)


def test_the_first_alert_is_that_of_ours_as_it_is():
    report = reported(raced("ours_both", 1.0, first_alert_s=1.0), raced("ours", 1.0, first_alert_s=20.5))
    assert found("first alert", report) == ("20.5 s", False)
    live = {"rules": {}, "first_alert_s": {"anomaly": 31.5, "velocity": 19.5, "high_amount": None}, "failures": []}
    assert found("the same, everything running", reported(latency_ms={LIVE: live})) == ("19.5 s", True)


def test_the_database_is_asked_for_a_row_and_the_mirror_for_its_slowest_size():
    def agents(count: int, cpu: float, rows: float) -> dict[str, Any]:
        return {"agents": count, "changes_per_s": rows, "database": {"cpu_s_per_s": cpu}, "failures": []}

    report = reported(agents={"8": agents(8, 0.12, 1000.0), "1": agents(1, 0.2, 2000.0), "4": agents(4, 9.9, 1.0)})
    assert found("database's CPU", report) == ("1.2 x", True)
    assert found("database's CPU", reported(agents={"1": agents(1, 0.2, 2000.0)})) == (None, None)
    sizes = {"a": 2500.0, "b": 1999.0}
    mirror = {name: {"rows_per_s": rate, "alerts": False, "failures": []} for name, rate in sizes.items()}
    mirror["c"] = {"rows_per_s": 3.0, "alerts": True, "failures": []}
    assert found("the mirror", reported(mirror=mirror)) == ("1,999 rows/s", False)


def test_the_connector_must_be_fast_and_faster_than_its_defaults():
    def rate(value: float | None, *failures: str) -> dict[str, Any]:
        return {"events_per_s": {"median": value} if value else None, "failures": list(failures)}

    steps = {"tuned": rate(45_000.0), "defaults": rate(30_000.0)}
    assert found("the connector against", reported(capture=steps)) == ("1.5 x", False)
    assert [each["met"] for each in goals(reported(capture=steps)) if each["goal"] == "the connector"] == [True]
    for broken in (rate(None), rate(30_000.0, "2 rows are lost")):
        assert found("the connector against", reported(capture=steps | {"defaults": broken})) == (None, None)
