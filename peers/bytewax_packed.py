"""Bytewax tuned beyond its documentation: a Kafka source of our own, state per partition, and processes that do not
form a cluster but own partitions, so that no event passes from one to another.
With --recovery: each process has its own store, which gets all its histories once an epoch."""

import sys
from collections import deque
from datetime import timedelta

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from contract import arguments, end_on_signal, fork

options = arguments(__doc__, processes=2)
CONSUMER = {
    "bootstrap.servers": options.bootstrap,
    "group.id": options.group,
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    # One consumer per partition: large answers of the broker, at most 16 MB waiting in each.
    "fetch.message.max.bytes": 8388608,
    "queued.max.messages.kbytes": 16384,
}
# The sink flushes after every batch; with the usual linger of 5 ms it would sleep that long each time.
PRODUCER = {"linger.ms": "0", "compression.type": "lz4"}
stopping = []


class Partition(StatefulSourcePartition):
    """Gives one item per batch of messages: (partition, values). Bytewax's connector makes an object per message."""

    def __init__(self, name, offset):
        self.name, self.offset = name, OFFSET_BEGINNING if offset is None else offset
        self.consumer = Consumer(CONSUMER)
        self.consumer.assign([TopicPartition(options.topic, int(name), self.offset)])

    def next_batch(self):
        if stopping:
            # The end of the input: the flow comes to its end by itself.
            raise StopIteration
        messages = [each for each in self.consumer.consume(10000, 0.001) if not each.error()]
        if not messages:
            return []
        self.offset = messages[-1].offset() + 1
        return [(self.name, [each.value() for each in messages])]

    def snapshot(self):
        return self.offset

    def close(self):
        self.consumer.close()


class Partitions(FixedPartitionedSource):
    def __init__(self, index):
        self.index = index

    def list_parts(self):
        found = Consumer(CONSUMER).list_topics(options.topic, timeout=30).topics[options.topic].partitions
        return [str(number) for number in sorted(found)[self.index :: options.processes]]

    def build_part(self, step_id, for_part, resume_state):
        return Partition(for_part, resume_state)


class Histories(StatefulBatchLogic):
    """Of a partition's users: the sum of the last 50 amounts, and the amounts, in cents."""

    def __init__(self, state):
        self.users = {user: [total, deque(amounts)] for user, (total, amounts) in (state or {}).items()}

    def on_batch(self, values):
        alerts, users, loads = [], self.users, orjson.loads
        compact = options.form == "compact"
        for value in (value for batch in values for value in batch):
            event = loads(value)
            if compact:
                if event["__op"] != "c":
                    continue
                row = event
            elif event["op"] != "c":
                continue
            else:
                row = event["after"]
            amount, user = row["amount"], row["user_id"]
            cents = int(amount.replace(".", ""))
            entry = users.get(user)
            if entry is None:
                entry = users[user] = [0, deque()]
            total, amounts = entry
            n = len(amounts)
            if cents > 50000 and n >= 3 and cents * n > 3 * total:
                alert = {"transaction_id": row["id"], "user_id": user, "amount": amount}
                alerts.append(KafkaSinkMessage(str(row["id"]).encode(), orjson.dumps(alert)))
            amounts.append(cents)
            entry[0] = total + cents - (amounts.popleft() if n == 50 else 0)
        return alerts, StatefulBatchLogic.RETAIN

    def snapshot(self):
        return {user: (total, tuple(amounts)) for user, (total, amounts) in self.users.items()}


def work(index):
    end_on_signal(lambda: stopping.append(True))
    flow = Dataflow("anomaly")
    batches = op.input("events", flow, Partitions(index))
    alerts = op.key_rm("values", op.stateful_batch("anomaly", batches, Histories))
    op.output("alerts", alerts, KafkaSink([options.bootstrap], options.alerts, add_config=PRODUCER))
    store = options.state / f"recovery-{index}-of-{options.processes}"
    if options.recovery and not store.exists():
        store.mkdir()
        init_db_dir(store, 1)
    cli_main(
        flow,
        # Bytewax's default. An epoch is also what a start repeats after a crash.
        epoch_interval=timedelta(seconds=10),
        recovery_config=RecoveryConfig(str(store)) if options.recovery else None,
    )


sys.exit(fork(options.processes, work))
