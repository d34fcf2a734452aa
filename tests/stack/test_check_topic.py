"""The check's own reader and redeliveries on a real broker."""

from __future__ import annotations

import json
import time
from threading import Event
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from fraudstream.check import redeliver
from fraudstream.check.capture import read_copies
from fraudstream.check.redeliver import redelivering
from fraudstream.errors import StackError
from fraudstream.stack import kafka
from golden.topics import goldens, messages_of, pour
from stack.world import committed

pytestmark = pytest.mark.stack


@pytest.fixture
def topic(stack):
    name = f"check-{uuid4().hex[:8]}"
    admin = kafka.admin(stack)
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(30)
    yield name
    admin.delete_topics([name])[name].result(30)


def write(stack, topic, messages, **settings):
    producer = Producer({**kafka.client(stack), **settings})
    if settings:
        producer.init_transactions(30)
        producer.begin_transaction()
    for each in messages:
        producer.produce(topic, each.value, each.key, each.partition, headers=list(each.headers) or None)
    assert producer.flush(30) == 0
    return producer


def test_the_reader_gives_every_record_as_it_was_written(stack, topic):
    messages = pour(goldens())
    write(stack, topic, messages)
    read = sorted(committed(stack, topic), key=lambda record: record[:2])
    wanted = sorted(messages, key=lambda message: (message.partition, message.offset))
    assert [record[:5] for record in read] == [
        (each.partition, each.offset, each.key, each.value, each.headers) for each in wanted
    ]


def test_the_reader_passes_over_aborted_records_and_ends_behind_them(stack, topic):
    write(stack, topic, messages_of("c 1 u1 10.00 +0", 1), **{"transactional.id": topic}).commit_transaction(30)
    write(stack, topic, messages_of("c 2 u1 10.00 +0", 1), **{"transactional.id": topic}).abort_transaction(30)
    assert [json.loads(record.value)["after"]["id"] for record in committed(stack, topic)] == [100_001]


def test_the_reader_names_a_topic_that_is_not_there(stack):
    with pytest.raises(StackError, match=r"topic nowhere: .*make status"):
        committed(stack, "nowhere")


def test_redeliveries_are_equal_copies_and_all_stand_in_the_log(stack, topic, tmp_path, monkeypatch):
    monkeypatch.setattr(redeliver, "_SHARE", 1.0)
    monkeypatch.setattr(redeliver, "_DELAYS", ((1, 0, 0),))
    log = tmp_path / "copies.jsonl"
    with redelivering(stack.bootstrap, topic, log, 1, kafka.client_options(stack)):
        write(stack, topic, messages_of("c 1..10 u1 10.00 +0/1\nmove 3 u1>u2 10.00 +2 p0>p1", 1))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (log.exists() and log.read_text().count("\n") >= 12):
            Event().wait(0.05)
    records = {(record.partition, record.offset): record for record in committed(stack, topic)}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(line["partition"], line["offset"]) for line in lines} == read_copies(log)
    assert len(lines) >= 12
    assert len(records) == 12 + len(lines)
    for line in lines:
        copy, original = records[line["partition"], line["offset"]], records[tuple(line["of"])]
        assert copy[2:5] == original[2:5]
