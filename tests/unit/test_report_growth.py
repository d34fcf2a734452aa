"""What counts as growing over a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fraudstream.check.growth import Limit, trend
from fraudstream.check.latency import Latencies
from fraudstream.check.resources import Resources
from fraudstream.check.soak import assemble
from fraudstream.stack.settings import load_settings
from report_runs import made_up_run

MINUTES = [60.0 * minute for minute in range(31)]  # what counts are minutes 10 to 30: seven in each part


@pytest.mark.parametrize(
    ("value", "grows"),
    [
        (lambda minute: 500.0, False),
        (lambda minute: min(500.0, 50.0 * minute), False),  # it fills up to minute 10
        (lambda minute: 500.0 + minute, False),  # 13 to 14 more between the parts' middles: within the amount
        (lambda minute: 500.0 + 10 * minute, True),
        (lambda minute: 500.0 if minute < 29 else 5000.0, False),  # two readings are no trend
        (lambda minute: 900.0 - 10 * minute, False),
    ],
)
def test_what_grows_after_the_first_third_of_a_run_is_told_from_what_fills_or_jumps(value, grows):
    found = trend(MINUTES, [value(minute) for minute in range(31)], Limit(factor=1.05, amount=20))
    assert found is not None
    assert found.grows is grows


def test_the_medians_are_those_of_the_last_third_and_of_the_one_after_the_warm_up():
    found = trend(MINUTES, [float(minute) for minute in range(31)], Limit(factor=10, amount=0))
    assert found is not None
    assert (found.middle, found.end, found.greatest, found.grows) == (13.0, 27.0, 30.0, False)


def test_too_few_readings_tell_nothing():
    assert trend([], [], Limit(factor=1, amount=0)) is None
    assert trend(MINUTES[:12], [1.0] * 12, Limit(factor=1, amount=0)) is None


def test_a_long_run_whose_memory_grows_fails_and_a_short_one_says_nothing():
    for seconds, failures in ((60, 0), (1900, 1)):
        run = made_up_run(seconds)
        grown = [
            Resources(
                at=run.began + at,
                idle=0.2,
                work_ms=10.0,
                memory={"kafka": 500.0, "jvm": 2000.0 + at},
                disk={},
                files={"alerts": 40},
            )
            for at in range(0, seconds, 10)
        ]
        run = replace(run, resources=grown, alerts={}, batched=[])
        blind = {"passed": False, "findings": 0, "incomplete": ["rows", "alerts"]}
        for audited, of_audit in (
            ({"passed": True}, []),
            ({"passed": False, "findings": 2}, ["the audit has 2 findings"]),
            (blind, ["the audit could not compare rows, alerts in full"]),
        ):
            report = assemble(run, audited, load_settings())
            found = [failure for failure in report["failures"] if "memory_mib of jvm grows" in failure]
            assert len(found) == failures, report["failures"]
            assert report["passed"] is (audited["passed"] and not failures)
            assert [failure for failure in report["failures"] if "audit" in failure] == of_audit


@pytest.mark.parametrize(("slower", "grows"), [(1.0, True), (1.3, False)])
def test_what_takes_time_may_grow_as_the_same_work_does_and_what_does_not_may_not(slower, grows):
    run = made_up_run(1900)
    readings = [
        Resources(
            at=run.began + at, idle=0.2, work_ms=10.0 * (slower if at > 1400 else 1), files={},
            memory={"jvm": 2000.0 * (1.3 if at > 1400 else 1)}, disk={},
        )
        for at in range(0, 1900, 10)
    ]  # fmt: skip
    durations = run.progress["anomaly"].durations
    durations += [(run.began + at, 1300.0 if at > 1400 else 1000.0, 1) for at in range(0, 1900, 5)]
    run = replace(run, resources=readings, alerts={}, batched=["anomaly"])
    failures = assemble(run, {"passed": True}, load_settings())["failures"]
    assert any("batch_ms of anomaly grows" in each for each in failures) is grows
    assert any("memory_mib of jvm grows" in each for each in failures)


def test_a_rule_that_stopped_alerting_fails_no_soak_but_one_without_batches_does():
    run = made_up_run(1900)
    readings = [
        Resources(at=run.began + at, idle=0.2, work_ms=10.0, files={}, memory={"jvm": 2000.0}, disk={})
        for at in range(0, 1900, 10)
    ]
    begun = [(run.began + at, 1000.0, 1) for at in range(0, 1900, 5)]
    run.progress["anomaly"].durations += begun
    run = replace(run, resources=readings, alerts={"anomaly": Latencies()}, batched=["anomaly"])
    report = assemble(run, {"passed": True}, load_settings())
    assert report["untold"] == ["latency_p50_ms of anomaly: too few readings to tell"]
    assert not [failure for failure in report["failures"] if "latency" in failure or "batch_ms" in failure]
    del run.progress["anomaly"].durations[-len(begun) :]
    failures = assemble(run, {"passed": True}, load_settings())["failures"]
    assert "batch_ms of anomaly: too few readings to tell" in failures
