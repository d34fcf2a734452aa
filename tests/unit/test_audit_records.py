"""Topic against lake, batches against topic, alerts against recomputation: what is named, and what is in flight."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from fixtures.lake import change, write_lake
from fraudstream import alerts
from fraudstream.audit import archived, asked, batches, history, judged, known, records
from fraudstream.audit.bounds import MIRROR, Bounds, Topic, seconds_of
from fraudstream.audit.finding import Finding, Part, offset_ranges, ranges, ranges_text
from fraudstream.audit.report import as_json, as_text
from fraudstream.audit.run import Audit
from fraudstream.check.topic import Record
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import parse_rules
from fraudstream.rulebook.versions import Version

MAX = 262_144


def bounds(end: int, *, since: int = 0, **positions: int) -> Bounds:
    topic = Topic("t", {0: 0}, {0: since}, {0: since})
    queries = {MIRROR: {0: end}, **{name: {0: offset} for name, offset in positions.items()}}
    return Bounds(
        0.0, dict.fromkeys(queries, 0), queries, topic, {"archive_alerts": Topic("a", {0: 0}, {0: 0}, {0: 0})}
    )


def message(offset: int, number: int = 1, op: str = "c", cents: str = "10.00") -> Record:
    row = {
        "id": number,
        "user_id": 7,
        "amount": cents,
        "card_type": "VISA",
        "merchant_id": 3,
        "created_at": 1772366400000000,
    }
    images = {"before": row, "after": None} if op == "d" else {"before": None, "after": row}
    source = {"lsn": 100 * number, "txId": number, "ts_ms": 1772366400000, "snapshot": "false"}
    value = json.dumps({**images, "source": source, "op": op, "ts_ms": 1772366400000}).encode()
    return Record(0, offset, b"{}", value, (), 0)


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


def scanned(*offsets: int) -> records.Scan:
    return records.Scan({0: np.array(offsets, dtype=np.int64)})


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
        assert sum(finding.count for finding in part.findings) == count


(RULE,) = parse_rules('{"high_amount": {"severity": "high", "parameters": {"over": 100}}}', "rules.yaml")


def judged_lake(tmp_path, rows):
    folder = write_lake(tmp_path, rows, [])
    found, end = history.history(folder, scanned(*(row["offset"] for row in rows)), [], bounds(1000), MAX)
    return judged.Judged(judged.recompute([Version(RULE, {})], found), {0: 1000}, [Version(RULE, {})]), end


def sent(each: judged.Alert, at: int, **changes) -> judged.Message:
    payload = {**json.loads(each.value), **changes}
    return judged.read_message(Record(0, at, each.key.encode(), alerts.message(payload)[1].encode(), (), 0), False)


def alerts_part(found, messages, end=1000, known=frozenset()):
    at = bounds(1000, high_amount=end)
    part = judged.compare_alerts({"high_amount": found}, messages, at, set(known), lambda _: False)
    return {finding.kind: finding.count for finding in part.findings}, part.figures["high_amount"]


def test_alerts_of_the_topic_are_compared_with_the_recomputation_byte_by_byte(tmp_path):
    found, end = judged_lake(tmp_path, [change(1, "150"), change(2, "50"), change(3, "200.01"), change(4, "100")])
    one, three = found.alerts
    assert [json.loads(each.value)["transaction_id"] for each in found.alerts] == [1, 3]
    assert end == {0: 1000}
    assert alerts_part(found, [sent(one, 0), sent(three, 1)])[0] == {}
    assert alerts_part(found, [sent(one, 0), sent(three, 1), sent(one, 5)])[1]["copies"] == 1
    assert alerts_part(found, [sent(one, 0)])[0] == {"alert_missing": 1}
    assert alerts_part(found, [sent(one, 0), sent(three, 1, amount="200.02")])[0] == {"alert_differs": 1}
    extra = sent(three, 7, offset=20, transaction_id=2)
    assert alerts_part(found, [sent(one, 0), sent(three, 1), extra])[0] == {"alert_extra": 1}
    assert alerts_part(found, [sent(one, 0), sent(three, 1), extra], known={(False, (0, 7))})[0] == {}
    stranger = judged.read_message(Record(0, 9, b"", b"no alert", (), 0), False)
    assert alerts_part(found, [sent(one, 0), sent(three, 1), stranger])[0] == {"alert_extra": 1}


def test_alerts_of_batches_that_are_not_committed_are_in_flight(tmp_path):
    found, _ = judged_lake(tmp_path, [change(1, "150"), change(3, "200.01")])
    found.until = {0: 20}
    findings, figures = alerts_part(found, [sent(found.alerts[0], 0), sent(found.alerts[1], 1)])
    assert (findings, figures["in_flight"], figures["recomputed"]) == ({}, 1, 1)


def test_each_version_of_a_rule_judges_from_its_offsets_on(tmp_path):
    (later,) = parse_rules('{"high_amount": {"severity": "high", "parameters": {"over": 10}}}', "rules.yaml")
    folder = write_lake(tmp_path, [change(1, "50"), change(2, "50"), change(3, "150")], [])
    found, _ = history.history(folder, scanned(10, 20, 30), [], bounds(1000), MAX)
    made = judged.recompute([Version(RULE, {0: 5}), Version(later, {0: 20})], found)
    assert [(json.loads(each.value)["transaction_id"], each.of[1]) for each in made] == [(2, 20), (3, 30)]


def test_changes_that_the_lake_lacks_are_judged_from_the_topic(tmp_path):
    folder = write_lake(tmp_path, [change(1, "150")], [])
    behind, lacking = message(200, 5, cents="300.00"), message(20, 2, cents="170.00")
    scan = records.scan([behind], {}, bounds(100))
    missing = [(lacking, records.event_of(lacking, MAX))]
    found, end = history.history(folder, scan, missing, bounds(100), MAX)
    made = judged.recompute([Version(RULE, {})], found)
    assert [json.loads(each.value)["transaction_id"] for each in made] == [1, 2, 5]
    assert end == {0: 201}


def test_the_oracle_reads_the_topic_itself_and_must_find_the_same(tmp_path):
    topic = [message(10, 1, cents="150.00"), message(20, 2, cents="50.00"), message(30, 3, cents="100.01")]
    found, _ = history.history(str(tmp_path), records.scan(topic, {}, bounds(0)), [], bounds(0), MAX)
    made = judged.Judged(judged.recompute([Version(RULE, {})], found), {0: 100}, [Version(RULE, {})])
    messages = [sent(each, number) for number, each in enumerate(made.alerts)]
    assert len(messages) == 2

    def asked_of(messages, quarantined=()):
        arrived = asked.arrivals_of(topic, MAX, quarantined)
        part = asked.compare_oracle({"high_amount": made}, messages, arrived, "t")
        return {finding.kind: finding.count for finding in part.findings}, part.figures["high_amount"]

    assert asked_of(messages) == ({}, {"oracle": 2, "kafka": 2})
    assert asked_of(messages[:1])[0] == {"oracle_missing": 1}
    assert asked_of([messages[0], sent(made.alerts[1], 1, amount="100.02")])[0] == {"oracle_differs": 1}
    assert asked_of(messages, {(0, 10)})[0] == {"oracle_extra": 1}  # unreadable when it came: never judged
    made.until = {0: 30}
    assert asked_of(messages) == ({}, {"oracle": 1, "kafka": 1})


def archive(rows, messages, end=100, acknowledged=()):
    part = archived.compare_archive(
        "alerts",
        [archived.archived(row) for row in rows],
        messages,
        Topic("a", {0: 0}, {0: 0}, {0: 0}),
        {0: end},
        acknowledged,
    )
    return {finding.kind: len(finding.ids) for finding in part.findings}


def test_the_archive_has_each_alert_of_the_topic_once_and_as_it_is_there(tmp_path):
    rows = [change(1, "150"), change(3, "200.01")]
    found, _ = judged_lake(tmp_path, rows)
    messages = [sent(each, 10 * number) for number, each in enumerate(found.alerts)]
    stored = [archived_row(each, message.at[1]) for each, message in zip(found.alerts, messages, strict=True)]
    one, other = stored
    assert archive(stored, messages) == {}
    assert archive([one], messages) == {"archived_missing": 1}
    assert archive([one], messages, end=10) == {}  # the other is in flight
    assert archive([one, one, other], messages) == {"archived_doubled": 1}
    assert archive(stored, messages[:1]) == {"archived_extra": 1}
    assert archive(stored, messages, acknowledged={(0, 10)}) == {"archived_extra": 1}
    for name, value in (("amount", None), ("reason", "?"), ("payload", other["payload"]), ("status", "withdrawn")):
        assert archive([{**one, name: value}, other], messages) == {"archived_differs": 1}, name


def archived_row(each: judged.Alert, offset: int):
    payload = json.loads(each.value)
    return {
        **payload, "amount": Decimal(payload["amount"]), "payload": each.value, "alert_partition": 0,
        "alert_offset": offset, "status": "open", "revision": 0, "changed_by": None,
    }  # fmt: skip


def test_a_withdrawn_alert_keeps_what_it_was(tmp_path):
    found, _ = judged_lake(tmp_path, [change(1, "150")])
    (one,) = found.alerts
    first = sent(one, 0, revision=0, status="open", changed_by=None)
    gone = sent(one, 1, revision=1, status="withdrawn", changed_by="t-0-9", reason="withdrawn", evidence={})
    left = archived.standing([gone, first])[json.loads(one.value)["alert_id"]]
    assert (left.status, left.revision, left.changed_by) == ("withdrawn", 1, "t-0-9")
    assert left.payload == first.alert.value


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


def test_a_duration_is_a_number_and_a_unit():
    assert [seconds_of(text) for text in ("90s", "15m", "2h", "7d")] == [90, 900, 7200, 604_800]
    for text in ("", "5", "m", "0s", "-1h", "1 h"):
        with pytest.raises(FraudstreamError, match="--since"):
            seconds_of(text)
