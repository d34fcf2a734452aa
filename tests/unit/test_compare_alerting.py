"""How alerts of the paths are set against each other, worked out by hand."""

from __future__ import annotations

from fraudstream.compare.alerting import against, delays

COMMITTED = {("velocity", 1): 100.0, ("velocity", 2): 101.0, ("anomaly", 2): 101.0, ("velocity", 3): 109.0}


def test_delays_count_from_the_commit_and_in_the_window_alone():
    alerts = {("velocity", 1): 100.5, ("velocity", 2): 103.0, ("anomaly", 2): 101.1, ("velocity", 3): 200.0}
    found = delays(alerts, COMMITTED, (100.0, 109.0))
    assert {name: round(delay) for name, delay in found.items()} == {
        "alert_p50_ms": 500, "alert_p95_ms": 1850, "alert_p99_ms": 1970,
    }  # fmt: skip


def test_an_alert_that_the_stream_has_not_has_no_commit_and_so_no_delay():
    assert delays({("velocity", 9): 5.0}, COMMITTED, (0.0, 200.0)) == {
        "alert_p50_ms": None, "alert_p95_ms": None, "alert_p99_ms": None,
    }  # fmt: skip


def test_alerts_are_the_same_by_rule_and_transaction():
    polled = {("velocity", 1): 1.0, ("anomaly", 1): 1.0}
    assert against(polled, COMMITTED) == {"alerts": 2, "alerts_missing": 3, "alerts_extra": 1}
