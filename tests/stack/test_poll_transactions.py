"""The rules by polling, killed on the way, against the oracle on the real table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta

import psycopg2
import pytest

from fraudstream.cdc.envelope import ChangeEvent, Row
from fraudstream.check.oracle import Arrival, judge_topic
from fraudstream.check.settings import settings_for
from fraudstream.input.produce import Options, produce
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import REPOSITORY
from stack.world import table_rows

pytestmark = pytest.mark.stack


def run(dsn: str, sql: str) -> list[tuple]:
    with closing(psycopg2.connect(dsn)) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_a_poller_killed_again_and_again_finds_the_oracles_alerts_once(stack, tmp_path):
    app = stack.dsn("app")
    run(app, "DELETE FROM transactions")
    produce(app, Options(profile="hot", rows=6000, rate=0, update_share=0, delete_share=0, seed=3))
    rules_file = tmp_path / "rules.yaml"
    rules_file.write_text("anomaly: {severity: high}\nvelocity: {severity: high}\n")
    job = [sys.executable, str(REPOSITORY / "jobs" / "poll_transactions.py"), "--limit", "150", "--interval", "0"]
    job += ["--rules-file", str(rules_file), "--dsn", stack.dsn("batch")]
    places = {"env": {**os.environ, "FRAUDSTREAM_HOME": str(tmp_path)}, "stdout": subprocess.PIPE, "text": True}
    for lines in (1, 5, 11):
        with subprocess.Popen(job, **places) as process:
            assert process.stdout is not None
            for _ in range(lines):
                assert " rows up to id " in process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    subprocess.run([*job, "--once"], **places, check=True)
    found = sorted((row["rule"], row["transaction_id"]) for row in table_rows(f"{tmp_path}/lake/polled_alerts"))
    expected = []
    for rule in load_rules(rules_file):
        verdict = judge_topic(by_id(app), settings_for(rule.rule, rule.parameters))
        expected += [(rule.name, each.transaction_id) for each in verdict.alerts]
    assert found == sorted(expected)
    assert min(sum(alert[0] == rule for alert in found) for rule in ("anomaly", "velocity")) > 50


def by_id(dsn: str) -> list[Arrival]:
    """The table's rows in the order of their ids, as the oracle takes arrivals."""
    columns = "id, user_id, amount, card_type, merchant_id, created_at"
    arrivals = []
    found = run(dsn, f"SELECT {columns} FROM transactions ORDER BY id")
    for offset, (number, user, amount, card, merchant, at) in enumerate(found):
        cents = None if amount.is_nan() else int(amount * 100)
        micros = None if at is None else (at - datetime(1970, 1, 1)) // timedelta(microseconds=1)
        row = Row(number, user, cents, card, merchant, micros)
        # The profile's times are around now, or in 1969 or 2999.
        is_judged = cents is not None and at is not None and 1970 <= at.year < 2999
        arrivals.append(Arrival(0, offset, "judge" if is_judged else "unjudged", "", ChangeEvent("c", row)))
    return arrivals
