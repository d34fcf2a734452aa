"""A cell's writer: carries out a plan on the cell's table, each action a transaction, and keeps the ledger."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from fraudstream.compare.workload import Action
from fraudstream.input.ledger import Ledger

# Amounts of inserted and updated rows count on from here in cents, so that each state of a row has one of its own.
FIRST_VALUE = 1_000_000_000
_INSERT = """
    INSERT INTO public.{table} (user_id, amount, card_type, merchant_id)
    SELECT 1000 + n %% 9000, n / 100.0, 'VISA', 1 + n %% 500 FROM unnest(%s::bigint[]) AS n
    RETURNING id, user_id, amount::text, card_type, merchant_id, created_at
"""
_UPDATE = """
    UPDATE public.{table} AS old SET amount = new.value / 100.0
    FROM unnest(%s::int[], %s::bigint[]) AS new (id, value) WHERE old.id = new.id
    RETURNING old.id, old.user_id, old.amount::text, old.card_type, old.merchant_id, old.created_at
"""
_DELETE = "DELETE FROM public.{table} WHERE id = ANY (%s::int[]) RETURNING id"


class WorkloadWriter:
    """Writes plans one after the other into one table. Rows there before have their ordinals as ids."""

    def __init__(self, dsn: str, table: str, table_rows: int, ledger: Ledger) -> None:
        self.changes = 0
        """Committed so far."""
        self._dsn, self._table, self._table_rows, self._ledger = dsn, table, table_rows, ledger
        self._ids: dict[int, int] = {}
        self._next_value = FIRST_VALUE
        self._idle: list[Connection] = []
        self._held: list[tuple[float, int, Connection, list[list[Any]]]] = []

    def run(self, actions: Sequence[Action], every: Callable[[], None] = lambda: None) -> float:
        """Carry the actions out at their times from now; calls `every` often. Returns the seconds that it took."""
        began = time.monotonic()
        for number, action in enumerate(actions):
            self._pass_until(began, action.at, every)
            self._begin(began, number, action)
        self._pass_until(began, float("inf"), every)
        return time.monotonic() - began

    def close(self) -> None:
        """Close the connections, which rolls back what is open."""
        for connection in [*self._idle, *(held[2] for held in self._held)]:
            connection.close()
        self._idle, self._held = [], []

    def _pass_until(self, began: float, at: float, every: Callable[[], None]) -> None:
        """Let time pass until `at`, committing what falls due; to infinity: until nothing is held any more."""
        while True:
            every()
            due = self._held[0][0] if self._held else float("inf")
            wake = min(due, at)
            if wake == float("inf"):
                return
            left = began + wake - time.monotonic()
            if left > 0:
                time.sleep(min(left, 0.2))
            elif due <= at:
                _, _, connection, changes = heapq.heappop(self._held)
                self._commit(connection, changes)
            else:
                return

    def _begin(self, began: float, number: int, action: Action) -> None:
        connection = self._idle.pop() if self._idle else psycopg2.connect(self._dsn)
        changes = self._carry_out(connection, action)
        if action.hold_s:
            heapq.heappush(self._held, (action.at + action.hold_s, number, connection, changes))
        else:
            self._commit(connection, changes)

    def _carry_out(self, connection: Connection, action: Action) -> list[list[Any]]:
        count = len(action.rows)
        values = list(range(self._next_value, self._next_value + count))
        with connection.cursor() as cursor:
            if action.op == "delete":
                cursor.execute(_DELETE.format(table=self._table), [[self._id(row) for row in action.rows]])
                return [["d", number] for (number,) in cursor.fetchall()]
            self._next_value += count
            if action.op == "insert":
                cursor.execute(_INSERT.format(table=self._table), [values])
                found = cursor.fetchall()
                self._ids.update(zip(action.rows, (row[0] for row in found), strict=True))
            else:
                ids = [self._id(row) for row in action.rows]
                cursor.execute(_UPDATE.format(table=self._table), [ids, values])
                found = cursor.fetchall()
        op = action.op[0].replace("i", "c")
        return [[op, *row[:-1], row[-1].isoformat(timespec="microseconds")] for row in found]

    def _id(self, ordinal: int) -> int:
        return ordinal if ordinal <= self._table_rows else self._ids[ordinal]

    def _commit(self, connection: Connection, changes: list[list[Any]]) -> None:
        connection.commit()
        self._ledger.append("committed", changes)
        self.changes += len(changes)
        self._idle.append(connection)
