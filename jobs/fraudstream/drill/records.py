"""Faults of what comes in: poison, copies, strange times, a changed schema, huge and overlapping transactions, COPY."""

from __future__ import annotations

import io
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
from confluent_kafka import Producer

from fraudstream.check.redeliver import redelivering
from fraudstream.drill.fault import Fault, NotStruckError, Struck
from fraudstream.drill.means import kill_connect, repaired, require_named, write_at_once
from fraudstream.drill.rig import MIRROR, Rig
from fraudstream.errors import FraudstreamError
from fraudstream.stack import kafka
from fraudstream.streams import progress

_USER = 2_100_000
_COLUMNS = "id, user_id, amount::text, card_type, merchant_id, created_at"
_HUGE = 1_000_000
_HUGE_RSS_MIB = 1_700  # of a worker with a heap of 1 GiB
_COPIED = 20_000
_OVERLAPS = 5
_RENAMED = 200
_MAX_BYTES = 262_144
POISON: tuple[bytes, ...] = (
    b"\xff\xfe\x00", b"null", b"{}", b"[]", b"17", b'"text"', b'{"before":null,"after":{"id":1,"user_id":',
    b"[" * 2000 + b"]" * 2000, b'{"op":"c","after":{"id":1,"user_id":1,"amount":"' + b"9" * 900_000 + b'"}}',
    b'{"op":"x","after":{"id":1,"user_id":1},"source":{"lsn":1},"ts_ms":1}',
    b'{"op":"c","after":null,"source":{"lsn":1},"ts_ms":1}',
    b'{"op":"c","after":{"id":"one","user_id":1,"amount":"1.00"},"source":{"lsn":1},"ts_ms":1}',
    b'{"op":"c","after":{"id":99999999999999999999999999,"user_id":1,"amount":"1.00"},"source":{"lsn":1},"ts_ms":1}',
    b'{"op":"c","after":{"id":1,"user_id":1,"amount":"1.001"},"source":{"lsn":1},"ts_ms":1}',
    b'{"op":"c","after":{"id":1,"user_id":1,"amount":NaN},"source":{"lsn":1},"ts_ms":1}',
    b'{"op":"c","after":{"id":1,"user_id":1,"amount":true},"source":{"lsn":1},"ts_ms":1}',
    b'{"op":"c","op":"d","after":{"id":1,"user_id":1,"amount":"1.00"},"source":{"lsn":1},"ts_ms":1}',
)  # fmt: skip


def poison(rig: Rig, random: Random) -> Struck:
    """Messages that nobody can read, some of each, in every partition."""
    messages = [random.choice(POISON) for _ in range(200)] + list(POISON)
    producer, before = Producer(kafka.client(rig.settings)), len(rig.poison)

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            raise NotStruckError(f"a poisonous message was refused: {error}")
        rig.poison[message.partition(), message.offset()] = message.value()

    for number, value in enumerate(messages):
        key = json.dumps({"user_id": number}, separators=(",", ":")).encode()
        producer.produce(rig.topic, value, key, number % rig.settings.topic_partitions, on_delivery=delivered)
        producer.poll(0)
        time.sleep(0.01)
    producer.flush(30)
    return Struck(f"{len(rig.poison) - before} unreadable messages, the last at {[*rig.poison][-1]}")


def copies(rig: Rig, random: Random) -> Struck:
    """Changes delivered again, soon and late."""
    options = kafka.client_options(rig.settings)
    with redelivering(rig.settings.bootstrap, rig.topic, rig.copies, random.getrandbits(31), options):
        time.sleep(12)
    count = len(rig.copies.read_text(encoding="utf-8").splitlines())
    if not count:
        raise NotStruckError("nothing was delivered again")
    return Struck(f"{count} changes delivered again")


def strange_times(rig: Rig, random: Random) -> Struck:
    """Rows from the past, the future and the year 2999, of users whose times run in no order."""
    now = datetime.now(UTC).replace(tzinfo=None)
    choices = [
        datetime(2999, 1, 1), datetime(1960, 1, 1), now + timedelta(days=3650), now - timedelta(days=3650),
        *(now + timedelta(seconds=random.uniform(-3600, 3600)) for _ in range(8)),
    ]  # fmt: skip
    rows = [
        (_USER + random.randrange(20), random.choice([5, 50, 700, 4400]), random.choice(choices)) for _ in range(3000)
    ]
    users, amounts, times = zip(*rows, strict=True)
    rig.write(
        "INSERT INTO public.transactions (user_id, amount, card_type, merchant_id, created_at)"
        " SELECT u, a, 'VISA', 1, t FROM unnest(%s::int[], %s::numeric[], %s::timestamp[]) AS r (u, a, t)"
        f" RETURNING {_COLUMNS}",
        (list(users), list(amounts), list(times)),
    )
    return Struck(f"{len(rows)} rows, {sum(time.year == 2999 for time in times)} of the year 2999")


def added_column(rig: Rig, random: Random) -> Struck:
    """A column added and dropped again under load."""
    before = rig.written()
    rig.admin("ALTER TABLE public.transactions ADD COLUMN drilled text DEFAULT 'x'")
    rig.until(lambda: rig.written() > before + 5000, "rows with the new column")
    rig.admin("ALTER TABLE public.transactions DROP COLUMN drilled")
    return Struck(f"{rig.written() - before} rows with one column more")


