"""The stack's life on real components, in one home: each test finds it up and leaves it up, the last one ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import psycopg2
import pytest
from confluent_kafka import Consumer, TopicPartition

from fraudstream.errors import GuardError, StackError
from fraudstream.stack import connect, kafka, lifecycle, postgres, secrets
from fraudstream.stack.processes import COMPONENTS, pid_of, process_of, wait_until
from fraudstream.stack.processes import ports as ports_of
from fraudstream.stack.settings import StackSettings, free_ports, load_settings

pytestmark = pytest.mark.stack
TOPIC = "dbserver1.public.transactions"


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> StackSettings:
    settings = load_settings(tmp_path_factory.mktemp("lifecycle"), free_ports())
    yield settings
    lifecycle.down(settings)


def environment(settings: StackSettings) -> dict[str, str]:
    ports = {name: str(port) for component in COMPONENTS for name, port in ports_of(settings, component).items()}
    return {**os.environ, "FRAUDSTREAM_HOME": str(settings.home), **ports}


def command(settings: StackSettings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fraudstream.stack", *words],
        env=environment(settings), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def pids(settings: StackSettings) -> list[int | None]:
    return [pid_of(settings, component) for component in COMPONENTS]


def execute(settings: StackSettings, role: str, sql: str, database: str = "mydb") -> list[tuple]:
    connection = psycopg2.connect(settings.dsn(role, database))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def captured(settings: StackSettings, wanted: Callable[[dict], bool]) -> dict:
    """The first change event of the transactions' topic that is wanted; waits for it up to 30 s."""
    consumer = Consumer({**kafka.client(settings), "group.id": "test", "log_level": 0,
                         "isolation.level": "read_committed"})  # fmt: skip
    try:
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(settings.topic_partitions)])
        while (message := consumer.poll(30)) is not None:
            assert message.error() is None
            event = json.loads(message.value())
            if wanted(event):
                return event
        pytest.fail("no such change event within 30 s")
    finally:
        consumer.close()


