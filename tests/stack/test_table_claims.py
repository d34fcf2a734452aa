"""The queries of people and of temperatures on a real broker: what would double rows, or mix the records of two topics,
is refused, and started over it has each row once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from fraudstream.config import load_pipeline
from fraudstream.errors import GuardError, Runbook
from fraudstream.stack import kafka
from fraudstream.streams import table_mirror
from fraudstream.streams.people import people_table
from fraudstream.temperature import follow
from fraudstream.temperature.windows import Windows
from stack.world import table_rows

pytestmark = pytest.mark.stack
HOLD = """
import sys
from fraudstream.streams.manifest import hold_table
hold_table(sys.argv[1])
print(flush=True)
input()
"""
PERSON = {"first_name": "A", "last_name": "B", "gender": "F", "department": "C", "salary": 1000, "country": "Peru"}
READING = {"sensor_id": "sensor_1", "temperature": 20.5, "recorded_at": 1_795_000_000_000_000}


def people(spark, pipeline, topic: str, *, anew: bool) -> None:
    if anew:
        table_mirror.reset(spark, pipeline, people_table(topic))
    table_mirror.start_table(spark, pipeline, people_table(topic), until_caught_up=True).awaitTermination()


def temperatures(spark, pipeline, topic: str, *, anew: bool) -> None:
    if anew:
        follow.reset(spark, pipeline, topic)
    options = {"topic": topic, "zone": "UTC", "trigger": "1 second", "until_caught_up": True}
    follow.start(spark, pipeline, Windows(), lambda *_: None, **options).awaitTermination()


def write_topic(stack, topic: str, row: dict[str, Any]) -> None:
    """A topic of three rows, and a message that nobody can read."""
    client = kafka.admin(stack)  # the answer does not come to a client that is gone
    client.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer(kafka.client(stack))
    for number in (1, 2, 3):
        source = {"ts_ms": 1_795_000_000_000, "lsn": number, "snapshot": "false"}
        change = {
            "before": None,
            "after": {"id": number, **row},
            "source": source,
            "op": "c",
            "ts_ms": 1_795_000_000_000,
        }
        producer.produce(topic, json.dumps(change))
    producer.produce(topic, b"{")
    assert producer.flush(30) == 0


def refused(action: Callable[[], object], runbook: Runbook) -> None:
    with pytest.raises(GuardError) as refusal:
        action()
    assert refusal.value.runbook == runbook, refusal.value


@pytest.mark.parametrize(
    ("run", "row", "query", "table"),
    [
        (people, PERSON, "people_big", "people_big"),
        (temperatures, READING, "average_temperature", "temperature_readings"),
    ],
    ids=["people", "temperatures"],
)
def test_a_query_is_not_begun_anew_nor_beside_another_nor_on_another_topic_unasked(
    stack, spark, tmp_path: Path, run, row, query, table
):
    pipeline = replace(load_pipeline(), **{name: str(tmp_path / name) for name in ("lake", "checkpoints", "progress")})
    topic = f"claimed.public.{table}"
    write_topic(stack, topic, row)
    session = spark.newSession()

    command = [sys.executable, "-c", HOLD, pipeline.table(table)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"
        refused(lambda: run(session, pipeline, topic, anew=False), "table-in-use")
        other.communicate(b"\n")
    run(session, pipeline, topic, anew=False)
    shutil.rmtree(pipeline.checkpoint(query))
    refused(lambda: run(session, pipeline, topic, anew=False), "checkpoint-gone")
    run(session, pipeline, topic, anew=True)
    assert sorted(each["id"] for each in table_rows(pipeline.table(table))) == [1, 2, 3]
    assert [each["value"] for each in table_rows(pipeline.table(f"{table}_quarantine"))] == [b"{"]

    kafka.delete_topic(stack, topic)
    while topic in kafka.admin(stack).list_topics(timeout=10).topics:
        pass
    write_topic(stack, topic, row)
    refused(lambda: run(session, pipeline, topic, anew=False), "topic-replaced")
    run(session, pipeline, topic, anew=True)
    assert sorted(each["id"] for each in table_rows(pipeline.table(table))) == [1, 2, 3]
