"""What a million events a second needs, of hand-made figures."""

from __future__ import annotations

from typing import Any

import pytest

from fraudstream.bench.needs import doubled, growth_factor, needs
from record_bench import merged, page


def steady(value: float) -> dict[str, float]:
    return {"median": value, "min": value, "max": value}


def grown(users: int, buckets: int, cost: float | None, batch: int = 500_000) -> dict[str, Any]:
    return {"users": users, "buckets": buckets, "batch": batch, "us_per_event": cost}


def figures(**more: Any) -> dict[str, Any]:
    capture = {
        "events_per_s": steady(40_000), "cpu_s_per_million": {"connect": 30.0, "postgres": 8.0, "kafka": 2.5},
        "bytes_per_event": 150.0,
    }  # fmt: skip
    return {
        "scaling": {"cores": {"ours_large": {"1 core": steady(150_000), "2 cores": steady(240_000)}}},
        "growth": {}, "capture": {"tuned": capture}, "mirror": {}, **more,
    }  # fmt: skip


def test_counts_are_rounded_up_and_the_least_of_what_cannot_be_had_twice_comes_first():
    mirror = {"few": {"table_rows": 10, "rows_per_s": 90_000.0}, "many": {"table_rows": 99, "rows_per_s": 60_000.0}}
    growth = {"a": grown(9_000, 2, 4.0), "b": grown(1_000_000, 64, 6.0)}
    found = [
        (need.part, need.per_second, need.count, need.scales) for need in needs(figures(mirror=mirror, growth=growth))
    ]
    assert found == [
        ("the mirror, 99 rows", 60_000.0, 17, False),
        ("decoding PostgreSQL's log", 125_000.0, 8, False),
        ("the connector", 40_000, 25, True),
        ("the same, 1,000,000 users with whole histories", 80_000.0, 13, True),
        ("a rule with state, 9,000 users", 120_000.0, 9, True),
        ("taking the records", 400_000.0, 3, True),
    ]
    stored = needs(figures())[-1].note
    assert stored == "150 MB/s to disk, and as much to each rule's query"


def test_what_was_not_measured_is_not_told():
    assert needs({"scaling": {"cores": {}}, "growth": {}, "capture": {}, "mirror": {}}) == []
    broken = {"events_per_s": None, "cpu_s_per_million": {}, "bytes_per_event": None}
    assert [need.part for need in needs(figures(capture={"tuned": broken}))] == ["a rule with state, 9,000 users"]


def test_growth_compares_the_best_buckets_of_the_largest_batches():
    few, many = [grown(9_000, 2, 4.0), grown(9_000, 64, 5.0)], [grown(1_000_000, 16, 9.0), grown(1_000_000, 64, 8.0)]
    small = [grown(9_000, 2, 1.0, batch=20_000), grown(1_000_000, 64, 90.0, batch=20_000)]
    steps = {str(number): each for number, each in enumerate([*few, *many, *small])}
    assert growth_factor(steps) == pytest.approx(2.0)
    assert growth_factor({"0": few[0]}) is None
    assert growth_factor({"0": few[0], "1": grown(1_000_000, 64, None)}) is None
    assert growth_factor({}) is None


def test_what_was_doubled_is_told_where_both_were_measured():
    assert doubled(figures()) == [("cores of one executor", 150_000, 240_000)]
    report = figures()
    report["capture"]["two connectors"] = {"events_per_s": steady(50_000)}
    report["scaling"]["cores"]["ours_large"]["2 executors"] = steady(200_000)
    assert [found[1:] for found in doubled(report)] == [(150_000, 240_000), (150_000, 200_000), (40_000, 50_000)]


def raced(system: str, rate: float) -> dict[str, Any]:
    data = {"profile": "exercise", "form": "envelope", "users": 9000, "events": 100}
    return {**data, "system": system, "steady_per_s": steady(rate), "first_alert_s": 9.0, "failed": None,
            "absent": None, "equal": True, "code": "c", "at": 0}  # fmt: skip


def test_a_later_report_adds_only_what_those_before_have_not_and_a_failed_one_is_refused():
    parts: dict[str, Any] = {name: {} for name in ("latency_ms", "capture", "growth", "agents", "ablation")}
    first = {**parts, "failures": [], "mirror": {"a": 1}, "progress": {"x": 1}, "when": "first", "raw_read": [],
             "systems": [raced("ours_large", 20)]}  # fmt: skip
    second = {
        **parts,
        "failures": [],
        "mirror": {"a": 2, "b": 3},
        "progress": {},
        "when": "second",
        "raw_read": [raced("raw_read", 9)],
        "systems": [raced("ours_large", 7), raced("ours_large_one_core", 8)],
    }
    found = merged([first, second])
    assert (found["when"], found["mirror"], "progress" in found) == ("first", {"a": 1, "b": 3}, False)
    assert {entry["system"]: entry["steady_per_s"]["median"] for entry in found["systems"] + found["raw_read"]} == {
        "ours_large": 20, "ours_large_one_core": 8, "raw_read": 9,
    }  # fmt: skip
    assert [*found["scaling"]["cores"]["ours_large"]] == ["1 core", "2 cores"]
    with pytest.raises(ValueError, match="no alert"):
        merged([first, {**second, "failures": ["no alert"]}])


def test_the_page_has_a_row_for_each_need():
    report = figures() | {
        "when": "2026-01-02T03:04:05", "machine": {"cpu": "made up", "cores": 2, "memory_gib": 1},
        "versions": {"a": "1"}, "systems": [], "raw_read": [], "latency_ms": {}, "agents": {}, "ablation": {},
        "failures_of_peers": [], "goals": [],
    }  # fmt: skip
    report["capture"] = {}
    text = page({"options": "--full", "note": "", "report": report})
    assert "| a rule with state, 9,000 users | executor core, and a partition for each | 120,000 | 9 | yes: " in text
    assert "| cores of one executor | 150,000 | 240,000 | 1.60 |" in text
    assert "First breaks" not in text
