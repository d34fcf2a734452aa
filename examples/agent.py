"""An agent of one's own: the exercise's anomaly rule as a plain consumer, beside the Spark rules and independent of
them. Run it with: PYTHONPATH=jobs .venv/bin/python examples/agent.py [GROUP [SERVERS [TOPIC]]]"""

import sys
from collections import defaultdict, deque

from confluent_kafka import Consumer

from fraudstream.cdc.envelope import UnreadableMessage, entry, read_change_event


def main(group: str = "agent", servers: str = "localhost:19092", topic: str = "dbserver1.public.transactions") -> None:
    settings = {"group.id": group, "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
    consumer = Consumer({"bootstrap.servers": servers, **settings})
    consumer.subscribe([topic])
    last_50: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=50))  # cents per user
    try:
        while True:
            for message in consumer.consume(1000, timeout=0.5):
                try:
                    event = read_change_event(message.value(), message.headers())
                except UnreadableMessage:
                    continue
                if entry(event) != "judge":
                    continue
                row, past = event.row, last_50[event.row.user_id]
                if len(past) >= 3 and row.cents * len(past) > 3 * sum(past) and row.cents > 500_00:
                    print(f"user {row.user_id}: transaction {row.id} of {row.cents / 100:.2f}", flush=True)
                past.append(row.cents)
    finally:
        consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
