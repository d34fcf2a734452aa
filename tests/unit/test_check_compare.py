"""Each way in which a run can be wrong is a failure of its comparison."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial

import pytest

from fraudstream.check.compare import (
    AlertMessage,
    ArchivedAlert,
    compare_alerts,
    compare_counts,
    compare_quarantine,
    compare_rows,
    percentile,
    precision_recall,
)
from fraudstream.check.corrected import judge_corrected
from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.payload import wrong_fields
from fraudstream.check.settings import settings_for
from golden.topics import messages_of

TOPIC = "dbserver1.public.transactions"
COMMIT_MS = 1_772_366_400_000 - 20  # of the first message of a golden topic; the next are 1000 ms apart
# 4 is an alert of anomaly with n = 3 and sum 30.00; it was captured as message 3.
VERDICT = judge_topic(
    arrivals(messages_of("c 1..3 u1 10.00 +0/120\nc 4 u1 600.00 +360\nc 5 u1 2000.00 +480", 1), 262_144),
    settings_for("anomaly", {}),
)


def payload_of(transaction=100_004, amount="600.00", offset=3, n=3, total="30.00", mean="10.00", at=6, **other):
    text = f"anomaly|v1|{transaction}"
    return {
        "alert_id": hashlib.sha256(text.encode()).hexdigest(), "amount": amount, "card_type": "VISA",
        "captured_at": f"2026-03-01T12:00:0{offset}.000Z", "committed_at": f"2026-03-01T12:00:0{offset - 1}.980Z",
        "event_time": f"2026-03-01T12:0{at}:00.000000Z", "evidence": {"n": n, "sum": total, "mean": mean},
        "lsn": 1_000_000 + 100 * (offset + 1), "merchant_id": 17, "offset": offset, "partition": 0, "reason": "much",
        "rule": "anomaly", "rule_version": "v1", "score": None, "severity": "high", "topic": TOPIC,
        "transaction_id": transaction, "tx_id": 1000 + offset, "user_id": 1001, **other,
    }  # fmt: skip


def message_of(payload, offset=0, timestamp=COMMIT_MS + 4000):
    value = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    return AlertMessage(payload["alert_id"].encode(), value, payload, offset, timestamp)


def archived_of(message):
    return ArchivedAlert(message.payload["alert_id"], message.payload["transaction_id"], message.value.decode())


FOUR = message_of(payload_of())
FIVE = message_of(payload_of(100_005, "2000.00", 4, 4, "630.00", "157.50", 8), 1, COMMIT_MS + 4000 + 250)


def compared(messages=(FOUR, FIVE), archived=None):
    archived = [archived_of(message) for message in (FOUR, FIVE)] if archived is None else archived
    check = partial(wrong_fields, rule="anomaly", version="v1", severity="high", topic=TOPIC)
    return compare_alerts("anomaly", VERDICT, messages, archived, check)


def test_equal_sets_are_no_failure():
    figures, failures = compared()
    assert failures == []
    # 4 was committed at 3000 - 20 and stands in Kafka at 4000 - 20; 5 at 4000 - 20 and 4250 - 20.
    assert figures == {
        "oracle": 2, "kafka": 2, "kafka_copies": 0, "delta": 2, "missing": 0, "extra": 0,
        "latency_ms": {"p50": 250, "p95": 1000, "p99": 1000},
    }  # fmt: skip


def test_an_alert_missing_in_kafka_or_delta_is_a_failure():
    for messages, archived in (([FOUR], None), ([FOUR, FIVE], [archived_of(FOUR)])):
        figures, failures = compared(messages, archived)
        assert figures["missing"] == 1
        assert failures[0] == "anomaly: 1 alerts of the oracle are not in Kafka and Delta (transactions 100005)"


def test_an_alert_that_the_oracle_has_not_is_a_failure():
    extra = message_of(payload_of(100_001, offset=0), 2)
    for messages, archived in (([FOUR, FIVE, extra], None), ([FOUR, FIVE], [*map(archived_of, (FOUR, FIVE, extra))])):
        figures, failures = compared(messages, archived)
        assert figures["extra"] == 1
        assert failures[0] == "anomaly: 1 alerts that the oracle does not have (transactions 100001)"


def test_equal_copies_in_kafka_are_counted_and_no_failure():
    figures, failures = compared([FOUR, FIVE, replace(FIVE, offset=2)])
    assert (figures["kafka_copies"], failures) == (1, [])


def test_a_copy_with_other_bytes_is_a_failure():
    _, failures = compared([FOUR, FIVE, message_of({**FIVE.payload, "reason": "more"}, 2)])
    assert failures == ["anomaly: copies of 1 alerts differ from one another (transactions 100005)"]


def test_a_message_of_another_change_of_the_same_transaction_is_a_failure():
    _, failures = compared([FOUR, FIVE, message_of({**FIVE.payload, "offset": 9}, 2)])
    assert failures == [
        "anomaly: 1 messages in Kafka are of changes that the oracle did not alert on (transactions "
        "(100005, 0, 9))"
    ]  # fmt: skip


def test_an_alert_that_stands_twice_in_delta_is_a_failure():
    _, failures = compared(archived=[archived_of(message) for message in (FOUR, FIVE, FIVE)])
    assert failures == ["anomaly: 1 alerts stand more than once in lake/alerts (transactions 100005)"]


def test_a_row_in_delta_that_is_not_the_first_message_is_a_failure():
    _, failures = compared(archived=[archived_of(FOUR), replace(archived_of(FIVE), payload="{}")])
    assert failures == [
        "anomaly: 1 alerts in lake/alerts are not the first message of their alert_id in Kafka (transactions 100005)"
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alert_id", "0" * 64), ("amount", "600.0"), ("card_type", None), ("captured_at", None), ("lsn", 1),
        ("committed_at", "2026-03-01T12:00:02.981Z"), ("event_time", "2026-03-01T12:06:00Z"), ("merchant_id", "17"),
        ("rule_version", "v2"), ("severity", "low"), ("topic", "t"), ("tx_id", None), ("user_id", 1002), ("reason", ""),
        ("evidence", {"n": 4, "sum": "30.00", "mean": "10.00"}), ("evidence", {}), ("score", 90), ("extra", 1),
        ("evidence", {"n": 3, "sum": "30.00", "mean": "10.01"}),
        ("evidence", {"n": 3, "sum": "30.01", "mean": "10.00"}),
    ],
)  # fmt: skip
def test_a_wrong_field_is_a_failure(field, value):
    _, failures = compared([message_of({**FOUR.payload, field: value}), FIVE])
    assert "anomaly: 1 alerts have wrong fields (transaction 100004 should have {" in failures[0]
    assert field in failures[0]


def test_another_key_or_order_of_fields_is_a_failure():
    backwards = json.dumps(dict(reversed(sorted(FOUR.payload.items()))), separators=(",", ":")).encode()
    for message, field in ((replace(FOUR, key=b"4"), "'key'"), (replace(FOUR, value=backwards), "'value'")):
        _, failures = compared([message, FIVE], [archived_of(message), archived_of(FIVE)])
        assert field in failures[0]


def test_figures_that_are_rounded_at_their_last_digit_are_right():
    thirds = payload_of(mean="10.00")
    thirds["evidence"] = {"n": 3, "sum": "30.00", "mean": "10", "ratio": "60.0"}
    assert compared([message_of(thirds), FIVE], [archived_of(message_of(thirds)), archived_of(FIVE)])[1] == []


PARTS = {"judged": 5, "history": 1, "unjudged": 1, "unreadable": 1}
LINES = [
    {"read": 6, "judged": 4, "history": 0, "unjudged": 1, "unreadable": 0, "ignored": 1},
    {"read": 4, "judged": 1, "history": 1, "unjudged": 0, "unreadable": 1, "ignored": 1},
]


def test_counts_that_add_up_to_the_oracles_are_no_failure():
    found, failures = compare_counts("velocity", PARTS, 2, LINES)
    assert failures == []
    assert found == {"read": 10, "judged": 5, "history": 1, "unjudged": 1, "unreadable": 1, "ignored": 2}


def test_a_batch_counted_twice_or_not_is_a_failure():
    assert "velocity: 14 messages counted as read, the oracle counts 10" in compare_counts(
        "velocity", PARTS, 2, [*LINES, LINES[1]]
    )[1]  # fmt: skip
    assert len(compare_counts("velocity", PARTS, 2, LINES[:1])[1]) == 5


def test_a_batch_whose_parts_do_not_add_up_is_a_failure():
    torn = [{**LINES[0], "read": 7}, {**LINES[1], "read": 3}]
    assert compare_counts("velocity", PARTS, 2, torn)[1] == [
        "velocity: in 2 batches the parts do not add up to what was read"
    ]


ROWS = [(1, 1001, 1000, "VISA", 17, 5), (2, 1001, None, None, None, None)]


def test_equal_rows_in_any_order_are_no_failure():
    assert compare_rows(ROWS, ROWS[::-1]) == ({"postgres_rows": 2, "delta_rows": 2, "different": 0}, [])


@pytest.mark.parametrize(
    "delta", [ROWS[:1], [*ROWS, ROWS[0]], [*ROWS, (3, *ROWS[0][1:])], [ROWS[0], (2, 1001, 0, None, None, None)]]
)
def test_a_row_lost_doubled_extra_or_altered_in_the_mirror_is_a_failure(delta):
    figures, failures = compare_rows(ROWS, delta)
    assert figures["different"] == 1
    assert failures[0].startswith("mirror: 1 rows differ (id ")


def test_the_quarantine_holds_each_unreadable_message_once_with_its_bytes():
    unreadable = {(0, 7): b"x", (1, 7): None}
    right = [(0, 7, b"x"), (1, 7, None)]
    assert compare_quarantine(unreadable, right) == []
    for rows, text in (
        (right[:1], "1 unreadable messages are not in lake/quarantine (partition, offset: (1, 7))"),
        ([*right, (0, 8, b"y")], "1 messages in lake/quarantine are readable (partition, offset: (0, 8))"),
        ([*right, right[0]], "1 messages stand more than once in lake/quarantine (partition, offset: (0, 7))"),
        ([(0, 7, b"y"), right[1]], "1 messages in lake/quarantine have other bytes than in the topic"),
    ):
        assert text in compare_quarantine(unreadable, rows)[0]


@pytest.mark.parametrize(("share", "value"), [(50, 20), (95, 40), (99, 40), (25, 10)])
def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed(share, value):
    assert percentile([10, 20, 30, 40], share) == value


def test_percentiles_of_nothing_are_none():
    assert percentile([], 50) is None


def test_precision_is_over_all_frauds_and_recall_per_kind():
    frauds = {1: "burst", 2: "burst", 3: "amount_jump"}
    found = precision_recall({"anomaly": {3, 4}, "velocity": {1}}, frauds)
    assert found["anomaly"] == {
        "alerts": 2,
        "precision": 0.5,
        "recall": {"all": 0.3333, "amount_jump": 1.0, "burst": 0.0},
    }
    assert found["velocity"] == {
        "alerts": 1,
        "precision": 1.0,
        "recall": {"all": 0.3333, "amount_jump": 0.0, "burst": 0.5},
    }
    assert found["any"]["recall"]["all"] == 0.6667


CORRECTED = judge_corrected(
    arrivals(
        messages_of("c 1..3 u1 10.00 +0/120\nc 4 u1 600.00 +360\nu 4 u1 700.00 +360 was=600.00\nd 4 u1 700.00 +360", 1),
        262_144,
    ),
    settings_for("anomaly", {}),
)


def revision_of(revision: int, status: str, **values) -> AlertMessage:
    """What the corrected rule writes: 4 alerts as message 3, is amended by 4 and withdrawn by 5."""
    changed_by = f"{TOPIC}-0-{revision + 3}" if revision else None
    given = {"offset": revision + 3, "revision": revision, "status": status, "changed_by": changed_by, **values}
    return replace(message_of(payload_of(**given)), offset=10 + revision)


REVISIONS = (
    revision_of(0, "open"),
    revision_of(1, "amended", amount="700.00"),
    revision_of(2, "withdrawn", amount="700.00", evidence={}),
)
ROW = replace(archived_of(REVISIONS[1]), status="withdrawn", revision=2)


def compared_revisions(messages=REVISIONS, row=ROW):
    check = partial(wrong_fields, rule="anomaly", version="v1", severity="high", topic=TOPIC, corrections=True)
    return compare_alerts("anomaly", CORRECTED, messages, [row], check)[1]


def test_an_alert_that_was_amended_and_withdrawn_is_right():
    assert compared_revisions() == []


def test_a_revision_that_is_missing_or_says_something_else_fails():
    assert "1 judgements of the oracle have no message" in compared_revisions(REVISIONS[:2], replace(
        ROW, status="amended", revision=1
    ))[0]  # fmt: skip
    open_again = replace(REVISIONS[1], payload={**REVISIONS[1].payload, "status": "open"})
    open_again = replace(
        open_again, value=json.dumps(open_again.payload, sort_keys=True, separators=(",", ":")).encode()
    )
    assert "should have {'status': 'amended'}" in compared_revisions((REVISIONS[0], open_again, REVISIONS[2]))[0]


def test_a_row_that_does_not_show_the_last_revision_that_stood_fails():
    stale = replace(archived_of(REVISIONS[0]), status="withdrawn", revision=2)
    assert "not the first message" in compared_revisions(row=stale)[0]


def test_a_row_without_the_newest_status_fails():
    assert "have not the status" in compared_revisions(row=archived_of(REVISIONS[1]))[0]
