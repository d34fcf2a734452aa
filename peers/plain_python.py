"""Plain Python, tuned: batches of messages, orjson, running sums. Processes share out the partitions by number.
No fault tolerance: the histories are in memory, and a start reads the topic from its first offset."""

import gc
import sys
from collections import deque

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from contract import arguments, end_on_signal, fork

options = arguments(__doc__, processes=2)


def work(index: int) -> None:
    running = True

    def stop() -> None:
        nonlocal running
        running = False

    end_on_signal(stop)
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            # Larger answers of the broker, and no more than 64 MB waiting in the process.
            "fetch.message.max.bytes": 8 << 20,
            "fetch.max.bytes": 64 << 20,
            "queued.max.messages.kbytes": 65536,
            "queued.min.messages": 200000,
        }
    )
    numbers = sorted(consumer.list_topics(options.topic, timeout=30).topics[options.topic].partitions)
    own = numbers[index :: options.processes]
    consumer.assign([TopicPartition(options.topic, number, OFFSET_BEGINNING) for number in own])
    producer = Producer({"bootstrap.servers": options.bootstrap, "linger.ms": 5, "compression.type": "lz4"})
    compact = options.form == "compact"
    loads, produce, topic = orjson.loads, producer.produce, options.alerts
    gc.disable()  # nothing here refers to itself, and of a million users the collector would look at all lists
    # Per user: the sum of the history, and the history.
    users: dict[int, list] = {}

    while running:
        for message in consumer.consume(10000, 0.2):
            if message.error():
                continue
            event = loads(message.value())
            if compact:
                if event["__op"] != "c":
                    continue
                row = event
            elif event["op"] != "c":
                continue
            else:
                row = event["after"]
            amount, user = row["amount"], row["user_id"]
            # Debezium writes a numeric(10,2) with both digits: without its point it is a number of cents.
            cents = int(amount.replace(".", ""))
            entry = users.get(user)
            if entry is None:
                entry = users[user] = [0, deque()]
            total, history = entry
            n = len(history)
            if cents > 50000 and n >= 3 and cents * n > 3 * total:
                alert = {"transaction_id": row["id"], "user_id": user, "amount": amount}
                produce(topic, orjson.dumps(alert), str(row["id"]))
            history.append(cents)
            entry[0] = total + cents - (history.popleft() if n == 50 else 0)
        producer.poll(0)
    producer.flush()
    consumer.close()


sys.exit(fork(options.processes, work))
