"""Planned transactions written to PostgreSQL, each whole or not at all, and to the ledger once they are committed."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from fraudstream.errors import FraudstreamError
from fraudstream.input.database import explained
from fraudstream.input.ledger import Ledger
from fraudstream.input.plan import REACH, UPDATED_FIELDS, Planned, Step
from fraudstream.input.rows import CARD_TYPES, DEFAULT_TIME, KINDS, RowArray, amount_text, time_texts

# Inserts of transactions that are open together take this many turns.
_TURNS = 3
_INSERT = (
    "INSERT INTO public.transactions (user_id, amount, card_type, merchant_id{time}) "
    "SELECT * FROM unnest(%s::int[], %s::numeric[], %s::text[], %s::int[]{times}) RETURNING id"
)
_NEXT_IDS = """
    SELECT nextval(ids.name)
    FROM (SELECT pg_get_serial_sequence('public.transactions', 'id')::regclass AS name OFFSET 0) AS ids,
        generate_series(1, %s)
"""
_COPY = "COPY public.transactions (id, user_id, amount, card_type, merchant_id{time}) FROM STDIN"
_UPDATE = """
    UPDATE public.transactions AS old
    SET amount = coalesce(new.amount, old.amount), card_type = coalesce(new.card_type, old.card_type),
        merchant_id = coalesce(new.merchant_id, old.merchant_id), user_id = coalesce(new.user_id, old.user_id)
    FROM unnest(%s::int[], %s::numeric[], %s::text[], %s::int[], %s::int[])
        AS new (id, amount, card_type, merchant_id, user_id)
    WHERE old.id = new.id
    RETURNING old.id, old.user_id, old.amount::text, old.card_type, old.merchant_id, old.created_at
