"""When the rules' first batches are done, and which queries do not count; queries are plain objects."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams import queries

RULES = [rule for rule in load_rules(RULES_FILE) if rule.name in ("anomaly", "velocity", "high_amount")]


def session(active: dict[str, bool]) -> SimpleNamespace:
    """One with these active queries, by whether each has reported a batch."""
    running = [SimpleNamespace(name=name, lastProgress={} if has else None) for name, has in active.items()]
    return SimpleNamespace(streams=SimpleNamespace(active=running))


def begun(active: dict[str, bool], **settings: object) -> bool:
    return queries.begun(session(active), RULES, replace(load_pipeline(), **settings))  # type: ignore[arg-type]


def test_rules_in_micro_batches_have_begun_when_the_last_has_and_one_in_real_time_does_not_count():
    assert not begun({"anomaly": True, "velocity": False, "high_amount": True})
    assert begun({"anomaly": True, "velocity": True, "high_amount": False})


def test_a_query_that_has_ended_is_not_waited_for_and_a_companion_neither():
    assert begun({"anomaly": True, "mirror_transactions": False})


def test_rules_that_share_a_query_have_begun_with_it():
    shared = {"shared_queries": {"windows": ["anomaly", "velocity"]}}
    assert not begun({"windows": False, "anomaly": True}, **shared)
    assert begun({"windows": True, "anomaly": False}, **shared)


def test_what_starts_behind_the_rules_waits_for_a_minute_at_most(monkeypatch: pytest.MonkeyPatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(queries, "time", SimpleNamespace(monotonic=lambda: clock.now))
    spark, started = session({"anomaly": False}), object()
    start = queries.behind_rules(spark, RULES, load_pipeline(), lambda: started)  # type: ignore[arg-type,return-value]
    found = {}
    for clock.now in (100.0, 160.0, 160.1):
        found[clock.now] = start()
    assert found == {100.0: None, 160.0: None, 160.1: started}
    spark.streams.active[0].lastProgress = {}
    clock.now = 101.0
    assert start() is started
