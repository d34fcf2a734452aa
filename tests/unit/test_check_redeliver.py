"""Redeliveries: seeded, byte for byte, at the distances that matter, and the newest change of a row stays its last."""

from __future__ import annotations

import pytest

from fraudstream.cdc.envelope import read_change_event
from fraudstream.check import redeliver
from fraudstream.check.redeliver import Redelivery
from fraudstream.check.topic import Record
from golden.topics import messages_of


class Topic:
    """A topic in memory that a redelivery reads and writes; `late` originals come between a copy's order and itself."""

    def __init__(self, seed, lines, late=()):
        self.records, self.copies = [], {}
        self._read = 0
        self._redelivery = Redelivery(seed)
        for message in messages_of(lines, 1):
            self._append(message)
        self._late = list(late)

    def run(self, choose=True):
        while self._read < len(self.records):
            record = self.records[self._read]
            self._read += 1
            for copy in self._redelivery.copies_after(record, choose=choose):
                for message in messages_of("\n".join(self._late), 1) if self._late else ():
                    self._append(message)
                self._late = []
                position = self._append(copy)
                self._redelivery.sent(copy, *position)
                self.copies[position] = copy
        return self

    def _append(self, message):
        offset = len(self.records)
        parts = (message.key, message.value, tuple(message.headers), 0)
        self.records.append(Record(message.partition, offset, *parts))
        return message.partition, offset

    @property
    def unseen(self):
        return self._redelivery.unseen


MANY = "c 1..4000 u1 10.00 +0/1"


def test_the_same_seed_and_topic_give_the_same_copies():
    assert Topic(7, MANY).run().copies == Topic(7, MANY).run().copies
    assert Topic(7, MANY).run().copies != Topic(8, MANY).run().copies


def test_a_copy_has_the_bytes_and_the_partition_of_its_original():
    topic = Topic(1, "c 1..500 u1 10.00 +0/1 p=1").run()
    assert topic.copies
    for (partition, offset), original in topic.copies.items():
        copy = next(each for each in topic.records if (each.partition, each.offset) == (partition, offset))
        assert (copy.partition, copy.key, copy.value, copy.headers) == original[0:1] + original[2:5]


def test_copies_come_soon_around_64_rows_and_far_beyond(monkeypatch):
    distances = []
    redelivery = Redelivery(3)
    for message in messages_of(MANY, 1):
        record = Record(message.partition, message.offset, message.key, message.value, message.headers, 0)
        distances += [record.offset - copy.offset for copy in redelivery.copies_after(record)]
    for low, high in ((0, 5), (50, 64), (65, 80), (100, 250)):
        assert any(low <= distance <= high for distance in distances)
    assert 20 <= len(distances) <= 60


@pytest.fixture
def always(monkeypatch):
    """Every change is redelivered at once."""
    monkeypatch.setattr(redeliver, "_SHARE", 1.0)
    monkeypatch.setattr(redeliver, "_DELAYS", ((1, 0, 0),))


def test_the_newest_change_of_a_row_is_its_last_again(always):
    topic = Topic(1, "c 1 u1 10.00 +0", late=["u 1 u1 20.00 +0 was=10.00", "d 1 u1 20.00 +0"]).run()
    assert [read_change_event(record.value).op for record in topic.records][:4] == ["c", "u", "d", "c"]
    assert read_change_event(topic.records[-1].value).op == "d"
    assert topic.unseen == 0


def test_nothing_new_is_chosen_while_it_ends(always):
    topic = Topic(1, "c 1..5 u1 10.00 +0/1").run(choose=False)
    assert topic.copies == {}


def test_messages_without_a_row_are_passed_over(always):
    assert Topic(1, "tombstone u1\nheartbeat\nraw no JSON\nt").run().copies == {}
