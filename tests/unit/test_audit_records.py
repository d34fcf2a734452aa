"""Topic against lake, batches against topic: what is named, and what is in flight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from fixtures.lake import change, write_lake, write_table
from fraudstream.audit import batches, known, records
from fraudstream.audit.bounds import MIRROR, Bounds, Topic, read_from, seconds_of
from fraudstream.audit.finding import Part
from fraudstream.check.topic import Record
from fraudstream.errors import FraudstreamError
from fraudstream.streams.tables import QUARANTINE
from unit.audits import MAX, bounds, message, scanned


def compared(topic, mirrored, quarantined=(), end=100, **more):
    at = bounds(end, **more)
    changes = {0: np.array(sorted(mirrored), dtype=np.int64)} if mirrored else {}
    found = records.scan(topic, changes, at)
    table = pa.table({
        "partition": pa.array([0] * len(quarantined), pa.int32()),
        "offset": pa.array([offset for offset, _ in quarantined], pa.int64()),
        "value": pa.array([value for _, value in quarantined], pa.binary()),
    })  # fmt: skip
    part, missing = records.compare_records(found, changes, table, at, MAX)
    return {finding.kind: list(finding.positions) for finding in part.findings}, part.figures, missing


TOMBSTONE, BAD = Record(0, 3, b"", None, (), 0), Record(0, 4, b"", b"[]", (), 0)
TOPIC = [message(0), message(2, 2), TOMBSTONE, BAD, message(7, 3)]


def test_a_topic_that_is_all_in_the_lake_is_ok_and_transaction_markers_are_no_holes():
    findings, figures, missing = compared(TOPIC, [0, 2, 7], [(4, b"[]")])
    assert (findings, missing) == ({}, [])
    assert figures == {
        "topic": 5, "processed": 5, "changes": 3, "quarantined": 1, "readable_now": 0, "ignored": {"tombstone": 1},
        "in_flight": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mirrored", "quarantined", "expected"),
    [
        ([0, 7], [(4, b"[]")], {"change_missing": [(0, 2)]}),
        ([0, 2, 2, 7], [(4, b"[]")], {"change_doubled": [(0, 2)]}),
        ([0, 1, 2, 7], [(4, b"[]")], {"change_unknown": [(0, 1)]}),
        ([0, 2, 7], [], {"quarantine_missing": [(0, 4)]}),
        ([0, 2, 7], [(4, b"[]"), (4, b"[]")], {"quarantine_doubled": [(0, 4)]}),
        ([0, 2, 7], [(4, b"{}")], {"quarantine_unknown": [(0, 4)]}),
        ([0, 2, 7], [(4, b"[]"), (5, b"[]")], {"quarantine_unknown": [(0, 5)]}),
        ([0, 2, 4, 7], [(4, b"[]")], {"quarantine_unknown": [(0, 4)]}),
    ],
)
def test_what_is_missing_doubled_or_unknown_is_named(mirrored, quarantined, expected):
    assert compared(TOPIC, mirrored, quarantined)[0] == expected


def test_what_the_mirror_has_not_committed_is_in_flight_even_where_it_is_written_already():
    findings, figures, _ = compared(TOPIC, [0, 7], [], end=2)
    assert findings == {}
    assert (figures["in_flight"], figures["changes"]) == (4, 1)
    assert compared([], [], end=0)[1]["topic"] == 0


def test_a_mirror_that_has_not_begun_or_is_very_far_behind_leaves_the_records_incomplete(monkeypatch):
    def reasons(end: int) -> list[str]:
        at = Bounds(0.0, {}, {MIRROR: {0: end}} if end else {}, bounds(0).transactions)
        table = pa.table({"partition": [], "offset": [], "value": []})
        return records.compare_records(records.scan(TOPIC, {}, at), {}, table, at, MAX)[0].incomplete

    assert reasons(0) == ["the mirror has not begun: all records of the topic are in flight"]
    assert reasons(2) == []  # four are in flight
    monkeypatch.setattr(records, "MOST_BEHIND", 3)
    assert reasons(2) == ["the mirror is 4 records behind"]
    assert reasons(3) == []


def test_records_before_since_are_not_looked_at():
    assert compared([message(7, 3)], [2, 2, 7], since=5)[0] == {}


def test_a_quarantined_record_that_can_be_read_now_is_counted():
    findings, figures, _ = compared([message(0)], [], [(0, message(0).value)])
    assert (findings, figures["readable_now"]) == ({}, 1)


def test_a_change_that_stands_twice_in_the_topic_is_named_once_with_its_copy(tmp_path):
    rows = [change(1, "10"), change(2, "20"), change(1, "10", offset=40), change(3, "5", lsn=100)]
    folder = write_lake(tmp_path, rows, [])
    assert [at for at, _ in records.copies(folder, bounds(100))] == [(0, 40)]
    assert records.copies(folder, bounds(30)) == []
    known.record(folder, known.Repair("message_doubled", "t", "acknowledged", positions=[(0, 40)]))
    assert known.acknowledged(folder, "message_doubled") == {"t": {(0, 40)}}
    assert known.repairs(folder)[0]["positions"] == [(0, 40)]


def test_a_copy_is_named_by_the_window_that_it_lies_in_though_the_first_one_lies_before_it(tmp_path):
    rows = [change(1, "10"), change(2, "20"), change(2, "20", offset=30), change(1, "10", offset=40), change(5, "1")]
    folder = write_lake(tmp_path, rows, [])
    for since, places in ((0, [30, 40]), (30, [30, 40]), (31, [40]), (40, [40]), (41, []), (60, [])):
        assert [at for at, _ in records.copies(folder, bounds(100, since=since))] == [(0, place) for place in places]


def test_of_the_lake_only_what_is_compared_is_read(tmp_path):
    rows = [change(1, "10"), change(2, "20"), change(3, "30"), change(3, "30"), change(4, "40")]
    others = [change(5, "50", offset=25, topic="other"), change(6, "60", offset=25, partition=1)]
    folder = write_lake(tmp_path, [*rows, *others], [])
    bad = [{"topic": "t", "partition": 0, "offset": offset, "value": b"[]"} for offset in (15, 35, 45)]
    write_table(tmp_path / "quarantine", QUARANTINE, bad)
    where = records.compared(bounds(40, since=20))
    found = records.positions_of(folder, "transaction_changes", "t", where)
    assert {number: offsets.tolist() for number, offsets in found.items()} == {0: [20, 30, 30]}
    assert records.quarantine_of(folder, "t", where)["offset"].to_pylist() == [35]
    not_begun = replace(bounds(0), positions={})
    assert records.positions_of(folder, "transaction_changes", "t", records.compared(not_begun)) == {}
    assert len(records.quarantine_of(str(tmp_path / "none"), "t")) == 0


def test_what_the_mirror_has_not_written_is_read_though_it_lies_before_since():
    topic = Topic("t", {0: 5, 1: 3, 2: 0}, {0: 50, 1: 50, 2: 50}, {})
    assert read_from(topic, {0: 20, 2: 90}).start == {0: 20, 1: 3, 2: 50}  # of partition 1 it has written nothing


def line(batch: int, start: int, end: int, read: int, **parts: int):
    counts = {"judged": read, "history": 0, "unjudged": 0, "unreadable": 0, "ignored": 0, **parts}
    return {"batch_id": batch, "start": {"0": start} if start else {}, "end": {"0": end}, "read": read, **counts}


@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        ([line(0, 0, 3, 3), line(1, 3, 8, 2)], {}),
        ([line(0, 0, 3, 3), line(2, 5, 8, 2)], {}),  # a batch of no record has no line
        ([line(0, 0, 3, 3), line(2, 7, 8, 1)], {"batch_gap": 1}),
        ([line(0, 0, 3, 3), line(1, 2, 8, 3)], {"batch_overlap": 1}),
        ([line(0, 0, 3, 2), line(1, 3, 8, 2)], {"batch_count": 1}),
        ([line(0, 0, 3, 3, history=1), line(1, 3, 8, 2)], {"batch_unbalanced": 1}),
        ([line(0, 0, 3, 3, judged=1, corrected=2), line(1, 3, 8, 2)], {}),
    ],
)
def test_the_batches_of_a_query_cover_the_topic_without_holes_and_add_up(lines, kinds):
    part = Part("batches")
    batches.compare_batches(part, "r", lines, {0: 8}, {}, scanned(0, 1, 2, 5, 7), {0: 0})
    assert {finding.kind: finding.count for finding in part.findings} == kinds


def test_a_batch_whose_report_is_on_its_way_is_told_as_unreported():
    part = Part("batches")
    batches.compare_batches(part, "r", [line(0, 0, 3, 3)], {0: 8}, {}, scanned(0, 1, 2, 5, 7), {0: 0})
    assert (part.findings, part.figures["r"]["unreported"]) == ([], 2)


def test_a_query_that_tells_no_offsets_is_compared_by_its_sum():
    for read, count in ((5, 0), (4, 1), (6, 1)):
        part = Part("batches")
        batches.compare_batches(
            part, "archive_alerts", [{"batch_id": 0, "read": read}], {0: 8}, {}, scanned(0, 1, 2, 5, 7), {0: 0}
        )
        assert (sum(finding.count for finding in part.findings), part.notes) == (count, [])


def test_a_query_that_tells_no_offsets_is_said_to_be_uncompared_where_a_part_of_the_topic_is_read():
    lines = [{"batch_id": 0, "read": 4}]  # of 5 records
    said = "archive_alerts: what it read is not compared with the topic"
    for told, notes in ((lines, [said]), ([], [])):
        part = Part("batches")
        batches.compare_batches(part, "archive_alerts", told, {0: 8}, {}, scanned(5, 7), {0: 5})
        assert (part.findings, part.incomplete) == ([], [])
        assert [note.partition(": its reports")[0] for note in part.notes] == notes
    part = Part("batches")
    batches.compare_batches(part, "anomaly", [line(1, 5, 8, 2)], {0: 8}, {0: 5}, scanned(5, 7), {0: 5})
    assert (part.findings, part.notes) == ([], [])


def test_a_duration_is_a_number_and_a_unit():
    assert [seconds_of(text) for text in ("90s", "15m", "2h", "7d")] == [90, 900, 7200, 604_800]
    for text in ("", "5", "m", "0s", "-1h", "1 h"):
        with pytest.raises(FraudstreamError, match="--since"):
            seconds_of(text)
