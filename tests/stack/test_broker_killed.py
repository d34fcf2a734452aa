"""A broker that is killed while transactions are open: when it is back, they are aborted, and stay unread."""

from __future__ import annotations

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from fraudstream.clients import AT_THE_END
from fraudstream.stack import kafka
from fraudstream.stack.processes import process_of
from fraudstream.stack.settings import StackSettings, free_ports, load_settings

pytestmark = pytest.mark.stack
TOPIC = "aborted"
# A transaction per partition. The broker gives up each when its time has come: some of them while it starts, before it
# leads the partitions anew, which a broker of 4.3.1 took for deleted ones.
TIMEOUTS_S = range(1, 13)


@pytest.fixture
def broker(tmp_path) -> StackSettings:
    settings = load_settings(tmp_path, free_ports())
    settings.folder.mkdir(parents=True)
    kafka.launch(settings)
    kafka.wait_ready(settings)
    yield settings
    kafka.halt(settings)


def write(settings: StackSettings, partition: int, value: bytes) -> Producer:
    """A producer that has written in a new transaction. As Connect's, it has the name of the one before it, whose
    transaction ends with that."""
    named = {"transactional.id": f"worker-{partition}", "transaction.timeout.ms": TIMEOUTS_S[partition] * 1000}
    producer = Producer({**kafka.client(settings), **named, "log_level": 0}, logger=kafka.quiet_logger())
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(TOPIC, value, partition=partition)
    producer.flush(30)
    return producer


def committed(settings: StackSettings, partition: int) -> list[bytes]:
    """All that a reader of committed records finds; waits until nothing is open before the partition's end."""
    consumer = Consumer({**kafka.client(settings), **AT_THE_END, "group.id": "test", "log_level": 0,
                         "enable.partition.eof": True, "isolation.level": "read_committed"})  # fmt: skip
    place, found = TopicPartition(TOPIC, partition, 0), []
    try:
        consumer.assign([place])
        end = consumer.get_watermark_offsets(place, timeout=30)[1]
        while (message := consumer.poll(30)) is not None:
            if not message.error():
                found.append(message.value())
            elif consumer.position([place])[0].offset >= end:
                return found
        pytest.fail("a transaction stayed open")
    finally:
        consumer.close()


@pytest.mark.timeout(180)
def test_transactions_that_were_open_when_the_broker_died_are_never_read(broker):
    parts = range(len(TIMEOUTS_S))
    admin = kafka.admin(broker)  # the answer does not come to a client that is gone
    admin.create_topics([NewTopic(TOPIC, len(parts), 1)])[TOPIC].result(30)
    left_open = [write(broker, part, b"aborted") for part in parts]
    process = process_of(broker, "kafka")
    process.kill()
    psutil.wait_procs([process], timeout=10)
    kafka.launch(broker)
    kafka.wait_ready(broker)
    for part in parts:
        write(broker, part, b"committed").commit_transaction(60)
    assert [committed(broker, part) for part in parts] == [[b"committed"]] * len(left_open)
