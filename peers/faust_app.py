"""Faust: an agent over raw messages and orjson, on uvloop; histories in a dict, without fault tolerance.
With --recovery: histories in a table, whose changes go to a changelog topic; at least once (see the README)."""

from contract import arguments
from mode import loop

# As Faust's documentation recommends for production; before Faust itself is imported.
loop.use("uvloop")
import faust  # noqa: E402
import orjson  # noqa: E402

options = arguments(__doc__)
app = faust.App(
    options.group,
    broker=f"kafka://{options.bootstrap}",
    datadir=options.state / "faust",
    # A copy in memory, filled from the changelog at a start.
    store="memory://",
    topic_partitions=4,
    consumer_auto_offset_reset="earliest",
    # Not used: the topic of the leader, the web server.
    topic_disable_leader=True,
    web_enabled=False,
    # More records per poll and longer queues than the defaults (all there are, 4096).
    consumer_max_fetch_size=8 << 20,
    stream_buffer_maxsize=16384,
    # Commits by time, every 2.8 s, and not also every 10,000 messages.
    broker_commit_every=1_000_000,
    producer_compression_type="lz4",
    producer_linger=0.02,
)
events = app.topic(options.topic, value_serializer="raw", key_serializer="raw")
alerts = app.topic(options.alerts, value_serializer="raw", key_serializer="raw")
histories = app.Table("histories", partitions=4) if options.recovery else {}
compact = options.form == "compact"


@app.agent(events)
async def judge(stream):
    async for value in stream:
        event = orjson.loads(value)
        if compact:
            op, row = event["__op"], event
        else:
            op, row = event["op"], event["after"]
        if op != "c":
            continue
        user, amount = row["user_id"], row["amount"]
        cents = int(amount.replace(".", ""))
        # The sum of the last 50 amounts, and the amounts.
        total, amounts = histories.get(user) or (0, [])
        n = len(amounts)
        if cents > 50000 and n >= 3 and cents * n > 3 * total:
            alert = {"transaction_id": row["id"], "user_id": user, "amount": amount}
            await alerts.send(key=str(row["id"]).encode(), value=orjson.dumps(alert))
        amounts.append(cents)
        total += cents - (amounts.pop(0) if n == 50 else 0)
        # A table writes its changelog when a key is set.
        histories[user] = (total, amounts)


if __name__ == "__main__":
    # It ends by itself on SIGTERM.
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()
