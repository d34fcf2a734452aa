"""Alerts against recomputation and oracle, archive against alerts: what is named, and what is in flight."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

from fixtures.lake import change, write_lake
from fraudstream import alerts
from fraudstream.audit import archived, asked, history, judged, records
from fraudstream.audit.bounds import Topic
from fraudstream.check.topic import Record
from fraudstream.config import load_pipeline
from fraudstream.rulebook.catalog import parse_rules
from fraudstream.rulebook.versions import Version
from fraudstream.streams import record
from unit.audits import MAX, bounds, message, scanned

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


def test_a_rule_whose_code_is_gone_leaves_the_alerts_incomplete_if_it_has_judged_what_is_compared(tmp_path):
    folder = write_lake(tmp_path, [change(1, "150"), change(3, "150")], [])
    record.append(folder, replace(RULE, version="0" * 12), {})  # as other code would have named it
    record.append(folder, RULE, {0: 20})
    pipeline = replace(load_pipeline(), lake=folder)
    past, end = history.history(folder, scanned(10, 30), [], bounds(1000), MAX)

    def part(messages=(), **more):
        at = bounds(1000, **more)
        again = judged.judge_all(pipeline, ["high_amount"], [RULE], at, past, end)
        return judged.compare_alerts(again, messages, at, set(), lambda _: False), again["high_amount"]

    gone, _ = part(high_amount=1000)
    assert len(gone.incomplete) == 1
    assert gone.incomplete[0].startswith("high_amount: ")
    assert "version 000000000000 of high_amount still has records to judge, but the code" in gone.incomplete[0]
    assert (gone.figures, gone.notes) == ({"acknowledged": 0}, [])
    idle, _ = part(since=15, high_amount=15)  # nothing of what it has judged is compared
    assert (idle.incomplete, len(idle.notes)) == ([], 1)

    # The second version has judged all that is compared; an alert of the first one there is none of the second's.
    _, again = part(since=25, high_amount=1000)
    right = again.alerts[-1]
    later, _ = part([sent(right, 0)], since=25, high_amount=1000)
    assert (later.incomplete, later.notes, later.findings) == ([], [], [])
    assert (later.figures["high_amount"]["recomputed"], later.figures["high_amount"]["kafka"]) == (1, 1)
    of_first, _ = part([sent(right, 0), sent(right, 1, rule_version="0" * 12)], since=25, high_amount=1000)
    assert [(each.kind, each.count) for each in of_first.findings] == [("alert_extra", 1)]


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
