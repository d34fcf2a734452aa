"""Reports of hand-made results: what is compared with what, what failed, what was not run, and of which code it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.bench.parts import PARTS
from fraudstream.bench.report import as_text, assembled, markdown, outcome, sources, write_report
from fraudstream.stack.settings import load_settings
from made_up_results import bare, part, result


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fraudstream.bench.report.versions", lambda settings: {"kafka": "1"})
    return load_settings(tmp_path)


def test_only_races_over_the_same_events_are_divided_by_the_raw_read(settings):
    reads = [result("raw_read", 4), result("raw_read", 2, events=500), result("raw_read", 1, form="compact")]
    report = assembled([result(), result(events=500), result(events=200), *reads], settings)
    found = [(each["events"], each["of_raw_read"]) for each in report["systems"]]
    assert found == [(1000, 0.25), (500, 0.5), (200, None)]
    assert report["raw_read_per_s"] == 400.0, "of the longest"
    text = as_text(report)
    assert all(f"9,000 users  {events}" in text for events in (" 1,000", "   500", "   200"))


def test_a_raw_read_that_failed_fails_the_report(settings):
    report = assembled([result(), result("raw_read", failed="it read 3 of 1,000 records")], settings)
    assert not report["passed"]
    assert report["failures"] == ["raw_read, exercise, envelope, 9,000 users, 1,000 events: it read 3 of 1,000 records"]
    assert report["systems"][0]["of_raw_read"] is None
    assert as_text(report).splitlines()[2].endswith("failed")


def test_stages_of_ours_stand_in_a_table_as_medians_of_the_runs(settings, tmp_path):
    runs = [
        result(repeat=each, stages_ms={"anomaly": {"triggerExecution": 100 * each, "addBatch": 7}})
        for each in (1, 2, 6)
    ]
    report = write_report(tmp_path, assembled([*runs, result("streams")], settings))
    stages = {entry["system"]: entry["stages_ms"] for entry in report["systems"]}
    assert stages == {"streams": {}, "ours": {"anomaly": {"triggerExecution": 200, "addBatch": 7}}}
    assert "Stages of a batch" in as_text(report)
    assert "triggerExecution" in (tmp_path / "report.html").read_text()


def test_cores_are_compared_over_the_same_events_alone(settings):
    results = [result("ours", 4, events=5000), result("ours_one_core", 3)]
    assert assembled(results, settings)["scaling"]["cores"] == {}


def test_steps_that_have_nothing_but_failures_are_told_and_in_no_table(settings, tmp_path):
    results = [part(name, "a", {"failures": ["no room"]}) for name in PARTS]
    report = write_report(tmp_path, assembled(results, settings))
    assert report["failures"] == [f"{name}, a: no room" for name in PARTS]
    assert [report[name] for name in ("latency_ms", "growth", "agents", "capture", "mirror", "ablation")] == [{}] * 6
    assert "capture, a: no room" in as_text(report)
    assert "capture, a: no room" in (tmp_path / "report.html").read_text()


def test_a_system_that_is_not_installed_is_shown_as_not_run_and_fails_nothing(settings, tmp_path):
    absent = bare("quix", absent="no wheel")
    report = write_report(tmp_path, assembled([result(), absent], settings))
    assert [entry["system"] for entry in report["systems"]] == ["ours", "quix"]
    assert report["passed"]
    assert outcome(report) == "EQUAL for 1 of 2 systems; not run: quix"
    assert markdown(report)[-1].endswith("| not run |")
    for text in (as_text(report), (tmp_path / "report.html").read_text()):
        assert "quix is not run: no wheel" in text
    alone = assembled([absent], settings)
    assert (alone["systems"][0]["equal"], alone["passed"], outcome(alone)) == (False, False, "NOTHING MEASURED")
    installed = assembled([absent, result("quix", 2)], settings)
    assert (installed["systems"][0]["runs"], outcome(installed)) == (1, "EQUAL")


def test_a_heat_that_raised_is_shown_as_failed_and_a_peers_is_told_apart_from_ours(settings, tmp_path):
    raised = [bare("quix", failed="KafkaException: gone"), result("quix", 2)]
    report = write_report(tmp_path, assembled([result(), *raised], settings))
    assert (report["failures"], len(report["failures_of_peers"])) == ([], 1)
    assert outcome(report) == "NOT EQUAL"
    assert any(line.endswith("| failed |") for line in markdown(report))
    assert "KafkaException: gone" in (tmp_path / "report.html").read_text()
    assert len(assembled([bare("ours", failed="gone")], settings)["failures"]) == 1


def test_an_alert_set_that_is_equal_does_not_hide_a_failure(settings):
    assert not assembled([result(failed="the broker was gone")], settings)["systems"][0]["equal"]


def test_a_report_says_which_code_its_figures_are_of_and_of_when(settings):
    later = 1_800_000_000 + 86_400
    results = [result(), result("raw_read", at=later), result("streams", code="d"), bare("quix", absent="no wheel")]
    found = sources(assembled([*results, part("latency", "alone", {"rules": {}, "failures": []})], settings))
    assert found == [
        {"code": "c", "begin": "1970-01-01", "end": "2027-01-16", "what": ["ours", "raw_read", "latency"]},
        {"code": "d", "begin": "2027-01-15", "end": "2027-01-15", "what": ["streams"]},
    ]


def test_a_report_of_nothing_has_not_passed(settings):
    report = assembled([], settings)
    assert (report["passed"], outcome(report)) == (False, "NOTHING MEASURED")
    assert {goal["met"] for goal in report["goals"]} == {None}
