"""Each role of the database can do its work, and is refused the rest."""

from __future__ import annotations

import psycopg2
import pytest
from psycopg2.extras import LogicalReplicationConnection, PhysicalReplicationConnection

from fraudstream.stack import postgres
from stack.world import connection

pytestmark = pytest.mark.stack
ROW = "INSERT INTO public.transactions (user_id, amount) VALUES (1, 1)"
PERSON = "INSERT INTO public.people_big (first_name) VALUES ('mine')"
READING = "INSERT INTO public.temperature_readings (sensor_id) VALUES ('mine')"
ALLOWED = {
    ("mydb", "capture"): (
        "SELECT * FROM public.transactions", "SELECT * FROM public.people_big", "UPDATE dbz.heartbeat SET ts = now()",
        "INSERT INTO dbz.signal VALUES ('roles', 'log', '{}')", "DELETE FROM dbz.signal WHERE id = 'roles'",
    ),
    ("mydb", "batch"): ("SELECT * FROM public.transactions", "SELECT * FROM public.people_big"),
    ("mydb", "app"): (
        ROW, "UPDATE public.transactions SET amount = 2", "DELETE FROM public.transactions",
        "SELECT * FROM public.transactions", PERSON, "TRUNCATE public.people_big",
        "INSERT INTO truth.frauds VALUES (1, 'test')",
    ),
    ("office_db", "capture"): (
        "SELECT * FROM public.temperature_readings", "UPDATE dbz.heartbeat SET ts = now()",
        "INSERT INTO dbz.signal VALUES ('roles', 'log', '{}')", "DELETE FROM dbz.signal WHERE id = 'roles'",
    ),
    ("office_db", "batch"): ("SELECT * FROM public.temperature_readings",),
    ("office_db", "app"): (
        READING, "UPDATE public.temperature_readings SET temperature = 2", "DELETE FROM public.temperature_readings",
        "SELECT * FROM public.temperature_readings",
    ),
}  # fmt: skip
# Of none of the roles, in either database.
NOT_OF_A_SERVICE = (
    "CREATE TABLE public.mine (a int)", "CREATE TEMPORARY TABLE mine (a int)", "CREATE SCHEMA mine",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE PUBLICATION mine FOR ALL TABLES",
    "CREATE SUBSCRIPTION mine CONNECTION 'dbname=mydb' PUBLICATION mine WITH (connect = false)",
    "CREATE ROLE mine", "ALTER ROLE CURRENT_USER SUPERUSER", "ALTER ROLE postgres PASSWORD 'mine'",
    "GRANT pg_read_all_data TO CURRENT_USER", "SET ROLE postgres", "SET session_replication_role = replica",
    "SELECT rolpassword FROM pg_authid", "SELECT pg_read_file('/etc/passwd')", "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()", "SELECT * FROM pg_hba_file_rules",
)  # fmt: skip
# Of none of the roles either: the tables and publications are the superuser's.
OF_THE_OWNER = (
    "COPY public.transactions TO PROGRAM 'cat'", "ALTER TABLE public.transactions REPLICA IDENTITY NOTHING",
    "DROP TABLE public.transactions", "CREATE INDEX mine ON public.transactions (amount)",
    "CREATE PUBLICATION mine FOR TABLE public.transactions", "DROP PUBLICATION fraud_publication",
    "ALTER PUBLICATION fraud_publication DROP TABLE dbz.signal",
)  # fmt: skip
# A role with REPLICATION may do these to any slot.
SLOTS = (
    "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')", "SELECT pg_drop_replication_slot('fraud_slot')",
    "SELECT pg_create_physical_replication_slot('mine')",
    "SELECT pg_replication_slot_advance('fraud_slot', pg_current_wal_lsn())",
    "SELECT pg_logical_slot_peek_binary_changes('fraud_slot', NULL, 1)",
)  # fmt: skip
REFUSED = {
    ("mydb", "capture"): (
        ROW, PERSON, "UPDATE public.transactions SET amount = 2", "UPDATE public.people_big SET salary = 2",
        "DELETE FROM public.transactions", "TRUNCATE public.transactions", "SELECT * FROM truth.frauds",
        "LOCK TABLE public.transactions IN SHARE MODE", "SELECT nextval('public.transactions_id_seq')",
        "INSERT INTO dbz.heartbeat VALUES (2)", "DELETE FROM dbz.heartbeat", "UPDATE dbz.signal SET data = 'mine'",
        *OF_THE_OWNER,
    ),
    ("mydb", "batch"): (
        ROW, PERSON, "UPDATE public.transactions SET amount = 2", "DELETE FROM public.transactions",
        "LOCK TABLE public.transactions IN SHARE MODE", "SELECT nextval('public.transactions_id_seq')",
        "SELECT * FROM dbz.signal", "SELECT * FROM dbz.heartbeat", "SELECT * FROM truth.frauds",
        *OF_THE_OWNER, *SLOTS,
    ),
    ("mydb", "app"): (
        "TRUNCATE public.transactions", "SELECT setval('public.transactions_id_seq', 1)", "SELECT * FROM dbz.signal",
        "INSERT INTO dbz.signal VALUES ('a', 'b', 'c')", "UPDATE dbz.heartbeat SET ts = now()",
        "UPDATE truth.frauds SET kind = 'mine'", "TRUNCATE truth.frauds", *OF_THE_OWNER, *SLOTS,
    ),
    ("office_db", "capture"): (
        READING, "UPDATE public.temperature_readings SET temperature = 2", "DELETE FROM dbz.heartbeat",
        "TRUNCATE public.temperature_readings",
    ),
    ("office_db", "batch"): (READING, "DELETE FROM public.temperature_readings", "SELECT * FROM dbz.signal"),
    ("office_db", "app"): ("TRUNCATE public.temperature_readings", "SELECT * FROM dbz.signal",
                           "UPDATE dbz.heartbeat SET ts = now()"),
}  # fmt: skip


