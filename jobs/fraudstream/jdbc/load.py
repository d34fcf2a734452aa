"""What reading costs the database, by its own counters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg2

from fraudstream.errors import FraudstreamError
from fraudstream.input.database import explained

APPLICATION = "fraudstream_measured"
_PATIENCE_S = 30.0
_COUNTERS = """
    SELECT active_time, tup_returned::float8, (blks_hit + blks_read)::float8, temp_bytes::float8, sessions::float8
    FROM pg_stat_database WHERE datname = current_database()
"""
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()"


@dataclass
class Load:
    """What the database did for a block: filled when it ends. Counts are those of the whole database."""

    active_ms: float = 0.0
    """Time that sessions spent executing statements."""
    rows_read: float = 0.0
    blocks: float = 0.0
    """Pages of 8 KiB asked for, found in memory or not."""
    temporary_bytes: float = 0.0
    sessions: float = 0.0


def named(dsn: str) -> str:
    """The connection string with the application name by which `database_load` knows the sessions of a reader."""
    return f"{dsn} application_name={APPLICATION}"


@contextmanager
def database_load(dsn: str) -> Iterator[Load]:
    """What is done in the block by sessions of `named(dsn)`. Raises FraudstreamError if the database does not answer.

    Counters of a session are published when it ends, so the block's sessions are waited for.
    """
    try:
        with closing(psycopg2.connect(dsn)) as connection:
            connection.autocommit = True
            load, before = Load(), _counters(connection)
            yield load
            _wait_for_ends(connection)
            after = _counters(connection)
        # The session that measures is one of them.
        found = [late - early for early, late in zip(before, after, strict=True)]
        load.active_ms, load.rows_read, load.blocks, load.temporary_bytes, load.sessions = found
    except psycopg2.Error as error:
        raise FraudstreamError(explained(error)) from None


def _counters(connection: psycopg2.extensions.connection) -> tuple[float, ...]:
    with connection.cursor() as cursor:
        cursor.execute(_COUNTERS)
        (row,) = cursor.fetchall()
    return row


def _wait_for_ends(connection: psycopg2.extensions.connection) -> None:
    limit = time.monotonic() + _PATIENCE_S
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_OTHERS, [APPLICATION])
            ((open_sessions,),) = cursor.fetchall()
            if not open_sessions:
                return
            if time.monotonic() > limit:
                raise FraudstreamError(f"{open_sessions} sessions of the reader are still open after {_PATIENCE_S} s.")
            time.sleep(0.05)
