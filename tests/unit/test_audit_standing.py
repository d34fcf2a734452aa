"""Which change of a row stands: the golden topics' rows, and what the database and the mirror may disagree in."""

from __future__ import annotations

from itertools import permutations

import pytest

from fraudstream.audit.rows import Stored, Suspects, Topic, classify
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


def classified(postgres=None, mirror=(), mirrored=(), behind=(), now=None, captured=True):
    found = Suspects(1)
    if postgres:
        found.postgres[1] = Stored(postgres, "5")
    if mirror:
        found.mirror[1] = list(mirror)
    topic = Topic({1: mirrored}, {1: behind}, None, captured)
    kinds, in_flight = classify(found, topic, {1: now} if now else {})
    return [kind for kind, ids in kinds.items() if ids] + ["in flight"] * len(in_flight)


def test_a_row_whose_change_the_mirror_has_not_read_yet_is_in_flight():
    assert classified(NEW, behind=[change(5, "c")], now=Stored(NEW, "5")) == ["in flight"]
    old = change(1, "c", OLD, lsn=1)
    assert classified(NEW, [old], [old], [change(5, "u", lsn=2)], Stored(NEW, "5")) == ["in flight"]
    assert classified(None, [old], [old], [change(5, "d", lsn=2)]) == ["in flight"]


def test_a_row_that_is_written_meanwhile_or_not_captured_yet_is_in_flight():
    assert classified(NEW, now=Stored(NEW, "6")) == ["in flight"]
    assert classified(NEW) == ["in flight"]  # deleted since
    assert classified(NEW, now=Stored(NEW, "5"), captured=False) == ["in flight"]


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