def test_up_starts_everything_and_changes_reach_kafka(stack):
    done = command(stack, "up", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["seconds"] < 60
    assert None not in pids(stack)
    execute(stack, "app", "INSERT INTO transactions (user_id, amount, card_type) VALUES (7, 12.30, 'VISA')")
    event = captured(stack, lambda each: True)
    assert (event["op"], event["after"]["user_id"], event["after"]["amount"]) == ("c", 7, "12.30")


def test_a_second_up_is_a_no_op(stack):
    before = pids(stack)
    assert lifecycle.up(stack) < 10
    assert pids(stack) == before


def test_a_changed_connector_goes_on_with_its_new_configuration(stack):
    found = json.loads((connect.CONNECTORS / "transactions.json").read_text())
    connect.put_connector(stack, found | {"config": found["config"] | {"heartbeat.interval.ms": "4321"}})
    assert connect.connectors(stack)["transactions"]["heartbeat.interval.ms"] == "4321"
    execute(stack, "app", "INSERT INTO transactions (user_id, amount, card_type) VALUES (8, 1.00, 'VISA')")
    captured(stack, lambda event: event["after"]["user_id"] == 8)
    connect.put_connector(stack, connect.CONNECTORS / "transactions.json")


def test_status_shows_components_connector_slot_topics_and_disk(stack):
    found = json.loads(command(stack, "status", "--json").stdout)
    assert found["healthy"] is True
    assert {name: each["state"] for name, each in found["components"].items()} == dict.fromkeys(COMPONENTS, "running")
    assert found["connectors"] == {"transactions": {"connector": "RUNNING", "tasks": ["RUNNING"], "trace": None}}
    (slot,) = found["slots"]
    assert (slot["name"], slot["database"], slot["wal_status"]) == ("fraud_slot", "mydb", "reserved")
    assert found["topics"][TOPIC]["partitions"] == found["topics"]["fraud.alerts"]["partitions"] == 2
    assert found["topics"][TOPIC]["offsets"] >= 1
    assert found["disk"]["used_bytes"] > 0
    shown = command(stack, "status").stdout
    assert "connector transactions: RUNNING" in shown
    assert "\x1b" not in shown


def test_listeners_are_on_loopback_only(stack):
    for component in COMPONENTS:
        process = process_of(stack, component)
        listening = {each.laddr.ip for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
        assert listening, component
        assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, component


def test_a_second_connector_on_the_same_topics_is_refused(stack):
    with pytest.raises(StackError, match=r"exercise is refused: connector transactions already writes .* dbserver1\."):
        connect.put_connector(stack, connect.CONNECTORS / "exercise.json")
    assert set(connect.connectors(stack)) == {"transactions"}


def test_the_password_is_nowhere_but_in_its_file(stack):
    secret = (stack.folder / "secrets" / "capture.properties").read_text().strip().removeprefix("password=")
    assert secret not in json.dumps(connect.connectors(stack))
    logs = [path for folder in ("logs", "config") for path in (stack.folder / folder).iterdir()]
    assert [path for path in logs if secret in path.read_text(errors="replace")] == []


def test_a_killed_connect_is_shown_as_crashed_and_up_heals_it_alone(stack):
    before = pids(stack)
    process = process_of(stack, "connect")
    process.kill()
    psutil.wait_procs([process], timeout=10)
    shown = command(stack, "status", "--json")
    found = json.loads(shown.stdout)
    assert shown.returncode == 1
    assert (found["components"]["connect"]["state"], found["healthy"]) == ("crashed", False)
    assert found["components"]["connect"]["last_lines"]
    execute(stack, "app", "INSERT INTO transactions (user_id, amount) VALUES (8, 8)")
    healed = command(stack, "up")
    assert healed.returncode == 0
    assert healed.stderr.startswith("Kafka Connect had ended by itself and starts anew; its log is now")
    assert pids(stack)[:2] == before[:2]
    assert captured(stack, lambda event: event["after"]["user_id"] == 8)["op"] == "c"


def test_a_slot_moved_past_the_stored_offset_is_refused_before_connect_starts(stack):
    execute(stack, "app", "INSERT INTO transactions (user_id, amount) VALUES (9, 9)")
    captured(stack, lambda event: event["after"]["user_id"] == 9)
    connect.halt(stack)
    execute(stack, "app", "INSERT INTO transactions (user_id, amount) VALUES (10, 10)")
    execute(stack, "postgres", "SELECT pg_replication_slot_advance('fraud_slot', pg_current_wal_lsn())")
    with pytest.raises(GuardError, match=r"slot fraud_slot stands at .*, ahead of the connector's stored offset"):
        lifecycle.up(stack)
    assert pid_of(stack, "connect") is None
    assert pid_of(stack, "postgres") is not None


def test_down_stops_what_is_left_of_a_half_dead_stack(stack):
    os.kill(pid_of(stack, "kafka"), signal.SIGSTOP)
    processes = [process_of(stack, component) for component in ("postgres", "kafka")]
    family = [each for process in processes for each in (process, *process.children(recursive=True))]
    assert lifecycle.down(stack) == ["kafka", "postgres"]
    assert pids(stack) == [None, None, None]
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    assert lifecycle.down(stack) == []


def test_purge_leaves_nothing(stack):
    assert lifecycle.purge(stack) == [stack.folder]
    assert list(stack.home.iterdir()) == []
    assert lifecycle.purge(stack) == []


def test_an_interrupted_first_start_leaves_nothing_running_and_the_next_one_works(stack):
    first = subprocess.Popen(
        [sys.executable, "-m", "fraudstream.stack", "up"],
        env=environment(stack), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        limit = time.monotonic() + 60
        while pid_of(stack, "postgres") is None and time.monotonic() < limit:
            time.sleep(0.01)
        first.send_signal(signal.SIGINT)
        assert first.communicate(timeout=60)[1] == "interrupted; `make down` stops what still runs\n"
    finally:
        first.kill()
    assert first.returncode == 130
    assert pids(stack) == [None, None, None]
    assert not (postgres.data_folder(stack) / "complete").exists()


def test_a_first_start_killed_in_the_middle_of_the_sql_is_begun_anew(stack):
    postgres.launch(stack, secrets.ensure(stack.folder / "secrets"))

    def half_made() -> bool:
        try:
            with postgres.cursor(stack, "postgres") as cursor:
                cursor.execute("CREATE DATABASE mydb")
        except psycopg2.OperationalError:
            return False
        return True

    wait_until(stack, "postgres", half_made, 60)
    lifecycle.up(stack, connector=None)
    assert execute(stack, "app", "SELECT count(*) FROM transactions") == [(0,)]
    assert lifecycle.status(stack)["slots"] == []
    lifecycle.purge(stack)
    assert pids(stack) == [None, None, None]
