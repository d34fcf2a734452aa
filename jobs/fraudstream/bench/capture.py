"""How many changes a second the connector brings into the topic, and what each of its settings gives."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.csv
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic

from fraudstream.bench.arrivals import arrivals, gathered, summary
from fraudstream.bench.broker import own_settings
from fraudstream.bench.dataset import CARD_TYPES, Columns, DataSet, Ints, columns
from fraudstream.bench.messages import ROWS_PER_TRANSACTION
from fraudstream.bench.setups import PUBLICATIONS, STEPS, USUAL_JAVA, Setup, connectors_of
from fraudstream.check.topic import read_topic
from fraudstream.compare.database import drop_slot
from fraudstream.compare.usage import tree
from fraudstream.errors import FraudstreamError
from fraudstream.stack import connect, kafka, lifecycle, offsets, postgres
from fraudstream.stack.processes import COMPONENTS, pid_of
from fraudstream.stack.settings import StackSettings

ROWS = 1_000_000
REPEATS = 3
_SAMPLE_S = 0.25
# Transaction markers take offsets too: that as many offsets as rows are there does not mean that all rows are.
_SETTLED_S, _PATIENCE_S = 3.0, 60.0
_COLUMNS = "user_id, amount, card_type, merchant_id, created_at"


def measure(home: Path, step: str, rows: int = ROWS, repeats: int = REPEATS) -> dict[str, Any]:
    """What arrivals.summary tells of `repeats` runs of a step over `rows` rows, on a stack of its own in `home`, which
    is stopped and deleted afterwards. A run that cannot be finished ends the step: `failures` says why."""
    settings = own_settings(home)
    if STEPS[step].usual_java:
        settings = replace(settings, connect_java_options=tuple(USUAL_JAVA.split()))
    lifecycle.purge(settings)  # of a run that was killed
    found: list[dict[str, Any]] = []
    broken: list[str] = []
    try:
        lifecycle.up(settings, connector=None)
        data = columns(DataSet(events=rows))
        for number in range(1, repeats + 1):
            found.append(_run(settings, STEPS[step], f"bench_{number}", data))
    except (FraudstreamError, psycopg2.Error, KafkaException) as error:
        broken.append(str(error))
    finally:
        lifecycle.purge(settings)
    return summary(found, rows, broken)


def _run(settings: StackSettings, setup: Setup, name: str, data: Columns) -> dict[str, Any]:
    """One run's figures (arrivals.arrivals), and what it cost. What it has made is deleted again; after an error the
    purge does it."""
    made = connectors_of(setup, name, json.loads(lifecycle.TRANSACTIONS.read_text(encoding="utf-8"))["config"])
    topic = f"{name}.public.transactions"
    _prepare(settings, topic, setup)
    if not setup.snapshot:
        _start_at_the_end(settings, made)
    ids, written_per_s = _write(settings, data)
    with ThreadPoolExecutor() as pool:  # two connectors begin at the same moment
        starting = pool.map(partial(connect.put_connector, settings), made)
        cpu_s = _watched(settings, topic, len(ids), made)
        list(starting)
    records = gathered(read_topic(settings.bootstrap, topic, kafka.client_options(settings)))
    found = arrivals(records, ids, "r" if setup.snapshot else "c")
    stored = _stored_bytes(settings, topic) / max(len(records.ids), 1)
    failures = [*found["failures"], *_traces(settings, made)]
    _clean(settings, topic, made)
    more = {"written_per_s": written_per_s, "cpu_s": cpu_s, "bytes_per_event": round(stored, 1)}
    return {**found, **more, "failures": failures}


def _prepare(settings: StackSettings, topic: str, setup: Setup) -> None:
    """An empty table whose ids begin with 1, an empty topic whose records have the broker's times, publications."""
    with postgres.cursor(settings) as cursor:
        cursor.execute("TRUNCATE public.transactions RESTART IDENTITY")
        for publication, condition in PUBLICATIONS.items() if setup.halves else ():
            cursor.execute(f"DROP PUBLICATION IF EXISTS {publication}")
            cursor.execute(
                f"CREATE PUBLICATION {publication} FOR TABLE public.transactions WHERE ({condition}), dbz.heartbeat,"
                " dbz.signal WITH (publish = 'insert, update, delete')"
            )
    own = NewTopic(topic, settings.topic_partitions, 1, config={"message.timestamp.type": "LogAppendTime"})
    asking = kafka.admin(settings)
    asking.create_topics([own])[topic].result(30)


