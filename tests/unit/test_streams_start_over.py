"""Starting a query over: what is deleted, and when it is refused. And the lines of progress that outlive a driver."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import detect_fraud
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.errors import ConfigError, GuardError
from fraudstream.streams.progress import append_line, read_lines
from fraudstream.streams.start_over import require_not_gone, start_over

_HOLD = """
import sys
from fraudstream.streams.manifest import hold_checkpoint
hold_checkpoint(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A pipeline with a checkpoint, a table and progress of the mirror, and those of another query."""
    found = load_pipeline(environment={"FRAUDSTREAM_HOME": str(tmp_path)})
    for query in ("mirror", "other"):
        Path(found.checkpoint(query), "offsets").mkdir(parents=True)
        append_line(found.progress, query, {"batch_id": 0})
        Path(found.table(f"{query}_rows")).mkdir(parents=True)
    return found


def left(pipeline: Pipeline) -> list[bool]:
    """Whether checkpoint, table and progress of the mirror are there, and those of the other query."""
    return [
        path.exists()
        for query in ("mirror", "other")
        for path in (
            Path(pipeline.checkpoint(query)),
            Path(pipeline.table(f"{query}_rows")),
            Path(pipeline.progress, f"{query}.jsonl"),
        )
    ]


def test_checkpoint_tables_and_progress_of_the_query_alone_are_deleted(pipeline: Pipeline):
    start_over(pipeline, "mirror", ["mirror_rows"])
    assert left(pipeline) == [True, False, False, True, True, True]
    assert list(Path(pipeline.checkpoint("mirror")).iterdir()) == []
    start_over(pipeline, "mirror", ["mirror_rows"])  # nothing is there any more


def test_the_progress_of_every_rule_that_shares_the_query_is_deleted(pipeline: Pipeline):
    shared = replace(pipeline, shared_queries={"windows": ["mirror", "other"]})
    Path(shared.checkpoint("mirror"), "offsets").mkdir(parents=True)
    start_over(shared, "other")
    assert list(Path(shared.checkpoint("windows")).iterdir()) == []
    assert not any(Path(shared.progress).glob("*.jsonl"))


def test_rules_that_come_to_share_a_query_leave_no_checkpoint_of_their_own(pipeline: Pipeline):
    start_over(replace(pipeline, shared_queries={"windows": ["mirror", "other"]}), "windows")
    assert sorted(path.name for path in Path(pipeline.checkpoints).iterdir() if path.is_dir()) == ["windows"]


def test_a_checkpoint_of_before_the_last_counted_batch_is_refused(pipeline: Pipeline):
    for batch, end in enumerate((40, 60)):
        path = Path(pipeline.checkpoint("mirror"), "offsets", str(batch))
        path.write_text("v1\n{}\n" + json.dumps({"topic": {"0": end}}))
        append_line(pipeline.progress, "mirror", {"batch_id": batch + 1, "end": {"0": end}})
    require_not_gone(pipeline, "mirror", "/nowhere")
    path.unlink()
    with pytest.raises(GuardError, match=r"has come to {'0': 40}.* ended at {'0': 60}.*checkpoint-gone"):
        require_not_gone(pipeline, "mirror", "/nowhere")


def test_a_query_whose_checkpoint_is_gone_is_refused_until_it_is_started_over(pipeline: Pipeline):
    def gone(evidence: str = "/nowhere") -> bool:
        try:
            require_not_gone(pipeline, "mirror", evidence)
        except GuardError as error:
            return error.runbook == "checkpoint-gone" and "--reset mirror" in str(error)
        return False

    checkpoint, table = Path(pipeline.checkpoint("mirror")), pipeline.table("mirror_rows")
    (checkpoint / "offsets" / "0").touch()
    assert not gone(table)
    shutil.rmtree(checkpoint)
    assert gone(), "its progress says that it has worked"
    Path(pipeline.progress, "mirror.jsonl").unlink()
    assert gone(table), "its table says so"
    assert not gone(), "nothing says so"
    start_over(pipeline, "mirror")
    assert not gone(table), "it was asked for"
    append_line(pipeline.progress, "mirror", {"batch_id": 0})
    assert gone(), "it has worked since, and what it stored is gone from the folder"


@contextmanager
def holding(checkpoint: str) -> Iterator[None]:
    """Another driver that holds the checkpoint."""
    command = [sys.executable, "-c", _HOLD, checkpoint]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "held\n"
        yield
        driver.communicate()


def test_nothing_is_deleted_while_another_driver_runs_the_query(pipeline: Pipeline):
    with holding(pipeline.checkpoint("mirror")):
        with pytest.raises(GuardError, match="another driver is running"):
            start_over(pipeline, "mirror", ["mirror_rows"])
        assert all(left(pipeline))
    start_over(pipeline, "mirror")
    assert not Path(pipeline.checkpoint("mirror"), "offsets").exists()


def test_nothing_is_deleted_while_another_driver_judges_alone_by_a_rule_that_shares_the_query(pipeline: Pipeline):
    shared = replace(pipeline, shared_queries={"windows": ["mirror", "other"]})
    with holding(pipeline.checkpoint("mirror")), pytest.raises(GuardError, match="another driver is running"):
        start_over(shared, "other")
    assert all(left(pipeline))


def test_a_line_that_was_cut_short_does_not_swallow_the_next_one(tmp_path: Path):
    append_line(str(tmp_path), "q", {"batch_id": 0})
    with (tmp_path / "q.jsonl").open("a") as file:
        file.write('{"query": "q", "batch_')
    append_line(str(tmp_path), "q", {"batch_id": 2})
    append_line(str(tmp_path), "q", {"batch_id": 3})
    assert [line["batch_id"] for line in read_lines(str(tmp_path), "q")] == [0, 2, 3]


@pytest.mark.parametrize(("option", "name"), [("--reset", ".."), ("--reset", "anomly"), ("--forget", "archive_alerts")])
def test_a_name_that_is_no_querys_is_refused_before_anything_starts(option: str, name: str):
    with pytest.raises(
        ConfigError, match=f"^{option}: there is no query '{re.escape(name)}' to start over; .*velocity"
    ):
        detect_fraud.main([option, name])
