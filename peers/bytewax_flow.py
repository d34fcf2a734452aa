"""Bytewax as its documentation has it: its Kafka connector, state per user, a cluster of processes.
With --recovery: snapshots of the changed users and of the offsets in SQLite, once an epoch."""

import socket
import sys
from collections import deque
from contextlib import suppress
from datetime import timedelta

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from contract import arguments, end_on_signal, fork

options = arguments(__doc__, processes=2)
CONSUMER = {
    "isolation.level": "read_committed",
    # One consumer per partition: large answers of the broker, at most 16 MB waiting in each.
    "fetch.message.max.bytes": "8388608",
    "queued.max.messages.kbytes": "16384",
}
# The sink flushes after every batch; with the usual linger of 5 ms it would sleep that long each time.
PRODUCER = {"linger.ms": "0", "compression.type": "lz4"}


def parse(messages):
    """A batch of messages as ("user", (transaction, user, amount)); one call of Python per batch, not per message."""
    for message in messages:
        event = orjson.loads(message.value)
        if options.form == "compact":
            op_, row = event["__op"], event
        else:
            op_, row = event["op"], event["after"]
        if op_ == "c":
            yield str(row["user_id"]), (row["id"], row["user_id"], row["amount"])


class History(StatefulBatchLogic):
    """A user's last 50 amounts in cents, and their sum."""

    def __init__(self, state):
        self.total, amounts = state or (0, ())
        self.amounts = deque(amounts)

    def on_batch(self, values):
        alerts = []
        for transaction, user, amount in values:
            cents = int(amount.replace(".", ""))
            n = len(self.amounts)
            if cents > 50000 and n >= 3 and cents * n > 3 * self.total:
                alert = {"transaction_id": transaction, "user_id": user, "amount": amount}
                alerts.append(KafkaSinkMessage(str(transaction).encode(), orjson.dumps(alert)))
            self.amounts.append(cents)
            self.total += cents - (self.amounts.popleft() if n == 50 else 0)
        return alerts, StatefulBatchLogic.RETAIN

    def snapshot(self):
        return self.total, tuple(self.amounts)


flow = Dataflow("anomaly")
source = KafkaSource([options.bootstrap], [options.topic], add_config=CONSUMER, batch_size=10000)
events = op.flat_map_batch("parse", op.input("events", flow, source), parse)
alerts = op.key_rm("values", op.stateful_batch("anomaly", events, History))
op.output("alerts", alerts, KafkaSink([options.bootstrap], options.alerts, add_config=PRODUCER))

store = options.state / "recovery"
if options.recovery and not store.exists():
    store.mkdir()
    init_db_dir(store, options.processes)
# Ports that are free now: the workers of a cluster listen for each other.
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(options.processes)]
addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
for each in sockets:
    each.close()


def work(index):
    def stop():
        raise KeyboardInterrupt

    end_on_signal(stop)
    with suppress(KeyboardInterrupt):
        cli_main(
            flow,
            process_id=index,
            addresses=addresses,
            # Bytewax's default. An epoch is also what a start repeats after a crash.
            epoch_interval=timedelta(seconds=10),
            recovery_config=RecoveryConfig(str(store)) if options.recovery else None,
        )


sys.exit(fork(options.processes, work))
