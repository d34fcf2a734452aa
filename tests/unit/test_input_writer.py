"""The writer's whole batches, over connections that fail where a test wants it."""

from __future__ import annotations

from datetime import datetime
from itertools import count, islice

import psycopg2
import pytest

from fraudstream.errors import FraudstreamError
from fraudstream.input import writer as module
from fraudstream.input.database import explained
from fraudstream.input.ledger import Ledger, read_ledger
from fraudstream.input.produce import Options, planned
from fraudstream.input.writer import Writer


class Server:
    """Hands out ids, remembers what each connection did, and breaks at the statement or COMMIT asked for."""

    def __init__(self):
        self.ids = count(1)
        self.log = []
        self.connections = []
        self.break_at = None
        self.closes = False

    def connect(self, dsn):
        self.connections.append(FakeConnection(self, len(self.connections)))
        return self.connections[-1]

    def happen(self, connection, what):
        if self.break_at and (connection.name, what) == self.break_at:
            connection.closed = int(self.closes)
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        self.log.append((connection.name, what))


class FakeConnection:
    def __init__(self, server, name):
        self.server, self.name, self.closed = server, name, 0

    def cursor(self):
        return FakeCursor(self)

    def commit(self):
        self.server.happen(self, "commit")

    def rollback(self):
        self.server.happen(self, "rollback")

    def close(self):
        self.server.happen(self, "close")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


class FakeCursor:
    def __init__(self, connection):
        self.connection, self.rows = connection, []

    def execute(self, statement, values=None):
        word = statement.split()[0].lower()
        if word == "insert":
            self.rows = [(next(self.connection.server.ids),) for _ in values[0].split(",")]
        elif "localtimestamp" in statement:
            self.rows, word = [(datetime(2026, 11, 23, 7, 0),)], "time"
        elif "nextval" in statement:
            self.rows = [(next(self.connection.server.ids),) for _ in range(values[0])]
        elif word in ("update", "delete"):
            self.rows = []
        self.connection.server.happen(self.connection, word)

    def copy_expert(self, statement, file):
        self.connection.server.happen(self.connection, "copy")

    def fetchall(self):
        return self.rows

    def fetchone(self):
        return self.rows[0]

    def close(self):
        pass

    __enter__, __exit__ = FakeConnection.__enter__, FakeConnection.__exit__


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(module.psycopg2, "connect", server.connect)
    return server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


def outcomes(path):
    return [(each.outcome, len(each.changes)) for each in read_ledger(path)]


def pair():
    """The first pair of interleaved transactions without COPY of the hot profile."""
    steps = planned(Options(profile="hot", update_share=0, delete_share=0))
    return next(step for step in steps if len(step) == 2 and not any(each.copy for each in step))


def test_a_batch_is_in_the_ledger_once_it_is_committed(server, path):
    writer = Writer("", Ledger(path))
    for step in islice(planned(Options()), 2):
        writer.write(step)
    assert outcomes(path) == [("committed", 1000), ("committed", 1000)]
    first = next(read_ledger(path)).changes[0]
    assert (first[0], first[1], first[-1]) == ("c", 1, "2026-11-23T07:00:00.000000")
    assert (writer.totals.transactions, writer.totals.inserts) == (2, 2000)


def test_a_statement_that_fails_rolls_the_batch_back_and_leaves_no_ledger_line(server, path):
    writer = Writer("", Ledger(path))
    server.break_at = (0, "insert")
    with pytest.raises(FraudstreamError, match="server closed the connection"):
        writer.write(next(planned(Options())))
    assert server.log[-1] == (0, "rollback")
    assert outcomes(path) == []
    assert writer.totals.inserts == 0


def test_a_commit_without_an_answer_is_unknown_in_the_ledger(server, path):
    writer = Writer("", Ledger(path))
    server.break_at, server.closes = (0, "commit"), True
    with pytest.raises(FraudstreamError, match="Whether the last 1000 changes were committed is unknown"):
        writer.write(next(planned(Options())))
    assert outcomes(path) == [("unknown", 1000)]


def test_a_commit_that_the_server_refuses_is_rolled_back_and_not_in_the_ledger(server, path):
    writer = Writer("", Ledger(path))
    server.break_at = (0, "commit")
    with pytest.raises(FraudstreamError):
        writer.write(next(planned(Options())))
    assert outcomes(path) == []


def test_open_transactions_take_turns_and_the_last_commits_first(server, path):
    writer = Writer("", Ledger(path))
    before = len(server.log)
    writer.write(pair())
    assert [each for each in server.log[before:] if each[1] in ("insert", "commit")] == [
        (0, "insert"), (1, "insert"), (0, "insert"), (1, "insert"), (0, "insert"), (1, "insert"),
        (1, "commit"), (0, "commit"),
    ]  # fmt: skip
    assert outcomes(path) == [("committed", 250), ("committed", 250)]


def test_of_a_pair_whose_second_commit_fails_the_first_stays_committed(server, path):
    writer = Writer("", Ledger(path))
    server.break_at = (0, "commit")
    with pytest.raises(FraudstreamError):
        writer.write(pair())
    assert outcomes(path) == [("committed", 250)]
    assert (1, "rollback") not in server.log
    assert (0, "rollback") in server.log


def test_an_interrupt_in_the_middle_of_a_batch_rolls_it_back(server, path, monkeypatch):
    writer = Writer("", Ledger(path))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "_correct", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.write(next(planned(Options())))
    assert server.log[-1] == (0, "rollback")
    assert outcomes(path) == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (psycopg2.errors.UndefinedTable('relation "x" does not exist\nLINE 1: ...'), "make the tables with `make up`"),
        (psycopg2.errors.ReadOnlySqlTransaction("cannot execute INSERT"), "must be allowed to write"),
        (psycopg2.errors.LockNotAvailable("canceling statement"), "see pg_locks"),
        (psycopg2.OperationalError("refused\n\tIs the server running on that host?\n"), "Start it with `make up`"),
        (psycopg2.errors.NumericValueOutOfRange("integer out of range"), "rolled back: integer out of range."),
    ],
)
def test_errors_of_the_database_are_one_line_with_the_next_step(error, text):
    found = explained(error)
    assert text in found
    assert "\n" not in found
    assert "Is the server" not in found
