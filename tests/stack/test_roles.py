"""Each role of the database can do its work, and is refused the rest."""

from __future__ import annotations

import psycopg2
import pytest

from stack.world import connection

pytestmark = pytest.mark.stack
ROW = "INSERT INTO public.transactions (user_id, amount) VALUES (1, 1)"
ALLOWED = {
    "capture": ("SELECT * FROM public.transactions", "UPDATE dbz.heartbeat SET ts = now()",
                "INSERT INTO dbz.signal VALUES ('roles', 'log', '{}')", "DELETE FROM dbz.signal WHERE id = 'roles'"),
    "batch": ("SELECT * FROM public.transactions", "SELECT * FROM public.people_big"),
    "app": (ROW, "UPDATE public.transactions SET amount = 2", "DELETE FROM public.transactions",
            "SELECT * FROM public.transactions", "INSERT INTO truth.frauds VALUES (1, 'test')"),
}  # fmt: skip
NOT_OF_A_SERVICE = (
    "CREATE TABLE public.mine (a int)", "CREATE SCHEMA mine", "CREATE ROLE mine",
    "ALTER ROLE postgres PASSWORD 'mine'", "SET ROLE postgres", "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('/etc/passwd')", "COPY public.transactions TO PROGRAM 'cat'", "SELECT pg_reload_conf()",
    "ALTER TABLE public.transactions REPLICA IDENTITY NOTHING", "DROP TABLE public.transactions",
    "CREATE PUBLICATION mine FOR TABLE public.transactions",
    "ALTER PUBLICATION fraud_publication DROP TABLE dbz.signal",
)  # fmt: skip
REFUSED = {
    "capture": (ROW, "UPDATE public.transactions SET amount = 2", "DELETE FROM public.transactions",
                "TRUNCATE public.transactions", "SELECT * FROM truth.frauds", "DELETE FROM dbz.heartbeat"),
    "batch": (ROW, "UPDATE public.transactions SET amount = 2", "DELETE FROM public.transactions",
              "SELECT * FROM dbz.signal", "SELECT * FROM truth.frauds",
              "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')"),
    "app": ("TRUNCATE public.transactions", "SELECT * FROM dbz.signal", "INSERT INTO dbz.signal VALUES ('a', 'b', 'c')",
            "UPDATE dbz.heartbeat SET ts = now()", "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
            "SELECT pg_drop_replication_slot('fraud_slot')"),
}  # fmt: skip


def attempt(settings, role: str, statement: str) -> None:
    """Run the statement as the role, in a transaction that may write, and take it back."""
    with connection(settings, role) as database, database.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ WRITE")
        cursor.execute(statement)
        database.rollback()


@pytest.mark.parametrize("role", ALLOWED)
def test_a_role_can_do_its_work(stack, role):
    for statement in ALLOWED[role]:
        attempt(stack, role, statement)


@pytest.mark.parametrize("role", REFUSED)
def test_a_role_is_refused_what_is_not_its_work(stack, role):
    allowed = []
    for statement in (*REFUSED[role], *NOT_OF_A_SERVICE):
        try:
            attempt(stack, role, statement)
            allowed.append(statement)
        except psycopg2.errors.InsufficientPrivilege:
            pass
    assert allowed == []


def test_the_batch_roles_transactions_are_read_only_and_bounded_unless_they_ask_otherwise(stack):
    with connection(stack, "batch") as database, database.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        assert cursor.fetchone() == ("on",)
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("10min",)


def test_nobody_comes_in_without_a_password_or_from_another_address(stack):
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host="localhost", port=stack.postgres_port, dbname="mydb", user="capture", password="wrong")
    with connection(stack, "postgres") as database, database.cursor() as cursor:
        cursor.execute("SELECT address, auth_method FROM pg_hba_file_rules")
        assert set(cursor.fetchall()) == {("127.0.0.1", "scram-sha-256"), ("::1", "scram-sha-256")}
        cursor.execute("SHOW listen_addresses")
        assert cursor.fetchone() == ("localhost",)
