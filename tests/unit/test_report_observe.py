"""What an observer reads while files grow and alerts come."""

from __future__ import annotations

import json
from pathlib import Path

from fraudstream.check.observe import Latencies, Progress, Tail, epoch_ms


def _alert(number: int, committed: str | None, captured: str | None = None) -> dict[str, str | None]:
    return {"alert_id": f"a{number}", "committed_at": committed, "captured_at": captured}


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
        {"batch_id": 0, "at": 1.0, "read": 10, "judged": 9, "ignored": 1, "duration_ms": 400},
        {"batch_id": 1, "at": 2.0, "read": 5, "judged": 5, "ignored": 0},
        {"batch_id": 1, "at": 3.0, "read": 7, "judged": 6, "ignored": 1},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress.update()
    assert progress.sums == {"read": 17, "judged": 15, "ignored": 2}
    assert progress.batches == 2
    assert progress.durations == [(1.0, 400, 10)]


def test_latency_is_from_the_commit_to_kafkas_timestamp_of_the_first_copy():
    found = Latencies()
    committed = epoch_ms("2026-11-23T06:41:51.100Z")
    assert committed == 1795416111100
    found.add(_alert(1, "2026-11-23T06:41:51.100Z", "2026-11-23T06:41:51.150Z"), 1795416111600)
    found.add(_alert(1, "2026-11-23T06:41:51.100Z", "2026-11-23T06:41:51.150Z"), 1795416119999)
    assert list(found.total) == [500]
    assert list(found.capture) == [50]
    assert found.copies == 1


def test_an_alert_without_a_commit_time_is_counted_but_has_no_latency():
    found = Latencies()
    found.add(_alert(1, None), 1000)
    found.add(_alert(2, "1970-01-01T00:00:02.000Z"), 2500)
    assert len(found.at) == 2
    assert found.between(0, 10).tolist() == [500]
    assert found.latest(2.0).tolist() == [500]
    assert found.latest(3.0).tolist() == []


def test_a_line_that_a_crash_cut_short_is_passed_over(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    progress = Progress(path)
    lines = ['{"batch_id": 0, "at": 1.0, "read": 10}', '{"batch_id": 1, "at": 2.0, "re', '{"batch_id": 1, "read": 7}']
    path.write_text("\n".join(lines) + "\n")
    progress.update()
    assert progress.sums == {"read": 17}
