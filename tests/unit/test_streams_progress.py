from __future__ import annotations

import json
from pathlib import Path

import pytest

from fraudstream.errors import GuardError
from fraudstream.streams import progress


def entries(**counts: int) -> dict[str, int]:
    return {"read": 0, "judge": 0, "history": 0, "unjudged": 0, "unreadable": 0, "ignored": 0, **counts}


def test_a_redelivered_and_a_superseded_record_count_as_ignored():
    counts = entries(read=12, judge=7, history=2, unjudged=1, unreadable=1, ignored=1)
    folded = {"judged": 5, "history": 1, "redelivered": 2, "superseded": 1}
    parts = progress.parts_of(counts, folded)
    assert parts == {
        "read": 12, "judged": 5, "history": 1, "unjudged": 1, "unreadable": 1, "ignored": 4,
        "redelivered": 2, "superseded": 1,
    }  # fmt: skip
    assert parts["read"] == sum(parts[name] for name in progress.PARTS)


def test_corrections_are_a_part_and_changes_that_correct_nothing_are_ignored():
    folded = {"judged": 5, "history": 1, "redelivered": 2, "superseded": 0, "corrected": 4, "not_kept": 3}
    parts = progress.parts_of(entries(read=20, judge=6, history=0, ignored=4), {**folded, "uncorrected": 1})
    assert parts == {
        "read": 20, "judged": 5, "history": 1, "corrected": 4, "unjudged": 0, "unreadable": 0, "ignored": 10,
        "redelivered": 2, "superseded": 0, "not_kept": 3, "uncorrected": 1,
    }  # fmt: skip
    assert parts["read"] == parts["corrected"] + sum(parts[name] for name in progress.PARTS)


def test_a_rule_without_state_judges_every_record_to_judge():
    parts = progress.parts_of(entries(read=3, judge=2, history=1), None)
    assert (parts["judged"], parts["history"], parts["ignored"]) == (2, 1, 0)


def test_the_last_line_of_a_repeated_batch_counts(tmp_path: Path):
    for batch, read in ((0, 5), (1, 7), (1, 9)):
        progress.append_line(str(tmp_path), "anomaly", {"batch_id": batch, "read": read})
    assert [(line["batch_id"], line["read"]) for line in progress.read_lines(str(tmp_path), "anomaly")] == [
        (0, 5),
        (1, 9),
    ]


def test_a_line_cut_short_is_passed_over(tmp_path: Path):
    progress.append_line(str(tmp_path), "anomaly", {"batch_id": 0, "read": 5})
    with (tmp_path / "anomaly.jsonl").open("a") as file:
        file.write('{"query": "anomaly", "batch')
    assert [line["batch_id"] for line in progress.read_lines(str(tmp_path), "anomaly")] == [0]


def test_spark_offsets_are_read_per_partition():
    assert progress.offsets_by_partition('{"t":{"0":12,"1":7}}') == {"0": 12, "1": 7}


def test_a_committed_batch_without_a_line_is_counted_again_and_only_that(tmp_path: Path):
    checkpoint = tmp_path / "checkpoint"
    for folder in ("commits", "offsets"):
        (checkpoint / folder).mkdir(parents=True)
    for batch in range(3):
        (checkpoint / "commits" / str(batch)).write_text("v1\n{}")
        offset = json.dumps({"t": {"0": 10 * (batch + 1)}})
        (checkpoint / "offsets" / str(batch)).write_text(f"v1\n{{}}\n{offset}")
    (checkpoint / "offsets" / "3").write_text("v1\n{}\n" + json.dumps({"t": {"0": 99}}))  # begun, not committed
    for batch in (0, 2):
        progress.append_line(str(tmp_path), "anomaly", {"batch_id": batch, "read": 10})
    missing = progress.record_missing(str(tmp_path), "anomaly", str(checkpoint), lambda batch: {"read": 10 + batch})
    lines = {line["batch_id"]: line for line in progress.read_lines(str(tmp_path), "anomaly")}
    assert missing == [1]
    assert (lines[1]["read"], lines[1]["start"], lines[1]["end"]) == (11, {"0": 10}, {"0": 20})
    assert sorted(lines) == [0, 1, 2]


@pytest.mark.parametrize("content", ["", "v1\n{}\n", "v1\n{}\n{torn", "v1\n{}\n[1]"])
def test_a_torn_offset_log_is_named_and_not_taken_for_the_beginning(tmp_path: Path, content: str):
    for folder in ("offsets", "commits"):
        (tmp_path / "anomaly" / folder).mkdir(parents=True)
        (tmp_path / "anomaly" / folder / "3").write_text(content)
    with pytest.raises(GuardError, match=r"offsets/3 .*--reset anomaly.*checkpoint-damaged"):
        progress.position(str(tmp_path / "anomaly"))
