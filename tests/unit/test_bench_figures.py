"""Figures from hand-made alerts, and reports of hand-made results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraudstream.bench.figures import Sightings, drawn, furthest, speed, spread
from fraudstream.bench.mirror import summary
from fraudstream.bench.mirror_plan import Load
from fraudstream.bench.raw_read import points_of
from fraudstream.bench.report import as_text, assembled, markdown, outcome, write_report
from fraudstream.bench.stages import steady_stages
from fraudstream.bench.truth import Truth
from fraudstream.stack.settings import load_settings
from made_up_results import part, result


def truth(*alerts: tuple[int, int, int]) -> Truth:
    return Truth(*(np.array(column, np.int64) for column in zip(*alerts, strict=True)))


FOUR = truth((10, 0, 5), (20, 1, 4), (30, 0, 15), (40, 1, 16))


def test_progress_is_the_furthest_alert_of_every_partition_at_the_time_the_broker_took_it():
    seen = Sightings({"anomaly": FOUR})
    for at, number in ((100.0, 10), (101.0, 30), (101.5, 20), (103.0, 40)):
        seen.add(("anomaly", number), at)
    at, judged = seen.progress()
    assert at.tolist() == [100.0, 101.0, 101.5, 103.0]
    assert judged.tolist() == [5, 15, 19, 31]
    assert drawn(at, judged, 99.0) == [[1.0, 5], [2.0, 15], [2.5, 19], [4.0, 31]]


def test_an_alert_that_comes_late_takes_nothing_back():
    assert furthest(np.array([0, 0, 0]), np.array([7, 3, 9])).tolist() == [7, 7, 9]


def test_progress_of_two_rules_is_their_mean():
    seen = Sightings({"anomaly": truth((10, 0, 10)), "velocity": truth((10, 0, 10))})
    seen.add(("anomaly", 10), 1.0)
    seen.add(("velocity", 10), 2.0)
    assert seen.progress()[1].tolist() == [5, 10]


def test_alerts_are_equal_only_if_none_is_missing_and_none_too_much():
    seen = Sightings({"anomaly": FOUR})
    for number in (10, 20, 30, 10):
        seen.add(("anomaly", number), 1.0)
    found = seen.compared()
    assert (found["alerts"], found["copies"], found["missing"], found["equal"]) == (3, 1, 1, False)
    assert found["examples"] == {"missing": [["anomaly", 40]]}
    assert not seen.complete
    seen.add(("anomaly", 40), 2.0)
    assert seen.complete
    assert seen.compared()["equal"]
    seen.add(("anomaly", 41), 2.0)
    found = seen.compared()
    assert (found["extra"], found["equal"], found["examples"]) == (1, False, {"extra": [["anomaly", 41]]})
    assert seen.progress()[1].tolist() == [5, 15, 19, 31], "an alert too much is no progress"


def test_a_steady_pace_is_found_behind_a_slow_start():
    at = np.concatenate([[10.0], 20 + np.arange(1, 1001) / 10])
    figures = speed(at, np.concatenate([[1], np.arange(1, 1001) * 100]), 100_000, 0.0, True)
    assert figures["first_alert_s"] == 10.0
    assert figures["seconds"] == 120.0
    assert figures["total_per_s"] == pytest.approx(833.3)
    assert figures["steady_per_s"] == pytest.approx(1000, rel=0.01)


def test_a_pace_in_steps_is_taken_from_the_upper_ends_of_steps():
    """20 batches of 50 events, 2 s each, all alerts of a batch within 0.1 s."""
    at = np.concatenate([2.0 * batch + np.linspace(0, 0.1, 10) for batch in range(1, 21)])
    judged = np.arange(1, 201) * 5.0
    assert speed(at, judged, 1000, 0.0, True)["steady_per_s"] == pytest.approx(25, rel=0.01)


def test_what_was_not_seen_has_no_figure():
    nothing = speed(np.zeros(0), np.zeros(0), 100, 0.0, False)
    assert set(nothing.values()) == {None}
    half = speed(np.array([1.0, 2.0]), np.array([10.0, 50.0]), 100, 0.0, False)
    assert (half["total_per_s"], half["steady_per_s"], half["first_alert_s"]) == (None, None, 1.0)
    assert spread([None, None]) is None
    assert spread([3.0, None, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}


def test_a_spread_has_four_digits_whether_its_figures_are_large_or_small():
    assert spread([0.62304, 0.6, 0.71239]) == {"median": 0.623, "min": 0.6, "max": 0.7124}
    assert spread([421_516.4, 97_006.0]) == {"median": 259_300, "min": 97_010, "max": 421_500}


def test_stages_are_those_of_the_batches_of_the_steady_part():
    """Of 1,000 records 300, 500, 900 and all are read at the ends: the second and the third count."""
    reads = ((300, 90), (200, 10), (400, 30), (100, 70))
    lines = [{"read": read, "stages_ms": {"triggerExecution": ms + 5, "addBatch": ms}} for read, ms in reads]
    lines[2]["stages_ms"]["queryPlanning"] = 3
    recounted = {"read": 4000, "recounted": True}
    assert steady_stages([*lines, recounted]) == {"triggerExecution": 25, "addBatch": 20, "queryPlanning": 3}
    assert steady_stages([lines[0]]) == {}, "its end is that of the run"
    assert steady_stages([]) == {}


def test_the_raw_read_is_what_spark_reports_of_its_batches():
    reports = [
        {"timestamp": "2026-11-23T06:00:00.500Z", "numInputRows": rows, "durationMs": {"triggerExecution": 1500}}
        for rows in (200, 0, 100)
    ]
    begin = 1795413600.0
    assert points_of(reports) == [[begin + 2.0, 200], [begin + 2.0, 300]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fraudstream.bench.report.versions", lambda settings: {"kafka": "1"})
    return load_settings(tmp_path)


def test_a_report_has_the_median_and_spread_of_each_system_beside_the_raw_read(settings, tmp_path):
    results = [result(repeat=repeat) for repeat in (1, 2, 3)]
    results += [result("raw_read", repeat) for repeat in (4, 4)]
    report = write_report(tmp_path, assembled(results, settings))
    (entry,) = report["systems"]
    assert entry["steady_per_s"] == {"median": 200.0, "min": 100.0, "max": 300.0}
    assert (entry["total_per_s"], entry["runs"], entry["equal"], entry["of_raw_read"]) == (50.0, 3, True, 0.5)
    assert entry["lines_of_code"] > 10
    assert report["raw_read_per_s"] == 400.0
    assert report["passed"]
    assert (report["latency_ms"], report["scaling"]) == ({}, {"users": {}, "cores": {}})
    assert json.loads((tmp_path / "report.json").read_text()) == report
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 2
    table = (tmp_path / "table.md").read_text()
    assert "| ours | exercise, envelope, 9,000 users | 1,000 | 200 (100-300) | 50 | 7 | 1,000 |" in table


def test_growth_is_told_by_users_and_by_cores(settings, tmp_path):
    results = [
        result("ours", 4), result("ours", 2, users=1_000_000), result("ours_one_core", 3),
        result("streams", 5), result("ours", 9, form="compact"), result("ours_cluster", 2),
        result("ours", 8, events=10), result("ours", 6, users=100_000, equal=False),
    ]  # fmt: skip
    report = write_report(tmp_path, assembled(results, settings))
    found = report["scaling"]
    assert [*found["users"]] == ["ours"]
    by_users = found["users"]["ours"]
    assert {users: each["median"] for users, each in by_users.items()} == {"9,000": 400, "1,000,000": 200}
    by_cores = {cores: each["median"] for cores, each in found["cores"]["ours"].items()}
    assert by_cores == {"1 core": 300, "2 cores": 400, "2 executors": 200}
    page = (tmp_path / "report.html").read_text()
    assert ">1,000,000 users<" in page
    assert ">2 executors<" in page


def latency(failures: list[str]) -> dict[str, Any]:
    stages = {"commit_to_capture": 11, "capture_to_topic": 12, "topic_to_batch": None, "batch_to_work": None,
              "work_to_alert": 14}  # fmt: skip
    rule = {
        "alerts": 5,
        "latency_ms": {"p50": 641, "p95": 700, "p99": 800},
        "stages_ms": stages,
        "record_to_alert_ms": {"p50": 4, "p95": 5, "p99": 49},
        "batch_ms": {"p50": 333, "p95": 1, "p99": 1},
    }
    found = {"rules": {"high_amount": rule}, "changes_per_s": 2000.0, "idle_share": 0.25, "lag": {},
             "first_alert_s": {"high_amount": 19.5}, "failures": failures}  # fmt: skip
    return {"key": "latency: alone", "part": "latency", "step": "alone", "at": 1, "code": "c", "found": found}


def test_latencies_stand_beside_the_race_and_a_check_that_failed_fails_the_report(settings, tmp_path):
    report = write_report(tmp_path, assembled([result(), latency([])], settings))
    assert report["passed"]
    assert report["latency_ms"]["alone"]["rules"]["high_amount"]["latency_ms"]["p50"] == 641
    assert "641" in as_text(report)
    assert "<td>641</td>" in (tmp_path / "report.html").read_text()
    failed = assembled([result(), latency(["one alert is missing"])], settings)
    assert not failed["passed"]
    assert "latency, alone: one alert is missing" in as_text(failed)


def test_capture_and_mirror_have_tables_and_their_failures_fail_the_report(settings, tmp_path):
    rate = {"median": 41_234.0, "min": 40_000.0, "max": 42_000.0}
    captured = {
        "rows": 1000, "runs": 1, "written_per_s": rate, "events_per_s": rate, "total_per_s": rate, "seconds": None,
        "cpu_s_per_million": {}, "message_bytes": 571.0, "bytes_per_event": None, "lost": 0, "doubled": 0,
        "failures": [],
    }  # fmt: skip
    load = Load(table_rows=5000)
    found = {"fill_s": 1.0, "seconds": [3.0], "rows_copied": [4321], "files_added": [2], "merge_s": [2.5],
             "pieces_s": [[0.0]], "trigger_s": 30.0, "expected": {}, "found": {}}  # fmt: skip
    mirrored = summary(load, found, [1 << 20])
    results = [part("capture", "tuned", captured), part("mirror", "5,000 rows", mirrored)]
    report = write_report(tmp_path, assembled(results, settings))
    assert report["passed"]
    of = {"code": "c", "at": 1}
    assert (report["capture"], report["mirror"]) == ({"tuned": captured | of}, {"5,000 rows": mirrored | of})
    text, page = as_text(report), (tmp_path / "report.html").read_text()
    for figure in ("41,234", "4,321", "20,000"):
        assert figure in text
        assert f"<td>{figure}</td>" in page
    failed = assembled([*results, part("capture", "compact", {**captured, "failures": ["2 rows are lost"]})], settings)
    assert not failed["passed"]
    assert failed["failures"] == ["capture, compact: 2 rows are lost"]


def test_one_repeat_that_is_not_equal_speaks_for_all(settings):
    wrong = result(repeat=2, equal=False, missing=3, failed="nothing came for 60 s", total_per_s=None)
    report = assembled([result(), wrong, result(repeat=3)], settings)
    assert not report["systems"][0]["equal"]
    assert not report["passed"]
    assert outcome(report) == "NOT EQUAL"
    assert "| failed: 3 missing, 0 extra |" in markdown(report)[-1]
    assert "nothing came for 60 s" in as_text(report)
