"""The database of a comparison: its tables, what is asked of it before and after a cell, what its processes are."""

from __future__ import annotations

import time
from typing import Any

import psycopg2

from fraudstream.compare.grid import Identity
from fraudstream.compare.sightings import MARKER_VALUE
from fraudstream.stack import postgres, secrets
from fraudstream.stack.settings import StackSettings

PUBLICATION = "compare_publication"
SLOT = "compare_slot"
_CREATE = """
CREATE TABLE public.{table} (
    id serial PRIMARY KEY,
    user_id int NOT NULL,
    amount numeric(10,2) NOT NULL,
    card_type varchar(20),
    merchant_id int,
    created_at timestamp DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO public.{table} (user_id, amount, card_type, merchant_id, created_at, updated_at)
    SELECT 1000 + n % 9000, 5 + (n % 499500) / 100.0, 'VISA', 1 + n % 500, localtimestamp - interval '1 hour',
        now() - interval '1 hour'
    FROM generate_series(1, {rows}) AS n;
CREATE INDEX ON public.{table} (updated_at);
CREATE FUNCTION public.{table}_touched() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.updated_at := now(); RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON public.{table} FOR EACH ROW EXECUTE FUNCTION public.{table}_touched();
ALTER TABLE public.{table} REPLICA IDENTITY {identity};
GRANT SELECT ON public.{table} TO capture, batch;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.{table} TO app;
GRANT USAGE ON SEQUENCE public.{table}_id_seq TO app;
"""
_PUBLISH = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'compare_publication') THEN
        CREATE PUBLICATION compare_publication FOR TABLE dbz.heartbeat WITH (publish = 'insert, update, delete');
    END IF;
END $$
"""
_STATEMENTS = """
    SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(total_exec_time), 0)::float8, coalesce(sum(rows), 0)::bigint,
        coalesce(sum(shared_blks_hit), 0)::bigint, coalesce(sum(shared_blks_read), 0)::bigint
    FROM pg_stat_statements WHERE query LIKE %s
"""

_LEFTOVERS = r"""
    SELECT 'table', relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'compare\_%'
    UNION ALL SELECT 'slot', slot_name FROM pg_replication_slots WHERE slot_name LIKE 'compare\_%'
    UNION ALL SELECT 'publication', pubname FROM pg_publication WHERE pubname = 'compare_publication'
"""


def create_publication(settings: StackSettings) -> None:
    """The comparison's own publication, with the heartbeat's table."""
    with postgres.cursor(settings) as cursor:
        cursor.execute(_PUBLISH)


def create_table(settings: StackSettings, table: str, rows: int, identity: Identity, published: bool = True) -> None:
    """A table filled with `rows` of an hour ago, known to capture only from here on."""
    with postgres.cursor(settings) as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS public.{table}; DROP FUNCTION IF EXISTS public.{table}_touched")
        # Pages made after a checkpoint need no full-page image: the WAL of a cell is that of its changes alone.
        cursor.execute("CHECKPOINT")
        cursor.execute(_CREATE.format(table=table, rows=rows, identity=identity.upper()))
        cursor.execute(f"VACUUM (FREEZE, ANALYZE) public.{table}")
        if published:
            cursor.execute(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE public.{table}")


def write_marker(settings: StackSettings, table: str) -> int:
    """Write a row that no plan writes. Returns its id."""
    with postgres.cursor(settings) as cursor:
        cursor.execute(f"INSERT INTO public.{table} (user_id, amount) VALUES (1, %s / 100.0) RETURNING id",
                       [MARKER_VALUE])  # fmt: skip
        ((number,),) = cursor.fetchall()
        return int(number)


def drop_table(settings: StackSettings, table: str) -> None:
    """Drop a table, also out of its publication; without effect where there is none."""
    with postgres.cursor(settings) as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS public.{table}; DROP FUNCTION IF EXISTS public.{table}_touched")


def leftovers(settings: StackSettings) -> list[str]:
    """What of a comparison is in the database: its tables, slot and publication."""
    with postgres.cursor(settings) as cursor:
        cursor.execute(_LEFTOVERS)
        return [name for _, name in cursor.fetchall()]


def drop_slot(settings: StackSettings, slot: str, seconds: float = 30) -> None:
    """Drop a slot, as soon as the task that reads it has ended; without effect where there is none."""
    limit = time.monotonic() + seconds
    while True:
        try:
            with postgres.cursor(settings) as cursor:
                cursor.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                               " WHERE slot_name = %s", [slot])  # fmt: skip
            return
        except psycopg2.errors.ObjectInUse:
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)


def drop_all(settings: StackSettings) -> None:
    """Drop the comparison's tables, slots and publication."""
    with postgres.cursor(settings) as cursor:
        cursor.execute(_LEFTOVERS)
        found = cursor.fetchall()
    for kind, name in found:
        if kind == "table":
            drop_table(settings, name)
        elif kind == "slot":
            drop_slot(settings, name)
    with postgres.cursor(settings) as cursor:
        cursor.execute(f"DROP PUBLICATION IF EXISTS {PUBLICATION}")