def attempt(settings, database: str, role: str, statement: str) -> None:
    """Run the statement as the role, in a transaction that may write, and take it back."""
    with connection(settings, role, database) as opened, opened.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ WRITE")
        cursor.execute(statement)
        opened.rollback()


@pytest.mark.parametrize(("database", "role"), ALLOWED)
def test_a_role_can_do_its_work(stack, database, role):
    for statement in ALLOWED[database, role]:
        attempt(stack, database, role, statement)


@pytest.mark.parametrize(("database", "role"), REFUSED)
def test_a_role_is_refused_what_is_not_its_work(stack, database, role):
    allowed = []
    for statement in (*REFUSED[database, role], *NOT_OF_A_SERVICE):
        try:
            attempt(stack, database, role, statement)
            allowed.append(statement)
        except psycopg2.errors.InsufficientPrivilege:
            pass
    assert allowed == []


def test_capture_may_move_and_drop_the_slots_of_others_for_replication_is_one_right(stack):
    with postgres.cursor(stack) as admin:
        admin.execute("SELECT pg_create_logical_replication_slot('roles', 'pgoutput')")
    try:
        attempt(stack, "mydb", "capture", "SELECT pg_replication_slot_advance('roles', pg_current_wal_lsn())")
        attempt(stack, "mydb", "capture", "SELECT pg_drop_replication_slot('roles')")
        assert "roles" not in {slot["name"] for slot in postgres.slots(stack)}
    finally:
        postgres.drop_slot(stack, "roles")


@pytest.mark.parametrize("role", ["batch", "app"])
def test_only_capture_may_read_the_change_stream(stack, role):
    psycopg2.connect(stack.dsn("capture"), connection_factory=LogicalReplicationConnection).close()
    with pytest.raises(psycopg2.OperationalError, match="permission denied to start WAL sender"):
        psycopg2.connect(stack.dsn(role), connection_factory=LogicalReplicationConnection)


@pytest.mark.parametrize("role", ["postgres", "capture", "batch", "app"])
def test_nobody_has_a_connection_for_physical_replication(stack, role):
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry for replication connection"):
        psycopg2.connect(stack.dsn(role), connection_factory=PhysicalReplicationConnection)


@pytest.mark.parametrize("role", ["capture", "batch", "app"])
@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_a_service_is_kept_out_of_the_servers_own_databases(stack, database, role):
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(stack.dsn(role, database))


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
