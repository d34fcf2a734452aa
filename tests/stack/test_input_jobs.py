"""The producers and the watcher as a user runs them, on the real database and broker."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from fraudstream.input.ledger import read_ledger
from fraudstream.stack.connect import CONNECTORS, delete_connector, put_connector
from fraudstream.stack.postgres import cursor
from fraudstream.stack.settings import REPOSITORY, StackSettings

pytestmark = pytest.mark.stack
ALL = """
    SELECT id, user_id, amount::text, card_type, merchant_id, to_char(created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US')
    FROM public.transactions WHERE id > %s
"""


def job(name: str, *options: str) -> subprocess.Popen[str]:
    """A job under way, its output in pipes."""
    command = [sys.executable, str(REPOSITORY / "jobs" / f"{name}.py"), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a job that ends."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def replayed(path: Path) -> dict[int, list[object]]:
    """The rows that a ledger says there are."""
    rows: dict[int, list[object]] = {}
    for transaction in read_ledger(path):
        assert transaction.outcome == "committed"
        for change in transaction.changes:
            assert (change[0] == "c") == (change[1] not in rows)
            if change[0] == "d":
                del rows[change[1]]
            else:
                rows[change[1]] = change[2:]
    return rows


@pytest.fixture
def before(stack: StackSettings) -> int:
    """The greatest id so far: what a test writes comes after it."""
    with cursor(stack) as admin:
        admin.execute("SELECT last_value FROM public.transactions_id_seq")
        return int(admin.fetchone()[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def stored(settings: StackSettings, before: int) -> dict[int, list[object]]:
    with cursor(settings) as admin:
        admin.execute(ALL, [before])
        return {row[0]: list(row[1:]) for row in admin.fetchall()}


@pytest.mark.parametrize("profile", ["exercise", "realistic", "hot"])
def test_the_ledger_replayed_is_what_the_database_holds(stack, before, path, profile):
    options = ["--profile", profile, "--rows", "6100", "--rate", "0", "--ledger", str(path)]
    options += ["--update-share", "0.05", "--delete-share", "0.02"]
    code, out, err = done(job("produce_transactions", *options))
    assert (code, err) == (0, "")
    rows = replayed(path)
    changes = [change[0] for transaction in read_ledger(path) for change in transaction.changes]
    assert changes.count("c") == 6100
    assert 150 < changes.count("u") < 450
    assert 50 < changes.count("d") < 200
    assert rows == stored(stack, before)
    assert out.startswith("committed 6,100 rows")


def test_frauds_are_told_to_the_truth_in_the_same_transaction_and_to_no_pipeline_role(stack, before, path):
    options = ["--profile", "realistic", "--rows", "40000", "--rate", "0", "--delete-share", "0", "--ledger", str(path)]
    code, out, _ = done(job("produce_transactions", *options))
    assert code == 0
    rows = stored(stack, before)
    with cursor(stack) as admin:
        admin.execute("SELECT transaction_id, kind FROM truth.frauds WHERE transaction_id > %s", [before])
        frauds = dict(admin.fetchall())
    assert frauds.keys() <= rows.keys()
    assert set(frauds.values()) == {"burst", "card_testing", "amount_jump", "compromised_merchant"}
    assert f"{len(frauds):,} frauds" in out
    for role in ("capture", "batch"):
        other = psycopg2.connect(stack.dsn(role))
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            other.cursor().execute("SELECT * FROM truth.frauds")
        other.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_whole_batches(stack, before, path, number):
    process = job("produce_transactions", "--rate", "0", "--ledger", str(path))
    while not path.exists() or path.stat().st_size < 1_000_000:
        assert process.poll() is None
        select.select([], [], [], 0.01)
    os.kill(process.pid, number)
    code, out, err = done(process)
    assert (code, err) == (0, "")
    rows = stored(stack, before)
    assert len(rows) % 1000 == 0
    assert rows == replayed(path)
    assert out.startswith(f"committed {len(rows):,} rows")


def test_a_connection_that_the_server_ends_is_one_line_and_no_half_batch(stack, before, path):
    process = job("produce_transactions", "--rate", "0", "--ledger", str(path))
    while not path.exists() or path.stat().st_size < 500_000:
        assert process.poll() is None
        select.select([], [], [], 0.01)
    with cursor(stack) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    code, _, err = done(process)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    outcomes = [transaction.outcome for transaction in read_ledger(path)]
    assert set(outcomes[:-1]) == {"committed"}
    # One whose COMMIT got no answer may be there or not.
    known = sum(outcome == "committed" for outcome in outcomes) * 1000
    assert len(stored(stack, before)) in range(known, len(outcomes) * 1000 + 1, 1000)


@pytest.fixture(scope="module")
def readings(stack: StackSettings) -> Iterator[str]:
    """The topic of the temperatures, captured by a connector of the test's own."""
    found = json.loads((CONNECTORS / "temperatures.json").read_text(encoding="utf-8"))
    own = {"topic.prefix": "watched", "slot.name": "watched_slot"}
    with cursor(stack, "office_db") as admin:  # or its snapshot would show what other tests left
        admin.execute("TRUNCATE public.temperature_readings")
    name = put_connector(stack, {"name": "watched", "config": found["config"] | own})
    yield "watched.public.temperature_readings"
    delete_connector(stack, name)
    deadline = time.monotonic() + 30
    with cursor(stack, "office_db") as admin:
        dropped = (
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'watched_slot'"
        )
        while time.monotonic() < deadline:
            try:
                admin.execute(dropped)
                return
            except psycopg2.errors.ObjectInUse:
                select.select([], [], [], 0.1)


def test_each_of_several_watchers_sees_every_reading(readings):
    code, out, err = done(job("produce_temperatures", "--rows", "5", "--interval", "0.01", "--seed", "3"))
    assert (code, err) == (0, "")
    told = [line.split()[2] for line in out.splitlines()[:-1]]
    assert len(told) == 5
    assert all(18 <= float(each) <= 30 for each in told)
    watchers = [job("watch_changes", "--topic", readings, "--from", "beginning", "--limit", "5") for _ in range(2)]
    for watcher in watchers:
        code, out, _ = done(watcher)
        assert code == 0
        lines = out.splitlines()
        seen = [line.split(" temperature ")[1].split()[0] for line in lines]
        assert [f"{float(each):.2f}" for each in seen] == told
        assert all("insert" in line or "snapshot" in line for line in lines)


def test_a_watcher_ends_clean_on_ctrl_c(readings):
    process = job("watch_changes", "--topic", readings, "--from", "beginning")
    assert process.stderr is not None
    assert "waiting" in (first := process.stderr.readline()) or "watching" in first
    process.send_signal(signal.SIGINT)
    code, _, err = done(process)
    assert code == 0
    assert "Traceback" not in err
