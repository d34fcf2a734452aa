"""The report as data and as a page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fraudstream.check.latency import Latencies
from fraudstream.check.page import write_page
from fraudstream.check.report import assemble
from fraudstream.stack.settings import load_settings
from report_runs import RULES, checked, made_up_run

# Section "Seen and checked" of the product's definition.
FIELDS = {
    "": ("passed", "versions", "machine", "stack_start_s", "committed", "capture", "topic", "mirror", "rules"),
    "committed": ("inserts", "updates", "deletes"),
    "capture": ("lost", "doubled"),
    "topic": ("read", "judged", "history", "unjudged", "quarantined", "ignored"),
    "mirror": ("postgres_rows", "delta_rows", "different"),
    "rules.anomaly": ("oracle", "kafka", "kafka_copies", "delta", "missing", "extra", "latency_ms"),
    "rules.anomaly.latency_ms": ("p50", "p95", "p99"),
}


@pytest.fixture(scope="module")
def run():
    return made_up_run()


@pytest.fixture(scope="module")
def report(run):
    return assemble(run, checked(), load_settings(), "series.json")


def _page(path: Path, report, run) -> str:
    write_page(path, report, run, str(path.parent / "no_table"))
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("place", FIELDS)
def test_the_report_has_every_field(report, place):
    found = json.loads(json.dumps(report))
    for name in filter(None, place.split(".")):
        found = found[name]
    assert found.keys() >= set(FIELDS[place])


def test_warm_figures_leave_the_start_of_the_run_out(report):
    # Written from second 2 to 62; latency at the very start is 6 s above the usual.
    assert report["warm_window_s"] == [22.0, 62.0]
    assert report["rules"]["anomaly"]["latency_warm_ms"]["p99"] < 1100


def test_lag_is_told_for_queries_in_micro_batches_only(report):
    assert report["lag"].keys() == {"anomaly", "velocity"}
    assert report["lag"]["anomaly"] == {"first_half_s": 0.5, "second_half_s": 0.5, "max_s": 0.5, "grows": False}


def test_the_page_is_whole_without_network_or_scripts(tmp_path: Path, report, run):
    page = _page(tmp_path / "report.html", report, run)
    assert not re.findall(r"<script|<link|<img|@import|url\(\s*['\"]?http", page)
    assert set(re.findall(r"https?://[^\"' <]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_every_plot_is_well_formed_and_no_two_share_an_id(tmp_path: Path, report, run):
    page = _page(tmp_path / "report.html", report, run)
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == 5
    ids = [element.get("id") for plot in plots for element in ElementTree.fromstring(plot).iter()]
    named = [each for each in ids if each]
    assert named
    assert len(named) == len(set(named))
    assert "currentColor" in plots[0]
    assert "#010203" not in page


def test_a_failed_check_says_first_what_failed(tmp_path: Path, run):
    failed = assemble(run, {**checked(), "passed": False, "failures": ["anomaly: 3 <b>"]}, load_settings(), "s.json")
    page = _page(tmp_path / "report.html", failed, run)
    verdict = page[page.index('class="verdict failed"') : page.index("<h2>")]
    assert "<strong>Failed</strong>" in verdict
    assert "<li>anomaly: 3 &lt;b&gt;</li>" in verdict


def test_the_page_claims_nothing_of_rules_that_no_oracle_checked(tmp_path: Path, run):
    page = _page(tmp_path / "report.html", assemble(run, checked(), load_settings(), "series.json"), run)
    assert "Every alert that an independent oracle finds" in " ".join(page.split())
    unchecked = {**checked(), "unchecked_rules": ["card_testing"]}
    page = _page(tmp_path / "report.html", assemble(run, unchecked, load_settings(), "series.json"), run)
    assert "Every alert of anomaly, velocity, high_amount that an independent oracle finds" in page
    assert "Not checked: the alerts of card_testing" in page


def test_precision_and_recall_are_shown_where_there_is_a_truth(tmp_path: Path, report, run):
    assert "93.1 %" in _page(tmp_path / "with.html", report, run)
    without = {name: value for name, value in report.items() if name != "precision_recall"}
    assert "injected fraud" not in _page(tmp_path / "without.html", without, run)


def test_a_run_without_a_single_alert_has_a_report(tmp_path: Path, run):
    silent = replace(run, alerts={rule: Latencies() for rule in RULES})
    report = assemble(silent, checked(), load_settings(), "series.json")
    assert report["rules"]["anomaly"]["latency_warm_ms"]["p50"] is None
    assert "Passed" in _page(tmp_path / "report.html", report, silent)
