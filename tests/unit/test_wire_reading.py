"""Reading a range of offsets: to its end, once each, whatever the broker does meanwhile; or refused by name."""

from __future__ import annotations

import uuid

import pytest

from fixtures.batches import TRANSACTIONAL, Message, batch, marker
from fixtures.broker import Broker, serving
from fraudstream.errors import GuardError
from fraudstream.wire import cluster, reading
from fraudstream.wire.client import Client, client_of
from fraudstream.wire.errors import BrokerError
from fraudstream.wire.reading import Range, read_range
from fraudstream.wire.requests import COMMITTED, EARLIEST, LATEST

LEADER_ELSEWHERE, STORAGE, DENIED = 6, 56, 29


@pytest.fixture
def broker(monkeypatch):
    """A broker of a topic with ten batches of ten records."""
    for module in (cluster, reading):
        monkeypatch.setattr(module, "_PAUSE", 0.01)
    found = Broker()
    for base in range(0, 100, 10):
        values = [Message(b"%d" % number) for number in range(base, base + 10)]
        found.partitions[0].add(base, batch(base, values, "lz4"), base + 10)
    with serving(found):
        yield found


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits for a broker."""
    for module in (cluster, reading):
        monkeypatch.setattr(module, "PATIENCE", 0.2)


def client(broker: Broker) -> Client:
    return client_of({"kafka.bootstrap.servers": broker.address})


def read(broker: Broker, start: int = 0, end: int = 100, **changes) -> list[int]:
    """The values in the range, as numbers."""
    wanted = {"topic_id": broker.id, "leader": ("127.0.0.1", broker.port), **changes}
    parts = read_range(client(broker), Range("topic", partition=0, start=start, end=end, **wanted), COMMITTED)
    return [int(part.value(place) or b"-1") for part in parts for place in range(len(part))]


@pytest.mark.parametrize(("start", "end"), [(0, 100), (0, 1), (15, 16), (9, 31), (99, 100), (50, 50)])
@pytest.mark.parametrize("most_bytes", [1, 200, 1 << 20])
def test_a_range_is_read_to_its_end_however_it_is_cut(broker, start, end, most_bytes):
    broker.most_bytes = most_bytes
    assert read(broker, start, end) == list(range(start, end))


def test_the_ends_of_the_topic_are_asked_for_by_the_same_client(broker):
    broker.partitions[0].first = 20
    topic, first = cluster.offsets_of(client(broker), "topic", EARLIEST, COMMITTED)
    assert (topic.id, topic.leaders, first) == (broker.id, {0: ("127.0.0.1", broker.port)}, {0: 20})
    assert cluster.offsets_of(client(broker), "topic", LATEST, COMMITTED)[1] == {0: 100}


@pytest.mark.parametrize("codes", [[None], [LEADER_ELSEWHERE, STORAGE], [0, None, None], [0, 0, LEADER_ELSEWHERE]])
def test_what_passes_is_waited_for_and_nothing_is_read_twice(broker, codes):
    broker.codes, broker.most_bytes = list(codes), 250
    assert read(broker) == list(range(100))


def test_a_leader_that_is_not_known_is_asked_for(broker):
    assert read(broker, leader=None) == list(range(100))
    assert read(broker, leader=("127.0.0.1", 1)) == list(range(100))


def test_a_range_may_end_in_markers_and_in_what_was_aborted(broker):
    part = broker.partitions[0]
    part.add(100, batch(100, [Message(b"666")], producer=7, attributes=TRANSACTIONAL), 101)
    part.add(101, marker(101, 7, commit=False), 102)
    part.aborted = [(7, 100)]
    part.add(102, batch(102, [], last=7), 110)  # all of it compacted away
    assert read(broker, 0, 110) == list(range(100))
    assert read(broker, 100, 110) == []
    assert read(broker, 103, 105) == []


def test_records_that_retention_has_deleted_are_missed(broker):
    broker.partitions[0].first = 50
    with pytest.raises(GuardError, match="records-gone"):
        read(broker, 40, 60)
    assert read(broker, 50, 60) == list(range(50, 60))


def test_records_that_the_broker_lost_are_missed(broker, impatient):
    with pytest.raises(GuardError, match="records-gone"):
        read(broker, 90, 120)


def test_a_topic_made_anew_is_not_read_for_the_old_one(broker):
    with pytest.raises(GuardError, match="topic-replaced"):
        read(broker, topic_id=uuid.uuid4())


def test_a_topic_that_is_gone_is_missed(broker):
    known, broker.id, broker.name = broker.id, uuid.uuid4(), "another"
    with pytest.raises(GuardError, match="topic-missing"):
        read(broker, topic_id=known)


def test_a_broker_that_does_not_answer_is_named(broker, impatient):
    broker.codes = [None] * 1000
    with pytest.raises(GuardError, match="kafka-down"):
        read(broker)
    nobody = client_of({"kafka.bootstrap.servers": "127.0.0.1:1"})
    with pytest.raises(GuardError, match="kafka-down"):
        cluster.topic_of(nobody, "topic")


def test_a_refusal_is_not_waited_out(broker):
    broker.codes = [DENIED]
    with pytest.raises(BrokerError, match="TOPIC_AUTHORIZATION_FAILED"):
        read(broker)


def test_a_range_that_is_left_early_leaves_nothing_behind(broker):
    broker.most_bytes = 200
    parts = read_range(client(broker), Range("topic", broker.id, 0, 0, 100, None), COMMITTED)
    next(parts)
    parts.close()
    assert read(broker) == list(range(100))
