"""A polling reader: psycopg2, one connection that stays, and the position that it has reached."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg2

from fraudstream.compare.sightings import Sightings

if TYPE_CHECKING:
    from fraudstream.compare.reader import Commands

OVERLAP_S = 5.0
"""A poller by time reads this much again, for rows whose transactions were open at the poll before."""
_POSITIONS = {"poll_id": "coalesce(max(id), 0)", "poll_updated": "extract(epoch FROM max(updated_at))::float8"}
_QUERIES = {
    "poll_id": "SELECT id, (amount * 100)::bigint, id FROM public.{table} WHERE id > %s ORDER BY id",
    "poll_updated": (
        "SELECT id, (amount * 100)::bigint, extract(epoch FROM updated_at)::float8 FROM public.{table} "
        "WHERE updated_at > to_timestamp(%s) ORDER BY updated_at, id"
    ),
}


def poll(options: dict[str, Any], commands: Commands, sightings: Sightings) -> Iterator[dict[str, Any]]:
    """Poll at start + k intervals; says when in position, and at the end the polls made and the position reached."""
    kind, interval = options["kind"], options["interval_s"]
    query = _QUERIES[kind].format(table=options["table"])
    connection: Any = _connected(options["dsn"])
    position = options.get("position") or _position(connection, kind, options["table"])
    known: dict[int, int] = {}
    yield {"ready": True, "backend": connection.info.backend_pid}
    polls = failed = 0
    ticks = -1 if options.get("resume") else 0  # who comes back polls at once
    while not commands.gone:
        due = commands.start + (ticks + 1) * interval if commands.start is not None else None
        if due is None or time.time() < due:
            commands.wait(3600 if due is None else due - time.time())
            continue
        ticks += 1
        try:
            connection = connection or _connected(options["dsn"])
            rows = _asked(connection, query, position if kind == "poll_id" else position - OVERLAP_S)
        except psycopg2.Error:
            failed += 1
            _close(connection)
            connection = None
        else:
            polls += 1
            at = time.time()
            for row, value, place in rows:
                position = max(position, place)
                # What the overlap brings again is no news.
                if known.get(row) != value:
                    sightings.add(at, "s", row, value)
                    if kind == "poll_updated":
                        known[row] = value
        if commands.finish is not None and due >= commands.finish and connection is not None:
            break
    yield {"polls": polls, "failed_polls": failed, "position": position}


def _connected(dsn: str) -> Any:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    return connection


def _close(connection: Any) -> None:
    with contextlib.suppress(psycopg2.Error, AttributeError):
        connection.close()


def _position(connection: Any, kind: str, table: str) -> float:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_POSITIONS[kind]} FROM public.{table}")
        ((found,),) = cursor.fetchall()
    # A table without rows has no last change yet.
    return found if found is not None else datetime.now(UTC).timestamp()


def _asked(connection: Any, query: str, position: float) -> list[tuple[int, int, float]]:
    with connection.cursor() as cursor:
        cursor.execute(query, [position])
        rows: list[tuple[int, int, float]] = cursor.fetchall()
    return rows
