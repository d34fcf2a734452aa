"""Redeliveries on the real topic: byte-equal copies of changes, as a connector sends them that starts again.

A copy comes after some more rows of its user: soon (inside every horizon), around the 64 rows that a history
remembers, or far beyond. A real redelivery repeats all that followed, in order; so where a newer change of the same row
turns out to have come before a copy, that change is sent again too, and the newest change of a row is its last again.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from confluent_kafka import Consumer, Producer, TopicPartition

from fraudstream.cdc.envelope import UnreadableMessage, read_change_event
from fraudstream.check.topic import Record, consumer_settings, partitions_of, record_of
from fraudstream.clients import librdkafka
from fraudstream.errors import StackError

_SHARE = 0.01  # of the changes
# Rows of the user between a change and its copy, and how often: (weight, fewest, most).
_DELAYS = ((5, 0, 5), (3, 50, 80), (1, 100, 250))


class Redelivery:
    """What to send again: the same seed and changes give the same copies, however the partitions come interleaved."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rows: dict[int, int] = defaultdict(int)  # user -> changes so far
        self._due: dict[tuple[int, int], list[Record]] = defaultdict(list)  # (user, its changes so far) -> copies
        self._newest: dict[tuple[int, int], Record] = {}  # (id, partition) -> the row's newest change there
        self._unseen: dict[tuple[int, int], Record] = {}  # position of a copy -> what it copies

    @property
    def unseen(self) -> int:
        """Copies that were sent and have not been consumed yet."""
        return len(self._unseen)

    def sent(self, original: Record, partition: int, offset: int) -> None:
        """A copy of `original` has this position."""
        self._unseen[partition, offset] = original

    def copies_after(self, record: Record, *, choose: bool = True) -> list[Record]:
        """The records to send again now that `record` has been consumed; with `choose` off only what older copies
        make necessary."""
        try:
            event = read_change_event(record.value, record.headers)
        except UnreadableMessage:
            return []
        row = event.row
        if row is None:
            return []
        copied = self._unseen.pop((record.partition, record.offset), None)
        if copied is not None:
            newest = self._newest[row.id, record.partition]
            return [] if newest == copied else [newest]
        self._newest[row.id, record.partition] = record
        self._rows[row.user_id] += 1
        now = self._rows[row.user_id]
        chance = crc32(f"{self._seed} {row.id} {event.op}".encode())
        if choose and chance < _SHARE * 2**32:
            self._due[row.user_id, now + _delay(chance)].append(record)
        return self._due.pop((row.user_id, now), []) if choose else []


def _delay(chance: int) -> int:
    random = Random(chance)
    _, fewest, most = random.choices(_DELAYS, [weight for weight, _, _ in _DELAYS])[0]
    return random.randint(fewest, most)


@contextlib.contextmanager
def redelivering(
    bootstrap: str, topic: str, log: Path, seed: int, options: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Redeliver changes of the topic as long as the block lasts; each copy is a line {partition, offset, of} of `log`.
    At the end, waits until every copy has come and no older change is a row's last.

    Raises StackError at the end if the broker refused a copy or stopped answering.
    """
    stop = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            _run(bootstrap, topic, log, seed, options, stop)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="redeliver", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]


def _run(
    bootstrap: str, topic: str, log: Path, seed: int, options: Mapping[str, str] | None, stop: threading.Event
) -> None:
    settings = consumer_settings(bootstrap, options)
    consumer = Consumer({**settings, "group.id": "fraudstream-redeliver", "fetch.wait.max.ms": 50})
    producer = Producer(
        {**librdkafka(options or {}), "bootstrap.servers": bootstrap, "linger.ms": 0, "enable.idempotence": True}
    )
    redelivery = Redelivery(seed)
    idle = 0
    try:
        _assign(consumer, topic, stop)
        with log.open("a", encoding="utf-8") as file:
            while not stop.is_set() or redelivery.unseen:
                messages = [each for each in consumer.consume(1000, timeout=0.1) if each.error() is None]
                idle = 0 if messages or not stop.is_set() else idle + 1
                if idle > 300:
                    raise StackError(f"topic {topic}: {redelivery.unseen} redelivered changes do not come back.")
                choose = not stop.is_set()
                copies = [copy for each in messages for copy in redelivery.copies_after(record_of(each), choose=choose)]
                _send(producer, topic, copies, redelivery, file)
    finally:
        consumer.close()


def _assign(consumer: Consumer, topic: str, stop: threading.Event) -> None:
    """Read all partitions from the beginning; the topic is there once its first change was captured."""
    while not stop.wait(0.5):
        with contextlib.suppress(StackError):
            partitions = partitions_of(consumer, topic)
            consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            return


def _send(producer: Producer, topic: str, copies: list[Record], redelivery: Redelivery, file: Any) -> None:
    """Produce the copies and wait for their positions: they have to be known before they are consumed."""
    for copy in copies:

        def delivered(error: Any, message: Any, copy: Record = copy) -> None:
            if error is not None:
                raise StackError(f"topic {topic}: a redelivery was refused: {error}")
            redelivery.sent(copy, message.partition(), message.offset())
            line = {"partition": message.partition(), "offset": message.offset(), "of": [copy.partition, copy.offset]}
            file.write(json.dumps(line) + "\n")
            file.flush()

        producer.produce(
            topic, copy.value, copy.key, copy.partition, on_delivery=delivered, headers=list(copy.headers) or None
        )
    if copies and producer.flush(30):
        raise StackError(f"topic {topic}: a redelivery was not confirmed within 30 s; see the broker's log.")