def _start_at_the_end(settings: StackSettings, made: Sequence[Mapping[str, Any]]) -> None:
    """Register the connectors on the empty table, and stop them once they have stored where they are: what is written
    then is streamed to them, not read in a snapshot. Raises FraudstreamError when one stores nothing for a minute."""
    limit = time.monotonic() + _PATIENCE_S
    for each in made:
        connect.put_connector(settings, each)
    for each in made:
        # The heartbeat brings it, every 10 s.
        while offsets.stored_lsn(settings, each["name"]) is None:
            if time.monotonic() > limit:
                raise FraudstreamError(f"connector {each['name']} has stored no offset in {_PATIENCE_S:.0f} s.")
            time.sleep(0.5)
        connect.stop_connector(settings, each["name"])


def _write(settings: StackSettings, data: Columns) -> tuple[Ints, float]:
    """COPY the data into the table, in the transactions of the exercise's producer. The ids in the table, and the rows
    a second."""
    table, options = rows_of(data), pyarrow.csv.WriteOptions(include_header=False)
    parts = []
    for begin in range(0, len(data), ROWS_PER_TRANSACTION):
        parts.append(io.BytesIO())
        pyarrow.csv.write_csv(table.slice(begin, ROWS_PER_TRANSACTION), parts[-1], options)
        parts[-1].seek(0)
    connection = psycopg2.connect(settings.dsn("app"))
    try:
        began = time.monotonic()
        for part in parts:
            with connection, connection.cursor() as cursor:
                cursor.copy_expert(f"COPY public.transactions ({_COLUMNS}) FROM STDIN (FORMAT csv)", part)
        seconds = time.monotonic() - began
    finally:
        connection.close()
    with postgres.cursor(settings) as cursor:
        # Else their work, for rows just written, would count as the connector's.
        cursor.execute("VACUUM (FREEZE, ANALYZE) public.transactions")
        cursor.execute("CHECKPOINT")
        cursor.execute("SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM public.transactions")
        ((ids,),) = cursor.fetchall()
    return np.array(ids, np.int64), round(len(ids) / seconds, 1)


def rows_of(data: Columns) -> pa.Table:
    """The data in the columns of the exercise's table, without the id. Amounts are doubles, exact in CSV."""
    cards = pa.array(CARD_TYPES).take(pa.array(data.card))
    return pa.table({
        "user_id": data.user_id, "amount": data.cents / 100, "card_type": cards, "merchant_id": data.merchant_id,
        "created_at": pa.array(data.created_at).cast(pa.timestamp("us")),
    })  # fmt: skip


def _watched(settings: StackSettings, topic: str, rows: int, made: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Wait until the topic has all rows, a connector has failed, or nothing has come for a minute. Returns the CPU
    seconds of each component from the first record on."""
    consumer = Consumer({**kafka.client(settings), "group.id": "bench"})
    parts = [TopicPartition(topic, number) for number in range(settings.topic_partitions)]
    first = last = _cpu(settings)
    end, heard = 0, time.monotonic()
    try:
        while (idle := time.monotonic() - heard) < _PATIENCE_S:
            if idle > _SETTLED_S and (end >= rows or _traces(settings, made)):
                break
            now, found = _cpu(settings), sum(consumer.get_watermark_offsets(part, timeout=30)[1] for part in parts)
            if found == 0:
                first = now
            elif found > end:
                last, end, heard = now, found, time.monotonic()
            time.sleep(_SAMPLE_S)
    finally:
        consumer.close()
    return {name: last[name] - first[name] for name in first}


def _traces(settings: StackSettings, made: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why connectors have failed, in words; none while they run."""
    states = {each["name"]: connect.connector_status(settings, each["name"]) for each in made}
    return [f"connector {name}: {state['trace']}" for name, state in states.items() if state["trace"]]


def _cpu(settings: StackSettings) -> dict[str, float]:
    """CPU seconds so far of each component with all its processes. Raises FraudstreamError when one has ended."""
    found = {}
    for name in COMPONENTS:
        pid = pid_of(settings, name)
        if pid is None:
            raise FraudstreamError(f"{name} has ended by itself; its log was in {settings.folder / 'logs'}.")
        found[name] = tree(pid)["cpu_s"]
    return found


def _stored_bytes(settings: StackSettings, topic: str) -> int:
    """Bytes of the topic's records on the broker's disk."""
    return sum(file.stat().st_size for file in kafka.data_folder(settings).glob(f"{topic}-*/*.log"))


def _clean(settings: StackSettings, topic: str, made: Sequence[Mapping[str, Any]]) -> None:
    """Delete the connectors, their slots, publications and topics."""
    for each in made:
        connect.delete_connector(settings, each["name"])
        drop_slot(settings, each["config"]["slot.name"])
        kafka.delete_topic(settings, f"__debezium-heartbeat.{each['config']['topic.prefix']}")
    kafka.delete_topic(settings, topic)
    with postgres.cursor(settings) as cursor:
        cursor.execute(f"DROP PUBLICATION IF EXISTS {', '.join(PUBLICATIONS)}")