def enable_statements(settings: StackSettings) -> float:
    """Restart PostgreSQL with pg_stat_statements. Returns the seconds that its start took."""
    with postgres.cursor(settings) as cursor:
        cursor.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    postgres.halt(settings)
    began = time.monotonic()
    start(settings)
    seconds = time.monotonic() - began
    with postgres.cursor(settings) as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    return seconds


def start(settings: StackSettings) -> None:
    """Start PostgreSQL again and wait until it answers."""
    passwords = secrets.ensure(settings.folder / "secrets")
    postgres.launch(settings, passwords)
    postgres.wait_ready(settings, passwords)


def backends(settings: StackSettings) -> dict[str, list[int]]:
    """Pids of PostgreSQL's processes: walsender, capture (Debezium's other sessions), writer, background."""
    with postgres.cursor(settings) as cursor:
        cursor.execute(
            "SELECT pid, backend_type, usename FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type NOT LIKE 'autovacuum worker' AND usename IS DISTINCT FROM 'batch'"
            " AND (backend_type <> 'client backend' OR usename IN ('capture', 'app'))"
        )
        found: dict[str, list[int]] = {"walsender": [], "capture": [], "writer": [], "background": []}
        for pid, kind, role in cursor.fetchall():
            group = {"capture": "capture", "app": "writer"}.get(role, "background")
            found["walsender" if kind == "walsender" else group].append(pid)
        return found


def wal_position(settings: StackSettings) -> int:
    """Bytes of WAL written so far."""
    return int(_one(settings, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"))


def retained_bytes(settings: StackSettings) -> int:
    """WAL that the comparison's slot holds back now."""
    return next((each["retained_bytes"] or 0 for each in postgres.slots(settings) if each["name"] == SLOT), 0)


def slot_reader(settings: StackSettings) -> int | None:
    """Pid of the walsender that reads the comparison's slot now; None without one."""
    with postgres.cursor(settings) as cursor:
        cursor.execute("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", [SLOT])
        row = cursor.fetchone()
        return None if row is None else row[0]


def reset_statements(settings: StackSettings) -> bool:
    """Forget the statements so far. Returns whether pg_stat_statements is there at all."""
    try:
        _one(settings, "SELECT pg_stat_statements_reset() IS NOT NULL")
    except psycopg2.Error:
        return False
    return True


def statements(settings: StackSettings, like: str) -> dict[str, float]:
    """Sums of pg_stat_statements over the statements that are LIKE the pattern."""
    names = ("calls", "exec_ms", "rows", "blocks_hit", "blocks_read")
    with postgres.cursor(settings) as cursor:
        cursor.execute(_STATEMENTS, [like])
        (row,) = cursor.fetchall()
    return dict(zip(names, row, strict=True))


def table_values(settings: StackSettings, table: str) -> dict[int, int]:
    """Cents by id of the rows that a plan wrote last or that were there before, without the marker."""
    with postgres.cursor(settings) as cursor:
        cursor.execute(f"SELECT id, (amount * 100)::bigint FROM public.{table} WHERE amount <> %s / 100.0",
                       [MARKER_VALUE])  # fmt: skip
        return dict(cursor.fetchall())


def _one(settings: StackSettings, query: str) -> Any:
    with postgres.cursor(settings) as cursor:
        cursor.execute(query)
        ((found,),) = cursor.fetchall()
    return found
