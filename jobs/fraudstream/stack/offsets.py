"""What Connect has stored and written, read from its topics: connectors, their offsets, how far their records go."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
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
    found: int | None = None
    for key, value in _records(settings, OFFSETS):
        if isinstance(key, list) and key[:1] == [name]:
            positions = [int(value[field]) for field in _LSN_FIELDS if value.get(field) is not None] if value else []
            found = max(positions, default=None)
    return found


def stored_connectors(settings: StackSettings) -> dict[str, dict[str, Any]]:
    """Configurations of the connectors that Connect will start by itself, read from its topic."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in _records(settings, CONFIGS):
        if isinstance(key, str) and key.startswith("connector-"):
            found[key.removeprefix("connector-")] = dict(value["properties"]) if value else {}
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


def _records(settings: StackSettings, topic: str) -> Iterator[tuple[Any, Any]]:
    """Key and value (None for a tombstone), from JSON, of all committed records of a one-partition topic."""
    consumer = _consumer(settings)
    try:
        if topic not in consumer.list_topics(timeout=10).topics:
            return
        # Up to the end of now: a connector at work goes on appending. The last offset may be a transaction marker,
        # which is no message but brings the position, and at the end the event PARTITION_EOF, past it.
        end = _end_of(consumer, topic)
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while (message := consumer.poll(30)) is not None:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None:
                break
            key, value = message.key(), message.value()
            yield _decoded(key), json.loads(value) if value else None
            if (message.offset() or 0) >= end - 1:
                return
        raise StackError(f"topic {topic} cannot be read to its end within 30 s; see `make status`.")
    finally:
        consumer.close()


def _end_of(consumer: Consumer, topic: str) -> int:
    """The offset behind the last record of a one-partition topic. Right after its start a broker does not lead it yet
    and says so."""
    limit = time.monotonic() + _LEADER_S
    while True:
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
            return int(end)
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
