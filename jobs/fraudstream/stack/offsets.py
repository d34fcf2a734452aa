"""What Connect has stored and written, read from its topics: connectors, their offsets, how far their records go."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from fraudstream.cdc.generic import read_table_change
from fraudstream.clients import AT_THE_END
from fraudstream.errors import StackError
from fraudstream.stack.kafka import admin, client, quiet_logger
from fraudstream.stack.settings import StackSettings

OFFSETS, CONFIGS = "connect-offsets", "connect-configs"
_LEADER_S = 30.0
_LSN_FIELDS = ("lsn_commit", "lsn_proc", "lsn")
# Offsets read from a partition's end in search of a record: transactions end in markers.
_TAIL = 500


def stored_lsn(settings: StackSettings, name: str) -> int | None:
    """The furthest position in the connector's stored offset; None when it has stored none."""
    newest = _newest_first(settings, OFFSETS)
    found = next((value for key, value in newest if isinstance(key, list) and key[:1] == [name]), None) or {}
    return max((int(found[field]) for field in _LSN_FIELDS if found.get(field) is not None), default=None)


def stored_connectors(settings: StackSettings) -> dict[str, dict[str, Any]]:
    """Configurations of the connectors that Connect will start by itself, read from its topic."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in _newest_first(settings, CONFIGS):
        if isinstance(key, str) and key.startswith("connector-"):
            found.setdefault(key.removeprefix("connector-"), dict(value["properties"]) if value else {})
    return {name: config for name, config in found.items() if config}


def store_lsn(settings: StackSettings, name: str, prefix: str, lsn: int) -> None:
    """Store a position as the offset of a connector that has none, in its words. It must not run."""
    _put(settings, name, prefix, json.dumps({"lsn": lsn}))


def forget_lsn(settings: StackSettings, name: str, prefix: str) -> None:
    """Delete a connector's stored offset. It must not run."""
    _put(settings, name, prefix, None)


def _put(settings: StackSettings, name: str, prefix: str, value: str | None) -> None:
    asking = admin(settings)
    if OFFSETS not in asking.list_topics(timeout=10).topics:
        topic = NewTopic(OFFSETS, num_partitions=1, replication_factor=1, config={"cleanup.policy": "compact"})
        asking.create_topics([topic])[OFFSETS].result(30)
    key = json.dumps([name, {"server": prefix}], separators=(",", ":"))
    producer = Producer({**client(settings), "enable.idempotence": True, "log_level": 0}, logger=quiet_logger())
    producer.produce(OFFSETS, value, key)
    if producer.flush(30):
        raise StackError(f"topic {OFFSETS} does not take the offset of connector {name}; see `make status`.")


def written_lsn(settings: StackSettings, prefix: str) -> int | None:
    """The furthest position that the last committed records tell of in the topics whose names begin with `prefix`:
    their own, and that of the commit before their transaction. None if there are none."""
    consumer = _consumer(settings)
    try:
        topics = consumer.list_topics(timeout=10).topics
        written = [name for name in topics if name.startswith(prefix)]
        parts = [TopicPartition(name, number) for name in written for number in topics[name].partitions]
        found = [lsn for part in parts if (lsn := _last_of(consumer, part)) is not None]
        return max(found, default=None)
    finally:
        consumer.close()


def _last_of(consumer: Consumer, part: TopicPartition) -> int | None:
    """The furthest position that a partition's last committed change tells of."""
    begin, end = consumer.get_watermark_offsets(part, timeout=10)
    found, start = None, end
    while found is None and start > begin:
        stop, start = start, max(begin, start - _TAIL)
        consumer.assign([TopicPartition(part.topic, part.partition, start)])
        while (message := consumer.poll(30)) is not None and message.error() is None and (message.offset() or 0) < stop:
            try:
                change = read_table_change(message.value())
                found = max(filter(None, (change.lsn, change.last_commit_lsn)), default=found)
            except ValueError:
                continue
    return found


def _consumer(settings: StackSettings) -> Consumer:
    return Consumer(
        {**client(settings), **AT_THE_END, "group.id": "fraudstream-guard", "enable.auto.commit": False,
         "enable.partition.eof": True, "isolation.level": "read_committed", "log_level": 0},
        logger=quiet_logger(),
    )  # fmt: skip


def _newest_first(settings: StackSettings, topic: str) -> Iterator[tuple[Any, Any]]:
    """Key and value (None for a tombstone), from JSON, of all committed records of a one-partition topic, from its end
    of now on. What is asked for at once doubles each time: the offset of a connector at work is had from a few records,
    and without one the topic is read once."""
    consumer = _consumer(settings)
    try:
        if topic not in consumer.list_topics(timeout=10).topics:
            return
        begin, stop = _ends_of(consumer, topic)
        size = _TAIL
        while stop > begin:
            start = max(begin, stop - size)
            yield from reversed(_between(consumer, topic, start, stop))
            stop, size = start, 2 * size
    finally:
        consumer.close()


def _between(consumer: Consumer, topic: str, start: int, stop: int) -> list[tuple[Any, Any]]:
    """The committed records of a one-partition topic from offset `start` to before `stop`."""
    # The last offset may be a transaction marker, which is no message but brings the position past it: to the next
    # message, or at the end to the event PARTITION_EOF.
    found: list[tuple[Any, Any]] = []
    consumer.assign([TopicPartition(topic, 0, start)])
    while (message := consumer.poll(30)) is not None:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            break
        offset = message.offset() or 0
        if error is not None or offset >= stop:
            return found
        key, value = message.key(), message.value()
        found.append((_decoded(key), json.loads(value) if value else None))
        if offset == stop - 1:
            return found
    raise StackError(f"topic {topic} cannot be read to its end within 30 s; see `make status`.")


def _ends_of(consumer: Consumer, topic: str) -> tuple[int, int]:
    """The first offset of a one-partition topic, and the one behind its last record. Right after its start a broker
    does not lead it yet and says so."""
    limit = time.monotonic() + _LEADER_S
    while True:
        try:
            begin, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
            return int(begin), int(end)
        except KafkaException:
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)


def _decoded(key: bytes | str | None) -> Any:
    """Connect's own keys are plain text in the topic of configurations, JSON in that of offsets."""
    text = key.decode() if isinstance(key, bytes) else key or ""
    try:
        return json.loads(text)
    except ValueError:
        return text
