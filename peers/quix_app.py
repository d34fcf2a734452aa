"""Quix Streams: one stateful function over a StreamingDataFrame, its state in RocksDB and a changelog topic.
At least once, or with --recovery exactly once."""

import sys
from array import array

from contract import arguments, fork
from quixstreams import Application, State

options = arguments(__doc__, processes=2)


def judge(value: dict, state: State) -> list[dict]:
    """The alerts of one change event: one or none. The state of a key, the user, is the sum and the last 50 amounts."""
    if options.form == "compact":
        op, row = value["__op"], value
    else:
        op, row = value["op"], value["after"]
    if op != "c":
        return []
    cents = int(row["amount"].replace(".", ""))
    # Bytes of our own pass by the state's JSON.
    history = array("q", state.get_bytes("history", bytes(8)))
    n = len(history) - 1
    alerts = []
    if cents > 50000 and n >= 3 and cents * n > 3 * history[0]:
        alerts.append({"transaction_id": row["id"], "user_id": row["user_id"], "amount": row["amount"]})
    history.append(cents)
    history[0] += cents - (history.pop(1) if n == 50 else 0)
    state.set_bytes("history", history.tobytes())
    return alerts


def work(index: int) -> None:
    app = Application(
        broker_address=options.bootstrap,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        # Of each process its own: the RocksDB of a partition has one owner, and a rebalance brings the changelog.
        state_dir=options.state / str(index),
        processing_guarantee="exactly-once" if options.recovery else "at-least-once",
        # The default. A commit writes the changed keys to the changelog, flushes and commits the offsets.
        commit_interval=5.0,
        loglevel="WARNING",
        consumer_extra_config={
            "isolation.level": "read_committed",
            # A static member: after a crash the new process takes its place at once, not after session.timeout.ms.
            "group.instance.id": f"{options.group}-{index}",
            # Large answers of the broker, at most 64 MB waiting.
            "fetch.message.max.bytes": 8 << 20,
            "queued.max.messages.kbytes": 65536,
        },
        producer_extra_config={
            "compression.type": "lz4",
            "linger.ms": 50,
            # All changed keys of a commit are produced at once.
            "queue.buffering.max.messages": 1_000_000,
            # A name that stays: the next start ends the transaction that a crash left open, instead of waiting for it.
            **({"transactional.id": f"{options.group}-{index}"} if options.recovery else {}),
        },
    )
    events = app.topic(options.topic, key_deserializer="bytes", value_deserializer="json")
    alerts = app.topic(options.alerts, key_serializer="str", value_serializer="json")
    found = app.dataframe(events).apply(judge, stateful=True, expand=True)
    found.to_topic(alerts, key=lambda alert: str(alert["transaction_id"]))
    # It ends by itself on SIGTERM.
    app.run()


sys.exit(fork(options.processes, work))
