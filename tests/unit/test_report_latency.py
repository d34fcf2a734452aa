"""Latency of alerts in all and by stage, worked out by hand."""

from __future__ import annotations

from math import isnan

import pytest

from fraudstream.check import latency
from fraudstream.check.latency import STAGES, Batch, Latencies, Stamps, epoch_ms

COMMITTED = "2026-11-23T06:41:51.100Z"
MS = 1795416111100


def alert(number: int, committed: str | None, captured: str | None = None, partition=0, offset=0):
    """What an alert's message says of these."""
    return {
        "alert_id": f"a{number}", "committed_at": committed, "captured_at": captured, "partition": partition,
        "offset": offset,
    }  # fmt: skip


def test_latency_is_from_the_commit_to_kafkas_timestamp_of_the_first_copy():
    found = Latencies()
    assert epoch_ms(COMMITTED) == MS
    for at in (MS + 500, MS + 8899):
        found.add(alert(1, COMMITTED, "2026-11-23T06:41:51.150Z"), at)
    assert list(found.total) == [500]
    assert list(found.capture) == [50]
    assert found.copies == 1


def test_an_alert_without_a_commit_time_is_counted_but_has_no_latency():
    found = Latencies()
    found.add(alert(1, None), 1000)
    found.add(alert(2, "1970-01-01T00:00:02.000Z"), 2500)
    assert len(found.at) == 2
    assert found.between(0, 10).tolist() == [500]
    assert found.latest(2.0).tolist() == [500]
    assert found.latest(3.0).tolist() == []


def test_alerts_between_two_times_leave_out_the_later_ones():
    found = Latencies()
    for number, (second, ms) in enumerate([("01.000", 1100), ("02.900", 3000), ("04.000", 4300)]):
        found.add(alert(number, f"1970-01-01T00:00:{second}Z"), ms)
    assert found.between(1, 4).tolist() == [100, 100]


def of_three(stamps: Stamps) -> Latencies:
    """Committed at 0, 10 and 20 ms after MS, read 5, 6 and 9 ms later, in the topic at 8, 20 and 35."""
    found = Latencies()
    for number, (committed, captured, arrived, at) in enumerate(
        [("100", "105", 8, 130), ("110", "116", 20, 190), ("120", "129", 35, 200)]
    ):
        stamps.note(0, 2 * number, MS + arrived)
        second = "2026-11-23T06:41:51.{}Z"
        found.add(alert(number, second.format(committed), second.format(captured), 0, 2 * number), MS + at, stamps)
    return found


def test_from_the_record_on_an_alert_takes_what_is_left_of_those_whose_record_was_seen():
    found = of_three(Stamps())
    found.add(alert(9, COMMITTED, None, 3, 77), MS + 999)  # a record that was not seen
    begin = MS / 1000
    assert latency.since_record(found, (begin, begin + 1)).tolist() == [122, 170, 165]
    assert latency.since_record(found, (begin + 0.005, begin + 0.015)).tolist() == [170]
    assert latency.since_record(Latencies(), (0, 1)).tolist() == []


def test_an_alert_that_is_read_before_its_record_gets_the_records_time_when_that_comes():
    stamps, found = Stamps(), Latencies()
    for number, offset in enumerate([4, 2, 6]):
        found.add(alert(number, COMMITTED, None, 1, offset), MS + 100 + number, stamps)
    found.meet(stamps)
    begin = MS / 1000
    assert latency.since_record(found, (begin, begin + 1)).tolist() == []
    stamps.note(1, 4, MS + 60)  # the one at 2 was in front of what is read
    found.meet(stamps)
    assert latency.since_record(found, (begin, begin + 1)).tolist() == [40]
    assert found.early == [2], "no longer waited for is what was found or passed over"
    stamps.note(1, 6, MS + 90)
    found.meet(stamps)
    assert latency.since_record(found, (begin, begin + 1)).tolist() == [40, 12]
    assert found.early == []


def test_stages_are_the_medians_of_what_lies_between_two_moments():
    found = of_three(Stamps())
    batches = [
        Batch(MS - 500, MS - 480, {0: 0, 1: 9}), Batch(MS + 40, MS + 50, {0: 1, 1: 9}),
        Batch(MS + 140, MS + 163, {0: 5, 1: 9}),
    ]  # fmt: skip
    window = (MS / 1000 - 1, MS / 1000 + 1)
    # To the batch's begin: 40 - 8, 140 - 20, 140 - 35; planning 10, 23, 23; then 130 - 50, 190 - 163, 200 - 163.
    assert latency.stages(found, batches, window) == {
        "commit_to_capture": 6, "capture_to_topic": 4, "topic_to_batch": 105, "batch_to_work": 23,
        "work_to_alert": 37,
    }  # fmt: skip
    # In real time there is no batch to wait for: 130 - 8, 190 - 20, 200 - 35.
    assert latency.stages(found, [], window) == {
        "commit_to_capture": 6, "capture_to_topic": 4, "topic_to_batch": None, "batch_to_work": None,
        "work_to_alert": 165,
    }  # fmt: skip
    assert latency.stages(found, batches, (MS / 1000 + 1, MS / 1000 + 2)) == dict.fromkeys(STAGES)


def test_an_alert_of_a_batch_that_is_not_reported_yet_is_left_out():
    found = of_three(Stamps())
    window = (MS / 1000 - 1, MS / 1000 + 1)
    assert latency.stages(found, [Batch(MS + 40, MS + 60, {0: 1})], window)["work_to_alert"] == 70


@pytest.mark.parametrize("kept", [3, 500_000])
def test_a_records_stamp_is_found_by_its_place_if_it_is_not_too_old(monkeypatch, kept):
    monkeypatch.setattr(latency, "_KEPT", kept)
    stamps = Stamps()
    for number in range(10):
        stamps.note(1, 3 * number, 100.0 + number)
    assert stamps.of(1, 27) == 109.0
    assert stamps.of(1, 21) == 107.0
    assert isnan(stamps.of(1, 22))
    assert isnan(stamps.of(1, 28))
    assert isnan(stamps.of(0, 27))
    assert stamps.of(1, 0) == 100.0 if kept > 10 else isnan(stamps.of(1, 0))