"""
_DELETE = "DELETE FROM public.transactions WHERE id = ANY (%s::int[]) RETURNING id"
_TRUTH = "INSERT INTO truth.frauds (transaction_id, kind) SELECT * FROM unnest(%s::int[], %s::text[])"
_WRITTEN: dict[str, Callable[[RowArray], list[Any]]] = {
    "user_id": lambda rows: rows["user_id"].tolist(),
    "cents": lambda rows: [amount_text(cents) for cents in rows["cents"].tolist()],
    "card": lambda rows: [CARD_TYPES[card] for card in rows["card"].tolist()],
    "merchant_id": lambda rows: rows["merchant_id"].tolist(),
}


@dataclass
class Totals:
    """What was committed."""

    transactions: int = 0
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    frauds: int = 0


@dataclass
class _Open:
    """A transaction under way, and what it changed so far."""

    planned: Planned
    cursor: Cursor
    changes: list[list[Any]] = field(default_factory=list)
    default_time: str | None = None


class Writer:
    """Writes steps over as many connections as a step has transactions."""

    def __init__(self, dsn: str, ledger: Ledger | None = None) -> None:
        self.totals = Totals()
        self._dsn = dsn
        self._ledger = ledger
        self._connections: list[Connection] = []
        # Ids of the last inserts, by ordinal modulo the length; a step reaches back REACH rows from its own.
        self._ids: npt.NDArray[np.int64] = np.zeros(8 * REACH, np.int64)
        with self._connected(1)[0] as first, first.cursor() as cursor:
            cursor.execute("SELECT localtimestamp")
            self.start = np.datetime64(_one(cursor), "us")
            """The database's time; times of rows count from here."""

    def write(self, step: Step) -> None:
        """Commit every transaction of the step, the last one first. Raises FraudstreamError; the rest is rolled back.

        A transaction whose COMMIT got no answer stands in the ledger as "unknown".
        """
        connections = self._connected(len(step))
        opened = [_Open(planned, each.cursor()) for planned, each in zip(step, connections, strict=True)]
        done: list[Connection] = []
        try:
            turns = _TURNS if len(step) > 1 else 1
            for turn in range(turns):
                for each in opened:
                    self._insert(each, turn, turns)
            for each in opened:
                self._correct(each)
            for each, connection in reversed(list(zip(opened, connections, strict=True))):
                self._commit(each, connection)
                done.append(connection)
        except BaseException as error:
            for connection in connections:
                if connection not in done:
                    with contextlib.suppress(psycopg2.Error):
                        connection.rollback()
            if isinstance(error, psycopg2.Error):
                raise FraudstreamError(explained(error)) from None
            raise

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    def _connected(self, count: int) -> list[Connection]:
        while len(self._connections) < count:
            try:
                connection = psycopg2.connect(self._dsn)
                with connection, connection.cursor() as cursor:
                    # A lock that is not released must not hold the producer, nor its Ctrl-C, for ever.
                    cursor.execute("SET lock_timeout = '15s'")
            except psycopg2.Error as error:
                raise FraudstreamError(explained(error)) from None
            self._connections.append(connection)
        return self._connections[:count]

    def _insert(self, opened: _Open, turn: int, turns: int) -> None:
        planned, size = opened.planned, len(opened.planned.inserts)
        begin, end = size * turn // turns, size * (turn + 1) // turns
        rows = planned.inserts[begin:end]
        if not len(rows):
            return
        columns = self._columns(rows, opened)
        ids = _copy(opened.cursor, columns) if planned.copy else _insert(opened.cursor, columns)
        self._ids[np.arange(planned.first + begin, planned.first + end) % len(self._ids)] = ids
        times = columns[4] if len(columns) == 5 else [opened.default_time] * len(ids)
        opened.changes += [["c", *row] for row in zip(ids, *columns[:4], times, strict=True)]
        frauds = [(number, KINDS[kind]) for number, kind in zip(ids, rows["kind"].tolist(), strict=True) if kind]
        if frauds:
            opened.cursor.execute(_TRUTH, [list(column) for column in zip(*frauds, strict=True)])

    def _columns(self, rows: RowArray, opened: _Open) -> list[list[Any]]:
        """Columns as PostgreSQL reads them; without created_at where the database's default applies."""
        columns = [_WRITTEN[name](rows) for name in ("user_id", "cents", "card", "merchant_id")]
        if rows["at"][0] != DEFAULT_TIME:
            return [*columns, time_texts(rows["at"], self.start)]
        if opened.default_time is None:
            # The default is the time at which the transaction began, the same for all of its rows.
            opened.cursor.execute("SELECT localtimestamp")
            opened.default_time = _one(opened.cursor).isoformat(timespec="microseconds")
        return columns

    def _correct(self, opened: _Open) -> None:
        planned, cursor = opened.planned, opened.cursor
        if len(planned.updated):
            cursor.execute(_UPDATE, [_array(column) for column in self._updates(planned)])
            for *row, time in cursor.fetchall():
                opened.changes.append(["u", *row, time and time.isoformat(timespec="microseconds")])
        if len(planned.deleted):
            cursor.execute(_DELETE, [_array(self._ids_of(planned.deleted))])
            opened.changes += [["d", number] for (number,) in cursor.fetchall()]

    def _updates(self, planned: Planned) -> Iterator[list[Any]]:
        """Columns of the ids and of each of UPDATED_FIELDS: the new value, None where another field changes."""
        yield self._ids_of(planned.updated)
        fields = planned.fields.tolist()
        for number, name in enumerate(UPDATED_FIELDS):
            values = _WRITTEN[name](planned.values)
            yield [value if chosen == number else None for value, chosen in zip(values, fields, strict=True)]

    def _ids_of(self, ordinals: npt.NDArray[np.int64]) -> list[int]:
        return self._ids[ordinals % len(self._ids)].tolist()  # type: ignore[no-any-return]

    def _commit(self, opened: _Open, connection: Connection) -> None:
        try:
            connection.commit()
        except psycopg2.Error as error:
            if not connection.closed:
                raise
            # The connection ended instead of an answer: the server may have committed or not.
            if self._ledger:
                self._ledger.append("unknown", opened.changes)
            raise FraudstreamError(
                f"{explained(error)} Whether the last {len(opened.changes)} changes were committed is unknown."
            ) from None
        if self._ledger:
            self._ledger.append("committed", opened.changes)
        opened.cursor.close()
        self.totals.transactions += 1
        self.totals.inserts += len(opened.planned.inserts)
        self.totals.frauds += int(np.count_nonzero(opened.planned.inserts["kind"]))
        self.totals.updates += sum(change[0] == "u" for change in opened.changes)
        self.totals.deletes += sum(change[0] == "d" for change in opened.changes)


def _insert(cursor: Cursor, columns: list[list[Any]]) -> list[int]:
    timed = len(columns) == 5
    statement = _INSERT.format(time=", created_at" if timed else "", times=", %s::timestamp[]" if timed else "")
    cursor.execute(statement, [_array(column) for column in columns])
    return [number for (number,) in cursor.fetchall()]


def _copy(cursor: Cursor, columns: list[list[Any]]) -> list[int]:
    cursor.execute(_NEXT_IDS, [len(columns[0])])
    ids = [number for (number,) in cursor.fetchall()]
    lines = ("\t".join("\\N" if value is None else str(value) for value in row) for row in zip(ids, *columns))  # noqa: B905
    timed = len(columns) == 5
    cursor.copy_expert(_COPY.format(time=", created_at" if timed else ""), io.StringIO("\n".join(lines) + "\n"))
    return ids


def _array(values: list[Any]) -> str:
    """PostgreSQL's text of an array. The values are numbers and plain words, so that none needs quotes."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _one(cursor: Cursor) -> Any:
    row = cursor.fetchone()
    return row[0] if row else None
