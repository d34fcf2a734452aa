"""The example agent on a real broker: it finds the alerts worked out by hand, beside another agent that does too."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from fraudstream.stack.settings import REPOSITORY
from golden.topics import Golden, goldens, pour

pytestmark = pytest.mark.stack
AGENT = REPOSITORY / "examples" / "agent.py"


def _within_the_exercise(golden: Golden) -> bool:
    """Whether the file has the exercise's parameters, and no redeliveries or snapshots: the agent knows neither."""
    counts = golden.counts["anomaly"]
    repeated = {"redelivered", "superseded"} & counts["ignored"].keys()
    return not golden.parameters and not repeated and counts["history"] == 0


@pytest.fixture(scope="module")
def files() -> list[Golden]:
    return [golden for golden in goldens() if _within_the_exercise(golden)]


@pytest.fixture(scope="module")
def topic(stack, files: list[Golden]) -> str:
    """A topic with the files' messages, and at its end in each partition an alert that no file has."""
    name, client = "agent.transactions", AdminClient({"bootstrap.servers": stack.bootstrap})
    client.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])[name].result(30)
    producer = Producer({"bootstrap.servers": stack.bootstrap})
    for message in pour(files):
        producer.produce(name, message.value, message.key, message.partition, headers=list(message.headers))
    for partition in (0, 1):
        for number, amount in enumerate(("1.00", "1.00", "1.00", "600.00"), start=99999901):
            row = {"id": number, "user_id": 999_999 + partition, "amount": amount, "created_at": 1_772_366_400_000_000}
            producer.produce(name, _insert(row), None, partition)
    assert producer.flush(30) == 0
    return name


def _insert(row: dict[str, object]) -> bytes:
    source = {"snapshot": "false", "lsn": 1, "txId": 1, "ts_ms": 1_772_366_400_000, "table": "transactions"}
    after = {**row, "card_type": "VISA", "merchant_id": 1}
    return json.dumps(
        {"before": None, "after": after, "source": source, "op": "c", "ts_ms": 1_772_366_400_050}
    ).encode()


def _start(group: str, stack, topic: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(AGENT), group, stack.bootstrap, topic]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _alerts_until_the_end(agent: subprocess.Popen[str]) -> list[int]:
    """Transactions that the agent names until both partitions' last alerts have come."""
    assert agent.stdout is not None
    found: list[int] = []
    while found.count(99999904) < 2:
        line = agent.stdout.readline()
        named = re.fullmatch(r"user \d+: transaction (\d+) of [\d.]+\n", line)
        assert named, f"not an alert: {line!r}"
        found.append(int(named[1]))
    agent.send_signal(signal.SIGINT)
    agent.wait(30)
    return sorted(each for each in found if each != 99999904)


def test_two_agents_find_each_all_alerts_worked_out_by_hand(stack, topic: str, files: list[Golden]):
    expected = sorted(alert for golden in files for alert in golden.alerts["anomaly"])
    assert len(files) >= 15
    assert len(expected) >= 8
    agents = [_start(group, stack, topic) for group in ("one", "two")]
    try:
        assert [_alerts_until_the_end(agent) for agent in agents] == [expected, expected]
    finally:
        for agent in agents:
            agent.kill()


def test_the_agent_is_as_short_as_an_exercise():
    assert len(AGENT.read_text(encoding="utf-8").splitlines()) < 40
