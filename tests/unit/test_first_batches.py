"""When the rules' first batches are done, and which queries do not count; queries are plain objects."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams import queries

RULES = [rule for rule in load_rules(RULES_FILE) if rule.name in ("anomaly", "velocity", "high_amount")]


def begun(active: dict[str, bool], **settings: object) -> bool:
    """With these active queries, by whether each has reported a batch."""
    running = [SimpleNamespace(name=name, lastProgress={} if has else None) for name, has in active.items()]
    spark = SimpleNamespace(streams=SimpleNamespace(active=running))
    return queries.begun(spark, RULES, replace(load_pipeline(), **settings))  # type: ignore[arg-type]


def test_rules_in_micro_batches_have_begun_when_the_last_has_and_one_in_real_time_does_not_count():
    assert not begun({"anomaly": True, "velocity": False, "high_amount": True})
    assert begun({"anomaly": True, "velocity": True, "high_amount": False})


def test_a_query_that_has_ended_is_not_waited_for_and_a_companion_neither():
    assert begun({"anomaly": True, "mirror_transactions": False})


def test_rules_that_share_a_query_have_begun_with_it():
    shared = {"shared_queries": {"windows": ["anomaly", "velocity"]}}
    assert not begun({"windows": False, "anomaly": True}, **shared)
    assert begun({"windows": True, "anomaly": False}, **shared)
