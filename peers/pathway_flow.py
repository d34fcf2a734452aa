"""Pathway: JSON fields read by its Kafka connector, one custom reducer per user, the changes of its result as alerts.
With --recovery: Pathway's persistence, which keeps the input in the state folder and computes it again at a start."""

import os
from array import array

from contract import arguments, end_on_signal

options = arguments(__doc__, processes=2)
# Threads of one process: Pathway reads this when it is imported.
os.environ["PATHWAY_THREADS"] = str(options.processes)
import pathway as pw  # noqa: E402


class Event(pw.Schema):
    op: str
    # A delete has no row after it; a field without a default that is absent is logged as an error, message by message.
    transaction: int | None = pw.column_definition(default_value=None)
    user_id: int | None = pw.column_definition(default_value=None)
    amount: str | None = pw.column_definition(default_value=None)


PATHS = {
    "envelope": {"op": "/op", "transaction": "/after/id", "user_id": "/after/user_id", "amount": "/after/amount"},
    "compact": {"op": "/__op", "transaction": "/id"},
}


@pw.reducers.stateful_many
def judge(state: tuple | None, rows: list[tuple[list, int]]) -> tuple:
    """The history of a user, a sum and the last 50 amounts in cents, and the alerts of this batch of the user's rows.
    Pathway gives the rows of a batch in no order; the offset tells it."""
    history = array("q", state[0] if state else bytes(8))
    alerts = []
    for (_, transaction, user, amount), _ in sorted(rows, key=lambda row: row[0][0]):
        cents = int(amount.replace(".", ""))
        n = len(history) - 1
        if cents > 50000 and n >= 3 and cents * n > 3 * history[0]:
            value = f'{{"transaction_id":{transaction},"user_id":{user},"amount":"{amount}"}}'
            alerts.append((str(transaction), value))
        history.append(cents)
        history[0] += cents - (history.pop(1) if n == 50 else 0)
    return history.tobytes(), tuple(alerts)


kafka = {
    "bootstrap.servers": options.bootstrap,
    "group.id": options.group,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
}
events = pw.io.kafka.read(
    kafka,
    options.topic,
    schema=Event,
    format="json",
    json_field_paths=PATHS[options.form],
    with_metadata=True,
    # The default, said because it is what makes a batch: the reducer is called once per user and batch.
    autocommit_duration_ms=1500,
    name="events",
)
inserts = events.filter(pw.this.op == "c")
columns = (pw.this._metadata["offset"].as_int(), pw.this.transaction, pw.this.user_id, pw.this.amount)
users = inserts.groupby(pw.this.user_id).reduce(state=judge(*columns))
# The table of states as a stream of its changes: each change has the alerts of its batch alone.
changes = users.to_stream("changed").filter(pw.this.changed)
found = changes.select(alert=pw.apply_with_type(lambda state: state[1], list[tuple[str, str]], pw.this.state))
alerts = found.flatten(pw.this.alert).select(key=pw.this.alert[0], value=pw.this.alert[1])
pw.io.kafka.write(
    alerts,
    {"bootstrap.servers": options.bootstrap, "compression.type": "lz4"},
    options.alerts,
    format="plaintext",
    key=alerts.key,
    value=alerts.value,
)

end_on_signal(lambda: os._exit(0))
store = pw.persistence.Backend.filesystem(options.state / "persistence")
pw.run(
    monitoring_level=pw.MonitoringLevel.NONE,
    persistence_config=pw.persistence.Config(store, snapshot_interval_ms=10000) if options.recovery else None,
)
