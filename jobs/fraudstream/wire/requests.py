"""The three requests that reading takes: where a topic's partitions are, their offsets, and their records.

The versions are the first ones that name a topic by its id (brokers from 3.1 on): one made anew under the same name is
another topic, and is never read for the old one.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fraudstream.wire.client import Address
from fraudstream.wire.connection import Connection
from fraudstream.wire.errors import require
from fraudstream.wire.fields import NO_TAGS, Cursor, array, text

_FETCH, _OFFSETS, _METADATA = (1, 13), (2, 7), (3, 12)
EARLIEST, LATEST = -2, -1
COMMITTED, ANY = 1, 0  # isolation levels
_MIN_BYTES = 1


@dataclass(frozen=True)
class Topic:
    """A topic: its id, and the address of each partition's leader (None: it has none now)."""

    id: uuid.UUID
    leaders: Mapping[int, Address | None]


@dataclass(frozen=True)
class Fetched:
    """What a partition holds from an offset on: batches of records, perhaps cut off at the end."""

    code: int
    end: int  # behind the last record that may be read
    aborted: list[tuple[int, int]]  # transactions: producer, first offset
    records: memoryview


def ask_topic(connection: Connection, name: str) -> Topic:
    """The topic. Raises BrokerError if there is none or it may not be seen."""
    wanted = bytes(16) + text(name) + NO_TAGS
    found = connection.call(*_METADATA, array([wanted]) + b"\x00\x00" + NO_TAGS)
    found.int32()
    brokers = dict(found.array(lambda: _broker(found)))
    found.text()
    found.int32()
    ((code, topic_id, partitions),) = found.array(lambda: _topic(found))
    require(code, f"topic {name}")
    return Topic(topic_id, {number: brokers.get(leader) for number, leader in partitions})


def _broker(found: Cursor) -> tuple[int, Address]:
    number, address = found.int32(), (found.text(), found.int32())
    found.text()
    found.tags()
    return number, address


def _topic(found: Cursor) -> tuple[int, uuid.UUID, list[tuple[int, int]]]:
    code, _, topic_id, _ = found.int16(), found.text(), found.uuid(), found.int8()
    partitions = found.array(lambda: _partition(found))
    found.int32()
    found.tags()
    return code, topic_id, partitions


def _partition(found: Cursor) -> tuple[int, int]:
    _, number, leader, _ = found.int16(), found.int32(), found.int32(), found.int32()
    for _ in range(3):
        found.array(found.int32)
    found.tags()
    return number, leader


def ask_offsets(
    connection: Connection, topic: str, partitions: Iterable[int], time: int, isolation: int
) -> dict[int, int]:
    """EARLIEST: the first offset of each partition; LATEST: behind the last record that may be read, which for
    COMMITTED is where the first open transaction begins. Raises BrokerError."""
    asked = array(struct.pack(">iiq", number, -1, time) + NO_TAGS for number in partitions)
    body = struct.pack(">ib", -1, isolation) + array([text(topic) + asked + NO_TAGS]) + NO_TAGS
    found = connection.call(*_OFFSETS, body)
    found.int32()
    offsets: dict[int, int] = {}

    def read_partition() -> None:
        number, code, _, offset, _ = found.int32(), found.int16(), found.int64(), found.int64(), found.int32()
        found.tags()
        require(code, f"the offsets of {topic}-{number}")
        offsets[number] = offset

    def read_topic() -> None:
        found.text()
        found.array(read_partition)
        found.tags()

    found.array(read_topic)
    return offsets


@dataclass(frozen=True)
class Limits:
    """Of one fetch: bytes, and the milliseconds to wait for the first one."""

    most_bytes: int
    wait_ms: int = 500


def send_fetch(
    connection: Connection, topic: uuid.UUID, partition: int, offset: int, limits: Limits, isolation: int
) -> None:
    """Ask for a partition's records from `offset` on; `receive_fetch` has the answer."""
    head = struct.pack(">iiiibii", -1, limits.wait_ms, _MIN_BYTES, limits.most_bytes, isolation, 0, -1)
    place = struct.pack(">iiqiqi", partition, -1, offset, -1, -1, limits.most_bytes) + NO_TAGS
    body = head + array([topic.bytes + array([place]) + NO_TAGS]) + array([]) + text("") + NO_TAGS
    connection.send(*_FETCH, body)


def receive_fetch(connection: Connection, what: str) -> Fetched:
    """The answer to a fetch of one partition. Raises BrokerError where the request as a whole is refused."""
    found = connection.receive()
    found.int32()
    require(found.int16(), what)
    found.int32()
    ((part,),) = found.array(lambda: _of_topic(found))
    return part


def _of_topic(found: Cursor) -> list[Fetched]:
    found.uuid()
    parts = found.array(lambda: _of_partition(found))
    found.tags()
    return parts


def _of_partition(found: Cursor) -> Fetched:
    _, code, _, end, _ = found.int32(), found.int16(), found.int64(), found.int64(), found.int64()

    def transaction() -> tuple[int, int]:
        pair = found.int64(), found.int64()
        found.tags()
        return pair

    aborted = found.array(transaction)
    found.int32()
    records = found.bytes()
    found.tags()
    return Fetched(code, end, aborted, records)
