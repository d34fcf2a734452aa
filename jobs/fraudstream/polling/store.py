"""What a poller has reached: position, states and alerts on their way, committed together in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS position (
    one INTEGER PRIMARY KEY CHECK (one = 1), id INTEGER, read INTEGER, joining INTEGER, seen TEXT
);
CREATE TABLE IF NOT EXISTS states (rule TEXT PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS polls (number INTEGER PRIMARY KEY, figures TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pending (number INTEGER NOT NULL, detected_at REAL NOT NULL, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Position:
    """The greatest id found, how many rows were found so far, up to which id they only join the histories, and which of
    the ids that are asked for anew are known."""

    id: int = 0
    read: int = 0
    joining: int = 0
    seen: frozenset[int] = frozenset()


class Store:
    """The file. Every method is one transaction: a process killed at any point leaves a whole state behind."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "poller.sqlite")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def position(self) -> Position | None:
        """Where the poller stands; None before its first start."""
        row = self._database.execute("SELECT id, read, joining, seen FROM position").fetchone()
        if row is None:
            return None
        number, read, joining, seen = row
        return Position(number, read, joining, frozenset(json.loads(seen)))

    def begin(self, position: Position) -> None:
        """Set the position of a first start."""
        with self._database:
            self._put(position)

    def states(self) -> dict[str, bytes]:
        """The state of each rule."""
        return dict(self._database.execute("SELECT rule, state FROM states").fetchall())

    def commit(
        self, position: Position, states: Mapping[str, bytes], alerts: Iterable[str], figures: Mapping[str, Any],
        detected_at: float,
    ) -> None:  # fmt: skip
        """All that a poll has changed; its alerts are pending until they are delivered."""
        with self._database as database:
            self._put(position)
            database.executemany("INSERT OR REPLACE INTO states VALUES (?, ?)", states.items())
            cursor = database.execute("INSERT INTO polls (figures) VALUES (?)", [json.dumps(figures)])
            rows = [(cursor.lastrowid, detected_at, value) for value in alerts]
            database.executemany("INSERT INTO pending VALUES (?, ?, ?)", rows)

    def pending(self) -> list[tuple[int, float, str]]:
        """(number of the poll, time of detection, alert as JSON) of alerts that may not be delivered."""
        return self._database.execute("SELECT * FROM pending ORDER BY rowid").fetchall()

    def delivered(self, number: int) -> None:
        """Forget the pending alerts of polls up to `number`."""
        with self._database as database:
            database.execute("DELETE FROM pending WHERE number <= ?", [number])

    def polls(self) -> list[dict[str, Any]]:
        """The figures of every poll that found rows."""
        return [json.loads(text) for (text,) in self._database.execute("SELECT figures FROM polls ORDER BY number")]

    def _put(self, position: Position) -> None:
        row: Sequence[Any] = (position.id, position.read, position.joining, json.dumps(sorted(position.seen)))
        self._database.execute("INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?, ?)", row)
