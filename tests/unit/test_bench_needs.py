"""What a million events a second needs, of hand-made figures."""

from __future__ import annotations

from typing import Any

import pytest

from fraudstream.bench.needs import doubled, growth_factor, needs
from record_bench import merged, page


def steady(value: float) -> dict[str, float]:
    return {"median": value, "min": value, "max": value}


def grown(users: int, buckets: int, cost: float | None, batch: int = 500_000, **more: Any) -> dict[str, Any]:
    usual = {"users": users, "buckets": buckets, "batch": batch, "us_per_event": cost, "mib_per_million_users": None}
    return {**usual, "failures": [], **more}


def entry(system: str, rate: float, **more: Any) -> dict[str, Any]:
    usual = {"system": system, "profile": "exercise", "form": "envelope", "users": 9000, "steady_per_s": steady(rate)}
    return {**usual, "events": 5_000_000, "alerts": 10_000, "equal": True, **more}


def mirrored(rows: int, batch: int, rate: float, **more: Any) -> dict[str, Any]:
    return {"alerts": False, "table_rows": rows, "batch_rows": batch, "rows_per_s": rate, "failures": [], **more}


def figures(**more: Any) -> dict[str, Any]:
    capture = {
        "events_per_s": steady(40_000), "cpu_s_per_million": {"connect": 30.0, "postgres": 8.0, "kafka": 2.5},
        "bytes_per_event": 150.0, "written_per_s": steady(160_000), "failures": [],
    }  # fmt: skip
    return {
        "systems": [entry("ours_one_core", 150_000), entry("ours", 240_000)],
        "growth": {}, "capture": {"tuned": capture}, "mirror": {}, **more,
    }  # fmt: skip


def test_counts_are_rounded_up_and_the_least_of_what_cannot_be_had_twice_comes_first():
    mirror = {"small": mirrored(99, 10, 90_000.0), "large": mirrored(50, 20, 60_000.0)}
    growth = {"a": grown(9_000, 2, 4.0), "b": grown(1_000_000, 64, 6.0)}
    found = [
        (need.part, need.per_second, need.count, need.scales) for need in needs(figures(mirror=mirror, growth=growth))
    ]
    assert found == [
        ("the mirror, 50 rows, batches of 20", 60_000.0, 17, False),
        ("decoding PostgreSQL's log", 125_000.0, 8, False),
        ("the connector", 40_000, 25, True),
        ("the same, 1,000,000 users with whole histories", 80_000.0, 13, True),
        ("a rule with state, 9,000 users", 120_000.0, 9, True),
        ("PostgreSQL taking the rows", 160_000, 7, True),
        ("taking the records", 400_000.0, 3, True),
        ("taking the alerts", 200_000_000.0, 1, True),
    ]


def test_what_a_need_is_made_of_is_said():
    growth = {"a": grown(9_000, 2, 4.0), "b": grown(1_000_000, 64, 6.0, mib_per_million_users=1500)}
    notes = {need.part: need.note for need in needs(figures(growth=growth))}
    assert notes["taking the records"] == "150 MB/s to disk, and as much to each rule's query"
    assert notes["taking the alerts"].startswith("one in 500 events, 2,000/s")
    few, many = notes["a rule with state, 9,000 users"], notes["the same, 1,000,000 users with whole histories"]
    assert few == "5 executors of 2 cores; the broker's share of them included"
    assert many == (
        "7 executors of 2 cores; an event costs 1.5 times as much; 1,500 MiB of histories, 215 in each executor"
    )  # fmt: skip


def test_what_was_not_measured_is_not_told():
    assert needs({"systems": [], "growth": {}, "capture": {}, "mirror": {}}) == []
    broken = {"events_per_s": None, "cpu_s_per_million": {}, "bytes_per_event": None, "failures": []}
    assert [need.part for need in needs(figures(capture={"tuned": broken}))] == ["a rule with state, 9,000 users"]


@pytest.mark.parametrize(
    "wrong",
    [{"equal": False}, {"users": 100_000}, {"form": "compact"}, {"profile": "realistic"}, {"steady_per_s": None}],
)
def test_a_race_that_is_not_equal_or_of_other_data_gives_no_figure(wrong):
    report = figures(systems=[entry("ours_one_core", 150_000), entry("ours", 240_000, **wrong)])
    assert "a rule with state, 9,000 users" not in [need.part for need in needs(report)]
    assert doubled(report) == []


