"""What is kept between two looks: only new lines are read, old batches are forgotten, and a new file is a new start."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fraudstream.check.observe import Progress
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.health.memory import Memory


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    folders = {name: str(tmp_path / name) for name in ("lake", "checkpoints", "progress")}
    (tmp_path / "progress").mkdir()
    return replace(load_pipeline(), **folders)


def line(batch: int, read: int, unreadable: int = 0, at: float = 1.0, unjudged: int = 0) -> str:
    parts = {"judged": read - unreadable - unjudged, "unjudged": unjudged, "unreadable": unreadable}
    return json.dumps({"at": at, "batch_id": batch, "read": read, "duration_ms": 500, **parts}) + "\n"


def test_a_query_in_figures(pipeline: Pipeline):
    path = Path(pipeline.progress, "mirror_transactions.jsonl")
    now = time.time()
    path.write_text(line(0, 5, 2, now - 601, 1) + line(1, 7, 1, now - 5, 5) + line(1, 8, 1, now, 4))
    offsets, commits = (Path(pipeline.checkpoint("mirror_transactions"), name) for name in ("offsets", "commits"))
    for folder, text in ((offsets, 'v1\n{}\n{"t": {"0": 12, "1": 3}}'), (commits, "v1\n{}")):
        folder.mkdir(parents=True)
        (folder / "4").write_text(text)
    found = Memory().queries(pipeline)["mirror_transactions"]
    assert (found["read"], found["batches"], found["holds"], found["state"]) == (13, 2, True, "stopped")
    assert (found["recent_unreadable"], found["recent_unjudged"]) == (1, 4)
    assert (found["batch_s"], found["last_at"]) == (0.5, now)
    assert found["position"] == {0: 12, 1: 3}


@pytest.mark.parametrize("content", ["", "v1\n{}\n", "v1\n{}\n{torn", "v1\n{}\n[1]"])
@pytest.mark.parametrize("committed", [True, False])
def test_a_torn_file_of_one_checkpoint_is_told_and_the_other_queries_are_seen(pipeline, content, committed):
    for name in ("anomaly", "velocity"):
        Path(pipeline.progress, f"{name}.jsonl").write_text(line(0, 5))
        for folder in ("offsets", "commits"):
            Path(pipeline.checkpoint(name), folder).mkdir(parents=True)
            Path(pipeline.checkpoint(name), folder, "3").write_text('v1\n{}\n{"t": {"0": 12}}')
    Path(pipeline.checkpoint("anomaly"), "offsets", "3" if committed else "4").write_text(content)
    found = Memory().queries(pipeline)
    assert found["anomaly"]["damaged"].startswith(f"{pipeline.checkpoint('anomaly')} has a file that cannot be read: ")
    assert (found["anomaly"]["position"], found["anomaly"]["read"]) == ({}, 5)
    assert (found["velocity"]["damaged"], found["velocity"]["position"]) == (None, {0: 12})


@pytest.mark.parametrize("content", ["{torn", "[]"])
def test_a_torn_manifest_of_a_checkpoint_is_told(pipeline: Pipeline, content: str):
    Path(pipeline.progress, "anomaly.jsonl").write_text(line(0, 5))
    Path(pipeline.checkpoint("anomaly")).mkdir(parents=True)
    Path(pipeline.checkpoint("anomaly"), "fraudstream.json").write_text(content)
    assert Memory().queries(pipeline)["anomaly"]["damaged"]


def test_a_query_that_was_started_over_is_counted_from_nothing(pipeline: Pipeline):
    path = Path(pipeline.progress, "velocity.jsonl")
    path.write_text(line(0, 5) + line(1, 5))
    memory = Memory()
    assert memory.queries(pipeline)["velocity"]["read"] == 10
    with path.open("a") as file:
        file.write(line(2, 1))
    assert memory.queries(pipeline)["velocity"]["read"] == 11
    path.write_text(line(0, 3))  # in the same inode, as a file made after the deletion may be
    assert memory.queries(pipeline)["velocity"]["read"] == 3
    path.rename(path.with_suffix(".old"))
    path.write_text(line(0, 4) + line(1, 4))
    assert memory.queries(pipeline)["velocity"]["read"] == 8


def test_forgotten_batches_stay_in_the_sums(tmp_path: Path):
    path = tmp_path / "velocity.jsonl"
    path.write_text("".join(line(batch, 2) for batch in range(10)))
    progress = Progress(path)
    progress.update()
    progress.forget(3)
    with path.open("a") as file:
        file.write(line(9, 5) + line(10, 1))
    progress.update()
    assert (progress.batches, progress.sums["read"], len(progress.durations)) == (11, 9 * 2 + 5 + 1, 5)
