"""What an observer reads while files grow and alerts come."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fraudstream.check import observe
from fraudstream.check.latency import Batch
from fraudstream.check.observe import Observer, Progress, Tail
from fraudstream.config import load_pipeline


def test_a_line_without_its_end_is_read_when_it_is_complete(tmp_path: Path):
    path = tmp_path / "lines"
    tail = Tail(path)
    assert tail.new_lines() == []
    path.write_text("one\ntw")
    assert tail.new_lines() == [b"one"]
    assert tail.new_lines() == []
    with path.open("a") as file:
        file.write("o\n")
    assert tail.new_lines() == [b"two"]


def test_a_repeated_batch_counts_once_with_its_newest_figures(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    progress = Progress(path)
    lines = [
        {"batch_id": 0, "at": 1.0, "read": 10, "judged": 9, "ignored": 1, "duration_ms": 400,
         "began_at": "2026-11-23T06:41:51.100Z", "end": {"0": 3, "1": 7},
         "stages_ms": {"latestOffset": 7, "walCommit": 30, "getBatch": 1, "queryPlanning": 12, "addBatch": 320,
                       "commitOffsets": 30, "triggerExecution": 400}},
        {"batch_id": 1, "at": 2.0, "read": 5, "judged": 5, "ignored": 0},
        {"batch_id": 1, "at": 3.0, "read": 7, "judged": 6, "ignored": 1},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress.update()
    assert progress.sums == {"read": 17, "judged": 15, "ignored": 2}
    assert progress.batches == 2
    assert progress.durations == [(1.0, 400, 10)]
    assert progress.begun == [Batch(1795416111100.0, 1795416111150.0, {0: 3, 1: 7})]


def test_what_is_recent_counts_a_repeated_batch_once_by_its_newest_line(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    progress = Progress(path)
    lines = [
        {"batch_id": 0, "at": 1.0, "read": 9, "unreadable": 4},
        {"batch_id": 1, "at": 2.0, "read": 9, "unreadable": 3},
        {"batch_id": 1, "at": 5.0, "read": 9, "unreadable": 2},
        {"batch_id": 2, "at": 6.0, "read": 9},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress.update()
    assert [progress.recent("unreadable", since) for since in (1.0, 1.1, 5.0, 5.1)] == [6, 2, 2, 0]


def test_a_line_that_a_crash_cut_short_is_passed_over(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    progress = Progress(path)
    torn = '{"batch_id": 1, "at": 2.0, "re'
    lines = ['{"batch_id": 0, "at": 1.0, "read": 10}', torn, '{"batch_id": 1, "at": 3.0, "read": 7}']
    path.write_text("\n".join(lines) + "\n")
    progress.update()
    assert progress.sums == {"read": 17}


def _message(topic: str, at: int, value: bytes = b"") -> Any:
    said = {"error": None, "topic": topic, "partition": 0, "offset": 5, "timestamp": (2, at), "value": value}
    return SimpleNamespace(**{name: lambda found=found: found for name, found in said.items()})


def test_an_alert_that_comes_before_its_record_is_told_from_the_record_on(monkeypatch: pytest.MonkeyPatch, tmp_path):
    pipeline = load_pipeline()
    topics = pipeline.kafka.transactions_topic, pipeline.kafka.alerts_topic
    alert = {"rule": "velocity", "alert_id": "a", "committed_at": None, "captured_at": None, "partition": 0,
             "offset": 5}  # fmt: skip
    coming = [_message(topics[1], 1007, json.dumps(alert).encode()), _message(topics[0], 1003)]
    consumer = SimpleNamespace(
        assign=lambda parts: None, consume=lambda count, timeout: [coming.pop(0)] if coming else []
    )
    monkeypatch.setattr(observe, "Consumer", lambda settings: consumer)
    monkeypatch.setattr(observe, "partitions_of", lambda client, topic: [0])
    observer = Observer(pipeline, ["velocity"], tmp_path / "ledger.jsonl")
    observer.listen(0.01)
    found = observer.alerts["velocity"]
    assert (list(found.at), list(found.arrived)) == ([1007.0], [1003.0])
