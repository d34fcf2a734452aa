"""What waits for the rules' first batches, and what it does not wait for; queries are plain objects."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams import queries

RULES = [rule for rule in load_rules(RULES_FILE) if rule.name in ("anomaly", "velocity", "high_amount")]


def about(seconds: float):
    """Within two looks."""
    return pytest.approx(seconds, abs=0.2)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch):
    """A function that waits in a session with these queries (name: seconds until its first progress), of which those
    `ended` are active no more by a second; it returns how many seconds it waited."""

    def wait(first: dict[str, float], ended: tuple[str, ...] = (), **settings: object) -> float:
        clock = SimpleNamespace(now=0.0)

        def passes(seconds: float) -> None:
            clock.now += seconds

        def active(_: object) -> list[SimpleNamespace]:
            return [
                SimpleNamespace(name=name, lastProgress={} if clock.now >= at else None) for name, at in first.items()
                if name not in ended or clock.now < 1.0
            ]  # fmt: skip

        monkeypatch.setattr(queries, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=passes))
        streams = type("Streams", (), {"active": property(active)})()
        pipeline = replace(load_pipeline(), **settings)  # type: ignore[arg-type]
        queries.await_first_batches(SimpleNamespace(streams=streams), RULES, pipeline)  # type: ignore[arg-type]
        return round(clock.now, 1)

    return wait


def test_it_waits_for_the_slowest_rule_in_micro_batches_and_for_none_in_real_time(waited):
    assert waited({"anomaly": 4.0, "velocity": 6.0, "high_amount": 20.0, "archive_alerts": 50.0}) == about(6.0)


def test_a_query_that_has_ended_is_not_waited_for(waited):
    assert waited({"anomaly": 4.0, "velocity": 90.0}, ended=("velocity",)) == about(4.0)


def test_rules_that_share_a_query_are_waited_for_by_its_name(waited):
    shared = {"shared_queries": {"windows": ["anomaly", "velocity"]}}
    assert waited({"windows": 7.0, "anomaly": 30.0}, **shared) == about(7.0)


def test_it_waits_for_a_minute_at_most(waited):
    assert waited({"anomaly": 1000.0}) == about(60.0)
