"""The exercise's first agent as a student writes it: poll, json, a deque per user. One process, no fault tolerance."""

import json
from collections import defaultdict, deque

from confluent_kafka import Consumer, Producer
from contract import arguments, end_on_signal

options = arguments(__doc__)
running = True


def stop():
    global running
    running = False


end_on_signal(stop)
consumer = Consumer(
    {
        "bootstrap.servers": options.bootstrap,
        "group.id": options.group,
        "auto.offset.reset": "earliest",
    }
)
consumer.subscribe([options.topic])
producer = Producer({"bootstrap.servers": options.bootstrap})
last_50 = defaultdict(lambda: deque(maxlen=50))

while running:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    event = json.loads(message.value())
    if options.form == "envelope":
        op, row = event["op"], event["after"]
    else:
        op, row = event["__op"], event
    if op != "c":
        continue
    history = last_50[row["user_id"]]
    # Whole cents, and no division: every system must find the same alerts, also where amount = 3 x mean.
    cents = round(float(row["amount"]) * 100)
    if len(history) >= 3 and cents * len(history) > 3 * sum(history) and cents > 50000:
        alert = {"transaction_id": row["id"], "user_id": row["user_id"], "amount": f"{cents / 100:.2f}"}
        producer.produce(options.alerts, key=str(row["id"]), value=json.dumps(alert))
        producer.poll(0)
    history.append(cents)

producer.flush()
consumer.close()
