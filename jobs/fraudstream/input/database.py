"""Errors of PostgreSQL, said in one line."""

from __future__ import annotations

import psycopg2


def explained(error: psycopg2.Error) -> str:
    """One line: what happened and what to do."""
    text = str(error).split("Is the server running")[0]
    what = " ".join(text.split()).removesuffix(".") or type(error).__name__
    if isinstance(error, psycopg2.errors.UndefinedTable):
        return f"{what.split(' LINE ')[0]}; make the tables with `make up`, or name another database with --dsn."
    if isinstance(error, (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)):
        return f"{what}; the role in --dsn must be allowed to write the table (role app of the local stack is)."
    if isinstance(error, psycopg2.errors.LockNotAvailable):
        return f"{what}; another session holds a lock (see pg_locks). The batch was rolled back."
    if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        return f"PostgreSQL does not answer: {what}. Start it with `make up`, or name another database with --dsn."
    return f"PostgreSQL refused a batch, which was rolled back: {what}."
