"""An audit for people and for machines."""

from __future__ import annotations

import json

from fraudstream.audit.finding import Finding, Part, offset_ranges, ranges, ranges_text
from fraudstream.audit.report import as_json, as_text
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