def renamed_column(rig: Rig, random: Random) -> Struck:
    """A column that the rules need renamed under load, rows written by its new name, and named back."""
    before = _unjudged(rig)
    rig.admin("ALTER TABLE public.transactions RENAME COLUMN amount TO total")
    rig.write(  # captured without an amount
        "INSERT INTO public.transactions (user_id, total, card_type, merchant_id)"
        f" SELECT {_USER + 30_000} + n, 10 + n, 'VISA', 1 FROM generate_series(1, {_RENAMED}) AS n"
        f" RETURNING {_COLUMNS.replace('amount::text', 'NULL')}"
    )
    rig.until(lambda: _unjudged(rig) - before >= _RENAMED, "the count of rows without an amount", watch=True)
    require_named(rig, "rows-unjudged")
    rig.admin("ALTER TABLE public.transactions RENAME COLUMN total TO amount")
    wal = rig.wal()
    rig.until(lambda: rig.captured(wal), "capture")
    ends = rig.ends()
    rig.until(lambda: not rig.behind([MIRROR], ends), "the mirror", watch=True)
    unjudged = _unjudged(rig) - before
    return Struck(f"{_RENAMED} rows without the column, {unjudged} unjudged; repair: {repaired(rig, 'rows')}")


def _unjudged(rig: Rig) -> int:
    return sum(line["unjudged"] for line in progress.read_lines(rig.pipeline.progress, MIRROR))


def huge_transaction(rig: Rig, random: Random) -> Struck:
    """A transaction of very many rows, Connect killed while it reads them."""
    before = sum(rig.ends().values())
    write_at_once(rig, _USER + 1000, _HUGE)
    part = random.uniform(0.2, 0.8) * _HUGE
    rig.until(lambda: sum(rig.ends().values()) - before > part, "a part of the transaction")
    pid = rig.component_pids().get("connect")
    if pid is None:
        raise FraudstreamError(f"Connect has ended in a transaction of {_HUGE:,} rows")
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    peak_mib = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    if peak_mib > _HUGE_RSS_MIB:
        raise FraudstreamError(f"Connect took {peak_mib} MiB for a transaction of {_HUGE:,} rows")
    pid, since = kill_connect(rig)
    proof = (
        f"{_HUGE:,} rows in one transaction; Connect pid {pid}, at most {peak_mib} MiB, gone after {part:,.0f} of them"
    )
    return Struck(proof, 1, since)


def overlapping(rig: Rig, random: Random) -> Struck:
    """Transactions that overlap a kill of Connect: one stays open while another commits and its offset is stored."""
    for number in range(_OVERLAPS):
        with rig.connection() as database:
            changes = _inserted(database, 5, number)
            rig.write(_one_row(_USER + 10_001), ())
            wal = rig.wal()
            rig.until(lambda wal=wal: rig.captured(wal), "the stored offset")  # type: ignore[misc]
            changes += _inserted(database, 5, number)
            pid, since = kill_connect(rig)
            database.commit()
            rig.note(changes)
        rig.restore()
    return Struck(f"{_OVERLAPS} times; the last Connect pid {pid} gone", _OVERLAPS, since)


def copy(rig: Rig, random: Random) -> Struck:
    """A COPY, whose rows share log records, and Connect killed while it reads them."""
    with rig.connection() as database, database.cursor() as cursor:
        cursor.execute(f"SELECT nextval('public.transactions_id_seq') FROM generate_series(1, {_COPIED})")
        ids = [number for (number,) in cursor.fetchall()]
        at = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        rows = [(number, _USER + 20_000 + number % 500, "12.50", "VISA", 3, at) for number in ids]
        text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
        cursor.copy_expert(
            "COPY public.transactions (id, user_id, amount, card_type, merchant_id, created_at) FROM STDIN",
            io.StringIO(text),
        )
        database.commit()
    rig.note([["c", *row] for row in rows])
    time.sleep(random.uniform(0, 0.7))
    pid, since = kill_connect(rig)
    return Struck(f"{_COPIED:,} rows by COPY; Connect pid {pid} gone", 1, since)


def _one_row(user: int) -> str:
    return (
        "INSERT INTO public.transactions (user_id, amount, card_type, merchant_id)"
        f" VALUES ({user}, 11, 'VISA', 1) RETURNING {_COLUMNS}"
    )


def _inserted(database: psycopg2.extensions.connection, count: int, number: int) -> list[list[Any]]:
    with database.cursor() as cursor:
        found = []
        for _ in range(count):
            cursor.execute(_one_row(_USER + 11_000 + number))
            found += [["c", *row, at.isoformat()] for *row, at in cursor.fetchall()]
        return found


INPUT = (
    Fault(
        name="poison", rows=(11,), strike=poison, alone=("connector", "driver"),
        must_hold="the stream goes on alone; each bad record is in quarantine once, with its bytes and position",
    ),
    Fault(name="copies", rows=(19,), strike=copies, must_hold="no effect in Delta, the same alerts"),
    Fault(
        name="strange_times", rows=(18, 20), strike=strange_times,
        must_hold="alerts are those of the order and of event times; far-future rows are unjudged and stop nothing",
    ),
    Fault(name="added_column", rows=(22,), strike=added_column, must_hold="rows go on with none of their fields null"),
    Fault(
        name="renamed_column", rows=(22,), strike=renamed_column, gap=True,
        must_hold="rows without a needed column are unjudged, and named; a repair brings their values to the mirror",
    ),
    Fault(
        name="huge_transaction", rows=(24,), strike=huge_transaction, must_hold="all rows, in their order, once"
    ),
    Fault(
        name="overlapping", rows=(6,), strike=overlapping,
        must_hold="no row of a transaction that was open across a restart is missing (lost before Debezium 3.7)",
    ),
    Fault(name="copy", rows=(6,), strike=copy, must_hold="no row of a COPY is missing (lost before Debezium 3.7)"),
)  # fmt: skip
