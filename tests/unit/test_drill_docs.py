"""docs/drills.md says what its recorded run says, and the run was a full one."""

from __future__ import annotations

import json

from fraudstream.drill.catalog import FAULTS, FULL
from record_drills import PAGE, RECORDED, page

REPORT = json.loads(RECORDED.read_text(encoding="utf-8"))["report"]


def test_every_figure_of_the_page_is_the_recorded_runs():
    assert page() == PAGE.read_text(encoding="utf-8")


def test_the_recorded_run_has_every_fault_of_a_full_run_and_lost_and_doubled_nothing():
    assert {entry["verdict"] for entry in REPORT["faults"]} == {"held"}
    assert {entry["fault"] for entry in REPORT["faults"]} >= {name for group in FULL for name in group.split()}
    assert {entry["fault"] for entry in REPORT["faults"]} <= {*FAULTS}
    assert (REPORT["totals"]["lost"], REPORT["totals"]["doubled"]) == (0, 0)
