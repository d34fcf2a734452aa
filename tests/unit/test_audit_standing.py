"""Which change of a row stands: the golden topics' rows, what the database and the mirror may disagree in, and what
cannot be told while the capture has not come far enough."""

from __future__ import annotations

from itertools import permutations

import pytest

from fraudstream.audit import rows
from fraudstream.audit.rows import Stored, Suspects, Topic, classify, part_of, wait_for_capture
from fraudstream.audit.standing import Change, change_of, standing
from fraudstream.check.oracle import arrivals
from golden.topics import goldens

STATED = [golden for golden in goldens() if golden.rows is not None]
OLD, NEW = (7, 1000, "VISA", 1, 5, 5), (7, 2000, "VISA", 1, 5, 5)


@pytest.mark.parametrize("golden", STATED, ids=lambda golden: golden.name)
def test_the_changes_of_a_golden_topic_leave_its_rows(golden):
    changes, truncated = {}, None
    for arrival in arrivals(golden.messages, 262_144):
        if arrival.event and arrival.event.op == "t":
            truncated = max(truncated or -1, arrival.event.lsn)
        elif arrival.event and arrival.event.row:
            changes.setdefault(arrival.row.id, []).append(change_of(arrival.event, arrival.partition, arrival.offset))
    last = {number: standing(each, truncated) for number, each in changes.items()}
    found = {number: (each.row[0], each.row[1]) for number, each in last.items() if each.row}
    assert found == {
        number: (user, None if amount is None else int(amount.replace(".", "")))
        for number, (user, amount) in golden.rows.items()
    }


def change(offset: int, op: str, row=NEW, lsn: int | None = 0, partition: int = 0, at: int = 0) -> Change:
    return Change(partition, offset, op, lsn, at, None if op == "d" else row)


def test_a_row_of_an_incremental_snapshot_is_as_new_as_its_place():
    missed = [change(1, "c", OLD, lsn=10), change(2, "r", NEW, lsn=None)]
    assert standing(missed) == missed[1]
    assert standing([*missed, change(3, "u", OLD, lsn=5)]).row == OLD  # streamed later
    assert standing([change(1, "c", OLD, lsn=10), change(2, "r", NEW, lsn=9)]).row == OLD  # an initial one is older


def test_across_partitions_an_incremental_row_is_ordered_by_the_time_of_its_reading():
    moved = [change(9, "c", OLD, lsn=10, at=100), change(2, "r", NEW, lsn=None, partition=1, at=200)]
    assert all(standing(each).row == NEW for each in permutations(moved))
    later = change(10, "u", OLD, lsn=12, at=300)
    assert all(standing(each).row == OLD for each in permutations([*moved, later]))


def test_a_truncate_takes_the_rows_before_it():
    assert standing([change(1, "c", lsn=10)], truncated=11).row is None
    assert standing([change(1, "c", lsn=12)], truncated=11).row == NEW
    assert standing([]) is None


def classified(postgres=None, mirror=(), mirrored=(), behind=(), now=None):
    found = Suspects(1)
    if postgres:
        found.postgres[1] = Stored(postgres, "5")
    if mirror:
        found.mirror[1] = list(mirror)
    topic = Topic({1: mirrored}, {1: behind}, None)
    kinds, in_flight = classify(found, topic, {1: now} if now else {})
    return [kind for kind, ids in kinds.items() if ids] + ["in flight"] * len(in_flight)


def test_a_row_whose_change_the_mirror_has_not_read_yet_is_in_flight():
    assert classified(NEW, behind=[change(5, "c")], now=Stored(NEW, "5")) == ["in flight"]
    old = change(1, "c", OLD, lsn=1)
    assert classified(NEW, [old], [old], [change(5, "u", lsn=2)], Stored(NEW, "5")) == ["in flight"]
    assert classified(None, [old], [old], [change(5, "d", lsn=2)]) == ["in flight"]


def test_a_row_that_is_written_meanwhile_is_in_flight():
    assert classified(NEW, now=Stored(NEW, "6")) == ["in flight"]
    assert classified(NEW) == ["in flight"]  # deleted since


def test_a_row_that_the_topic_has_and_the_mirror_lacks_is_not_mirrored():
    assert classified(NEW, mirrored=[change(1, "c")], now=Stored(NEW, "5")) == ["row_not_mirrored"]
    altered = change(1, "c", OLD)
    assert classified(NEW, [altered], [change(1, "c")], now=Stored(NEW, "5")) == ["row_not_mirrored"]
    undeleted = change(1, "c")
    assert classified(None, [undeleted], [undeleted, change(2, "d", lsn=2)]) == ["row_not_mirrored"]
    assert classified(NEW, [change(1, "c"), change(1, "c")], [change(1, "c")], now=Stored(NEW, "5")) == [
        "row_not_mirrored"
    ]


def test_a_row_that_never_came_is_not_captured_and_one_that_was_never_deleted_a_ghost():
    assert classified(NEW, now=Stored(NEW, "5")) == ["row_not_captured"]
    old = change(1, "c", OLD)
    assert classified(NEW, [old], [old], now=Stored(NEW, "5")) == ["row_not_captured"]
    assert classified(None, [old], [old]) == ["row_ghost"]


def test_what_the_topic_lacks_is_unknown_and_no_finding_while_the_capture_is_behind():
    kinds = {"row_not_captured": [7, 8], "row_not_mirrored": [5], "row_ghost": [3]}
    known, unknown = part_of(Suspects(1), kinds, [9]), part_of(Suspects(1), kinds, [9], "the capture stands still")
    assert [each.kind for each in known.findings] == ["row_not_captured", "row_not_mirrored", "row_ghost"]
    assert known.incomplete == []
    assert [each.kind for each in unknown.findings] == ["row_not_mirrored"]
    assert unknown.incomplete == [
        "3 rows (ids 3, 7-8) whose state the topic lacks, lost or on its way: the capture stands still"
    ]
    assert known.figures["in_flight"] == unknown.figures["in_flight"] == 1
    assert part_of(Suspects(1), {"row_not_mirrored": [5]}, [9], "the capture stands still").incomplete == []


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("position", "waits", "reason"),
    [
        (lambda now: 100, 0, None),
        (lambda now: int(2 * now), 50, None),  # it moves on: waited for longer than the 10 s of one that stands
        (lambda now: 5, 10, "after 10 s the capture is at 0/5 and has not passed 0/64, the end of the log"),
        (lambda now: int(min(now, 7)), 17, "after 17 s the capture is at 0/7 and"),
        (lambda now: int(now / 2), 100, "after 100 s the capture is at 0/32 and"),  # it moves, but not for ever
        (lambda now: -1, 10, "where the capture stands is unknown"),
    ],
)
def test_a_capture_is_waited_for_as_long_as_it_moves_and_it_is_said_why_it_did_not_come(
    monkeypatch, position, waits, reason
):
    clock = Clock()
    monkeypatch.setattr(rows, "time", clock)
    said = wait_for_capture(100, lambda: position(clock.now), 10)
    assert clock.now == waits
    assert said is None if reason is None else said.startswith(reason)


def test_a_capture_that_is_not_to_be_waited_for_is_asked_once():
    assert wait_for_capture(100, lambda: 100, 0) is None
    assert wait_for_capture(100, lambda: 99, 0).startswith("after 0 s the capture is at 0/63 and has not passed 0/64")