def test_a_step_that_failed_gives_no_figure():
    report = figures(
        mirror={"a": mirrored(99, 20, 5.0, failures=["rows is 3"]), "b": mirrored(99, 10, 9.0)},
        growth={"a": grown(9_000, 2, 4.0), "b": grown(1_000_000, 64, 6.0, failures=["1 alert is missing"])},
    )
    report["capture"]["tuned"]["failures"] = ["2 rows are lost"]
    assert [need.part for need in needs(report)] == [
        "the mirror, 99 rows, batches of 10", "a rule with state, 9,000 users",
    ]  # fmt: skip


def test_the_archive_takes_so_many_events_as_its_alerts_are_of():
    archived = mirrored(10_000_000, 4000, 300.0, alerts=True)
    report = figures(mirror={"a": mirrored(99, 10, 9.0), "b": archived, "c": mirrored(9, 4000, 900.0, alerts=True)})
    (need,) = (need for need in needs(report) if "archive" in need.part)
    # 5,000,000 events with 10,000 alerts: one in 500.
    assert (need.part, need.per_second, need.count) == ("the archive, 10,000,000 alerts", 150_000.0, 7)


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
    report["capture"]["two connectors"] = {"events_per_s": steady(50_000), "failures": []}
    report["systems"].append(entry("ours_cluster", 200_000))
    assert [found[1:] for found in doubled(report)] == [(150_000, 240_000), (150_000, 200_000), (40_000, 50_000)]


def raced(system: str, rate: float) -> dict[str, Any]:
    data = {"profile": "exercise", "form": "envelope", "users": 9000, "events": 100}
    return {**data, "system": system, "steady_per_s": steady(rate), "first_alert_s": 9.0, "failed": None,
            "absent": None, "equal": True, "code": "c", "at": 0}  # fmt: skip


def test_a_later_report_adds_only_what_those_before_have_not_and_a_failed_one_is_refused():
    parts: dict[str, Any] = {name: {} for name in ("latency_ms", "capture", "growth", "agents", "ablation")}
    first = {**parts, "failures": [], "mirror": {"a": mirrored(1, 1, 1.0)}, "progress": {"x": 1}, "when": "first",
             "raw_read": [],
             "systems": [raced("ours", 20)]}  # fmt: skip
    second = {
        **parts,
        "failures": [],
        "mirror": {"a": mirrored(2, 1, 1.0), "b": mirrored(3, 1, 1.0)},
        "progress": {},
        "when": "second",
        "raw_read": [raced("raw_read", 9)],
        "systems": [raced("ours", 7), raced("ours_one_core", 8)],
    }
    found = merged([first, second])
    assert (found["when"], "progress" in found) == ("first", False)
    assert {step: each["table_rows"] for step, each in found["mirror"].items()} == {"a": 1, "b": 3}
    assert {entry["system"]: entry["steady_per_s"]["median"] for entry in found["systems"] + found["raw_read"]} == {
        "ours": 20, "ours_one_core": 8, "raw_read": 9,
    }  # fmt: skip
    assert [*found["scaling"]["cores"]["ours"]] == ["1 core", "2 cores"]
    with pytest.raises(ValueError, match="no alert"):
        merged([first, {**second, "failures": ["no alert"]}])


_SHOWN = {
    "total_per_s": 1.0, "cpu_s_per_million": 1.0, "rss_mib": 1, "lines_of_code": 1, "survives": "nothing",
    "stages_ms": {}, "absent": None, "failed": None, "code": "c", "at": 0, "first_alert_s": 9.0,
}  # fmt: skip


def test_the_page_has_a_row_for_each_need():
    report = figures() | {
        "when": "2026-01-02T03:04:05", "machine": {"cpu": "made up", "cores": 2, "memory_gib": 1},
        "versions": {"a": "1"}, "raw_read": [], "latency_ms": {}, "agents": {}, "ablation": {},
        "failures_of_peers": [], "goals": [],
    }  # fmt: skip
    report["capture"] = {}
    report["systems"] = [{**each, **_SHOWN} for each in report["systems"]]
    text = page({"options": "--full", "note": "", "report": report})
    assert "| a rule with state, 9,000 users | executor core, and a partition for each | 120,000 | 9 | yes: " in text
    assert "| cores of one executor | 150,000 | 240,000 | 1.60 |" in text
    assert "First breaks" not in text
