"""A range of a partition's offsets, read to its end or refused."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from fraudstream.errors import GuardError
from fraudstream.wire.batches import Batch, read_batches
from fraudstream.wire.client import Address, Client
from fraudstream.wire.cluster import PATIENCE, connect, drop, require_same, unanswered
from fraudstream.wire.errors import (
    INCONSISTENT_TOPIC_ID,
    OFFSET_OUT_OF_RANGE,
    PASSING,
    UNKNOWN_TOPIC,
    UNKNOWN_TOPIC_ID,
    BrokerError,
    require,
)
from fraudstream.wire.records import Records, read_records
from fraudstream.wire.requests import Fetched, Limits, receive_fetch, send_fetch

CHUNK = 4000  # records: with 1,000 a task took 2.1 us a record, with 4,000 1.8, with 8,000 1.9
# 4 MiB took 0.34 us an event to receive and decompress, 1 MiB and 16 MiB 0.36.
_LIMITS = Limits(4 << 20)
_PAUSE = 0.2
_OTHER_TOPIC = (UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID)


@dataclass(frozen=True)
class Range:
    """The offsets [start, end) of a partition of a topic, and where its leader was."""

    topic: str
    topic_id: uuid.UUID
    partition: int
    start: int
    end: int
    leader: Address | None

    @property
    def name(self) -> str:
        """The partition's name."""
        return f"{self.topic}-{self.partition}"


def read_range(client: Client, wanted: Range, isolation: int) -> Iterator[Records]:
    """All records in the range, in order, about CHUNK at a time. Its last offsets may have none.

    Raises GuardError if records are gone, if the topic is another one now, or if Kafka does not answer.
    """
    position, leader = wanted.start, wanted.leader
    waiting: float | None = None  # since when nothing has come
    while position < wanted.end:
        try:
            leader = leader or require_same(client, wanted.topic, wanted.topic_id).leaders.get(wanted.partition)
            for fetched, asked in _fetches(client, wanted, position, leader, isolation):
                _require_readable(wanted, fetched, asked)
                for batches in _chunks(fetched, wanted):
                    records = read_records(batches, position, wanted.end)
                    position = max(position, batches[-1].next)
                    yield records
                if position > asked:
                    waiting = None
                else:
                    waiting = waiting or time.monotonic()
                    if time.monotonic() - waiting >= PATIENCE:
                        raise _gone(wanted, f"the broker has nothing from offset {position} on")
        except (OSError, ValueError, BrokerError) as error:
            if isinstance(error, BrokerError) and error.code not in (*PASSING, *_OTHER_TOPIC):
                raise
            waiting = waiting or time.monotonic()
            if time.monotonic() - waiting >= PATIENCE:
                raise unanswered(client, error) from error
            leader = None
            time.sleep(_PAUSE)


def _fetches(
    client: Client, wanted: Range, position: int, leader: Address | None, isolation: int
) -> Iterator[tuple[Fetched, int]]:
    """What the leader has from the position to the range's end, and the offset from which that was asked. The next
    fetch is asked for before this one is read: the broker works meanwhile."""
    if leader is None:
        raise ConnectionError(f"{wanted.name} has no leader")
    connection = connect(client, leader)
    is_done = False
    try:
        if not connection.is_idle:
            raise ConnectionError("an answer is still awaited")
        send_fetch(connection, wanted.topic_id, wanted.partition, position, _LIMITS, isolation)
        while position < wanted.end:
            asked, fetched = position, receive_fetch(connection, wanted.name)
            position = _next_offset(fetched, asked)
            if position < wanted.end:
                send_fetch(connection, wanted.topic_id, wanted.partition, position, _LIMITS, isolation)
            yield fetched, asked
        is_done = True
    finally:
        if not is_done:
            drop(client, leader)


def _next_offset(fetched: Fetched, asked: int) -> int:
    """Behind the last whole batch."""
    position, at, data = asked, 0, fetched.records
    while len(data) - at >= 61:
        size = int.from_bytes(data[at + 8 : at + 12], "big")
        if at + 12 + size > len(data):
            break
        last = int.from_bytes(data[at + 23 : at + 27], "big")
        position = int.from_bytes(data[at : at + 8], "big") + last + 1
        at += 12 + size
    return position


def _chunks(fetched: Fetched, wanted: Range) -> Iterator[list[Batch]]:
    chunk: list[Batch] = []
    count = 0
    for batch in read_batches(fetched.records, fetched.aborted):
        chunk.append(batch)
        count += batch.count
        if count >= CHUNK:
            yield chunk
            chunk, count = [], 0
        if batch.next >= wanted.end:
            break
    if chunk:
        yield chunk


def _require_readable(wanted: Range, fetched: Fetched, asked: int) -> None:
    if fetched.code == OFFSET_OUT_OF_RANGE:
        raise _gone(wanted, f"offset {asked} is not there any more")
    require(fetched.code, wanted.name)


def _gone(wanted: Range, what: str) -> GuardError:
    return GuardError(
        f"{wanted.name}: records between offsets {wanted.start} and {wanted.end} are gone before they were judged "
        f"({what}): the topic's retention has deleted them, or its data was lost.",
        "records-gone",
    )
