"""The load on PostgreSQL while something else is measured: its CPU time, who is connected, what its senders send."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil
import psycopg2

from fraudstream.check.resources import MIB
from fraudstream.compare.usage import tree
from fraudstream.errors import FraudstreamError
from fraudstream.stack import postgres
from fraudstream.stack.processes import process_of
from fraudstream.stack.settings import StackSettings

_EVERY_S = 5.0
# Without the connection that asks.
_ASKED = """
    SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
        count(*), coalesce(sum(sent_lsn - '0/0'), 0)::bigint
    FROM pg_stat_replication
"""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """PostgreSQL at an epoch second: CPU seconds of all its processes so far, connections of clients, senders of its
    log, and the position in bytes that they have sent up to, in sum."""

    at: float
    cpu_s: float
    connections: int
    senders: int
    sent: int


@contextlib.contextmanager
def watching(settings: StackSettings) -> Iterator[list[Reading]]:
    """Readings every five seconds, on a thread of their own, as long as the block lasts and PostgreSQL answers."""
    found: list[Reading] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(_EVERY_S):
            # While it starts and stops there is nothing to read.
            with contextlib.suppress(psutil.Error, psycopg2.Error, FraudstreamError):
                found.extend(_read(settings))

    thread = threading.Thread(target=read, name="watching PostgreSQL", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(30)


def _read(settings: StackSettings) -> list[Reading]:
    """The reading of now; none where PostgreSQL does not run."""
    process = process_of(settings, "postgres")
    if process is None:
        return []
    with postgres.cursor(settings, "postgres") as cursor:
        cursor.execute(_ASKED)
        ((connections, senders, sent),) = cursor.fetchall()
    cpu_s = tree(process.pid)["cpu_s"]
    return [Reading(at=time.time(), cpu_s=cpu_s, connections=connections, senders=senders, sent=sent)]


def load_between(readings: Sequence[Reading], begin: float, end: float) -> dict[str, Any]:
    """Between two epoch seconds: cpu_s_per_s (of all processes), connections and senders (medians), and sent_mib_per_s
    of log; all None with fewer than two readings there."""
    inside = [each for each in readings if begin <= each.at < end]
    if len(inside) < 2:
        return dict.fromkeys(("cpu_s_per_s", "connections", "senders", "sent_mib_per_s"))
    first, last = inside[0], inside[-1]
    seconds = last.at - first.at
    return {
        "cpu_s_per_s": round((last.cpu_s - first.cpu_s) / seconds, 4),
        "connections": round(median(each.connections for each in inside)),
        "senders": round(median(each.senders for each in inside)),
        "sent_mib_per_s": round((last.sent - first.sent) / MIB / seconds, 3),
    }
