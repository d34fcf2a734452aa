"""An audit for people and for machines."""

from __future__ import annotations

import json

from fraudstream.audit.finding import Finding, Part, offset_ranges, ranges, ranges_text
from fraudstream.audit.report import as_json, as_text, exit_code
from fraudstream.audit.run import Audit
from unit.audits import bounds


def test_ranges_are_told_shortly():
    assert ranges([3, 1, 2, 7, 7]) == [[1, 3], [7, 7]]
    assert ranges_text([[1, 3], [7, 7]]) == "1-3, 7"
    assert offset_ranges([(1, 5), (0, 2), (1, 6)]) == {0: [[2, 2]], 1: [[5, 6]]}
    found = Finding("change_missing", "lake/transaction_changes", positions=[(0, 2), (1, 5), (1, 6)])
    assert (
        found.text == "lake/transaction_changes: 3 changes of the topic are missing (offsets of partition 0: 2; 1: 5-6)"
    )
    assert Finding("row_ghost", "m", ids=[4, 5, 6, 9]).text.endswith("in the topic (ids 4-6, 9)")


def test_a_report_says_ok_or_what_is_wrong_and_how_it_is_closed():
    well, ill = Part("rows", {"postgres": 12345}), Part("records", {"topic": 5})
    ill.found("change_missing", "lake/transaction_changes", positions=[(0, 2)])
    ill.found("change_doubled", "lake/transaction_changes", positions=[])
    found = Audit(0.0, bounds(5), [well, ill], 1.5)
    assert as_text(found).splitlines() == [
        "rows           postgres 12,345: ok",
        "records        topic 5: 1 wrong",
        "               ✗ lake/transaction_changes: 1 changes of the topic are missing (offsets of partition 0: 2)",
        "                 remedy: make repair",
        "1 finding; see docs/operations.md, Audit and repair (1.5 s)",
    ]
    told = as_json(found)
    assert (told["passed"], told["findings"]) == (False, 1)
    assert told["parts"][1]["findings"][0]["offsets"] == {"0": [[2, 2]]}
    assert json.loads(json.dumps(told)) == told


def test_a_report_says_what_could_not_be_compared_and_is_then_not_passed():
    parts = [Part("rows", {"postgres": 5}), Part("alerts", {"high_amount": {"recomputed": 2}}), Part("records")]
    found = Audit(0.0, bounds(5), parts, 1.5)
    assert (exit_code(found), as_json(found)["passed"], as_json(found)["incomplete"]) == (0, True, [])
    assert as_text(found).endswith("\nnothing missing, doubled or different (1.5 s)")
    parts[0].incomplete.append("the capture stands still")
    parts[1].incomplete.append("high_amount: its code is gone")
    assert as_text(found).splitlines() == [
        "rows           postgres 5: incomplete",
        "               ? not compared: the capture stands still",
        "alerts         high_amount: recomputed 2: incomplete",
        "               ? not compared: high_amount: its code is gone",
        "records        nothing to compare: ok",
        "incomplete: rows, alerts could not be compared in full (1.5 s)",
    ]
    told = as_json(found)
    assert (exit_code(found), told["passed"], told["incomplete"]) == (2, False, ["rows", "alerts"])
    assert [(each["ok"], each["incomplete"]) for each in told["parts"]] == [
        (False, ["the capture stands still"]), (False, ["high_amount: its code is gone"]), (True, []),
    ]  # fmt: skip
    parts[0].found("row_ghost", "lake/transactions", ids=[7])
    assert (exit_code(found), as_json(found)["passed"]) == (1, False)
    assert as_text(found).splitlines()[0] == "rows           postgres 5: 1 wrong, incomplete"
    assert as_text(found).endswith("\n1 finding; see docs/operations.md, Audit and repair (1.5 s)")
