"""When a whole audit is in order, finds something, or could not tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.lake import change, write_lake
from fraudstream.audit import judged, records, rows, run
from fraudstream.audit.report import exit_code
from fraudstream.audit.rows import Stored, Suspects
from fraudstream.config import load_pipeline
from fraudstream.input.ledger import Ledger
from unit.audits import bounds, message

ROW = (7, 1000, "VISA", 3, 1772366400000000, 1772366400000000)  # as in `message`


def compared(
    tmp_path: Path, monkeypatch, position, *, now: str = "5", topic=(), **options: Any
) -> tuple[int, run.Audit]:
    """An audit of PostgreSQL's rows 1 and 2, of which the mirror, at offset 45, has the first alone. The transaction
    `now` wrote row 2 last, 5 did when the audit began; `position` says where the capture stands, 500 is the log's end;
    `topic` comes behind the mirror."""
    folder = write_lake(tmp_path / "lake", [change(1, "10")], [])
    suspects = Suspects(500, 2, 1, 1, {2: Stored(ROW, "5")})
    monkeypatch.setattr(rows, "suspects", lambda *_: suspects)
    monkeypatch.setattr(rows, "stored_rows", lambda *_: {2: Stored(ROW, now)})
    monkeypatch.setattr(rows, "_PAUSE_S", 0)
    monkeypatch.setattr(run, "take_bounds", lambda *_: bounds(45))
    monkeypatch.setattr(run, "read_topic", lambda *_: [message(10), *topic])
    monkeypatch.setattr(run, "capture_position", lambda *_: position)
    pipeline = replace(load_pipeline(), lake=folder, checkpoints=str(tmp_path / "checkpoints"))
    chosen = run.Options(parts=("rows",), **{"wait_s": 0, **options})
    found = run.audit(pipeline, [], SimpleNamespace(dsn=lambda role: ""), chosen)
    return exit_code(found), found


def test_a_row_that_the_topic_lacks_is_lost_once_the_capture_has_passed_it(tmp_path, monkeypatch):
    code, found = compared(tmp_path, monkeypatch, lambda: 500)
    assert (code, [(each.kind, each.ids) for each in found.findings]) == (1, [("row_not_captured", [2])])


def test_a_capture_on_its_way_is_waited_for(tmp_path, monkeypatch):
    places = iter([100, 300, 500])
    code, found = compared(tmp_path, monkeypatch, lambda: next(places), wait_s=30)
    assert (code, [each.kind for each in found.findings]) == (1, ["row_not_captured"])


@pytest.mark.parametrize(
    ("position", "said"), [(499, "the capture is at 0/1F3"), (-1, "the capture stands is unknown")]
)
def test_a_row_that_the_topic_lacks_is_unknown_where_the_capture_is_dead(tmp_path, monkeypatch, position, said):
    code, found = compared(tmp_path, monkeypatch, lambda: position)
    assert (code, found.findings, found.incomplete) == (2, [], ["rows"])
    assert said in found.parts[0].incomplete[0]


def test_what_is_in_flight_is_in_order_wherever_the_capture_stands(tmp_path, monkeypatch):
    assert compared(tmp_path / "a", monkeypatch, lambda: -1, now="6")[0] == 0  # written since
    code, found = compared(tmp_path / "b", monkeypatch, lambda: -1, topic=[message(60, 2)])
    assert (code, found.incomplete, found.parts[0].figures["in_flight"]) == (0, [], 1)


def test_rows_that_differ_are_unknown_while_the_mirror_is_very_far_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MOST_BEHIND", 1)
    topic = [message(60, 2), message(70, 3)]
    code, found = compared(tmp_path, monkeypatch, lambda: 500, topic=topic)
    assert (code, found.findings) == (2, [])
    assert found.parts[0].incomplete == ["1 rows that differ: the mirror is 2 records behind"]


def test_alerts_are_unknown_where_a_rule_is_ahead_of_a_mirror_that_is_very_far_behind():
    at = bounds(45, velocity=80, high_amount=45)
    again = {"velocity": judged.Judged(until={0: 45}), "high_amount": judged.Judged(until={0: 45})}
    far, near = records.Scan({}, in_flight=35), records.Scan({}, behind=[message(50)], in_flight=1)
    assert run._ahead(again, far, at) == ["velocity: ahead of the mirror, which is 35 records behind"]
    assert run._ahead(again, near, at) == []
    assert run._ahead({"high_amount": again["high_amount"]}, far, at) == []


def test_a_ledger_is_compared_with_the_whole_topic_whatever_since_says(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("committed", [["c", 1, 7, "10.00", "VISA", 3, "2026-03-01T12:00:00"]])
    ledger.close()
    folder = write_lake(tmp_path / "lake", [change(1, "10"), change(1, "10", offset=20)], [])
    monkeypatch.setattr(run, "read_topic", lambda *_: [message(10), message(20)])  # the second is a copy
    pipeline = replace(load_pipeline(), lake=folder)
    part = run._ledger(pipeline, bounds(100, since=50), tmp_path / "ledger.jsonl", None)
    assert (part.findings, part.figures) == ([], {"committed": 1, "captured": 1})
