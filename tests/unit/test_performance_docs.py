"""docs/performance.md says what its recorded runs say, and all that they say of ours is right."""

from __future__ import annotations

import json

from record_bench import PAGE, README, RECORDED, page, readme

KEPT = json.loads(RECORDED.read_text(encoding="utf-8"))


def test_every_figure_of_the_page_is_the_recorded_runs():
    assert page(KEPT) == PAGE.read_text(encoding="utf-8")


def test_the_readmes_table_has_the_recorded_runs_figures():
    text = README.read_text(encoding="utf-8")
    assert readme(KEPT["report"], text) == text


def test_each_recorded_system_of_ours_found_all_alerts():
    ours = [entry for entry in KEPT["report"]["systems"] if entry["system"].startswith("ours")]
    assert {entry["form"] for entry in ours} >= {"envelope", "compact"}
    assert all(entry["equal"] and not entry["failed"] and entry["alerts"] > 1000 for entry in ours)
