"""The queries of people and of temperatures: a start that would write twice, or of another topic, is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fraudstream.config import Pipeline, load_pipeline
from fraudstream.errors import GuardError, Runbook
from fraudstream.streams import table_mirror
from fraudstream.streams.people import people_table
from fraudstream.streams.start_over import start_over
from fraudstream.temperature import follow
from fraudstream.temperature.windows import Windows

HOLD = """
import sys
from fraudstream.streams.manifest import hold_table
hold_table(sys.argv[1])
print(flush=True)
input()
"""


class _Begun(Exception):
    """Nothing stood against the start."""


def start_people(pipeline: Pipeline) -> None:
    table_mirror.start_table(None, pipeline, people_table("people"))  # type: ignore[arg-type]


def start_temperatures(pipeline: Pipeline) -> None:
    windows = Windows(length=600, interval=600)
    follow.start(None, pipeline, windows, print, topic="office", zone="UTC", trigger="1 second")  # type: ignore[arg-type]


QUERIES = [
    (start_people, "people_big", "people_big", "people"),
    (start_temperatures, "average_temperature", "temperature_readings", "office"),
]
each_query = pytest.mark.parametrize(("start", "query", "table", "topic"), QUERIES, ids=["people", "temperatures"])


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The id that every topic has, without a broker; what comes behind the claims is not done."""

    def begin(*given: Any) -> None:
        raise _Begun

    found = SimpleNamespace(id="first")
    monkeypatch.setattr(table_mirror, "topic_id", lambda spark, kafka, topic: found.id)
    monkeypatch.setattr(table_mirror, "table_batch", begin)
    monkeypatch.setattr(follow, "averages_batch", begin)
    for module in (table_mirror, follow):
        monkeypatch.setattr(module, "wait_for_topic", lambda *given: None)
    return found


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return load_pipeline(environment={"FRAUDSTREAM_HOME": str(tmp_path)})


def begins(start: Callable[[Pipeline], None], pipeline: Pipeline) -> None:
    with pytest.raises(_Begun):
        start(pipeline)


def refused(start: Callable[[Pipeline], None], pipeline: Pipeline, runbook: Runbook) -> None:
    with pytest.raises(GuardError) as refusal:
        start(pipeline)
    assert refusal.value.runbook == runbook


@each_query
def test_a_checkpoint_keeps_its_topics_id_and_refuses_another_topic_of_that_name(
    pipeline, topics, start, query, table, topic
):
    begins(start, pipeline)
    stored = json.loads(Path(pipeline.checkpoint(query), "fraudstream.json").read_text())
    assert (stored["topic"], stored["topic_id"]) == (topic, "first")
    begins(start, pipeline)
    topics.id = "second"
    refused(start, pipeline, "topic-replaced")


@each_query
def test_a_checkpoint_of_before_ids_were_kept_takes_the_topics(pipeline, topics, start, query, table, topic):
    begins(start, pipeline)
    path = Path(pipeline.checkpoint(query), "fraudstream.json")
    stored = json.loads(path.read_text())
    del stored["topic_id"]
    path.write_text(json.dumps(stored))
    begins(start, pipeline)
    assert json.loads(path.read_text())["topic_id"] == "first"


@each_query
def test_a_table_whose_checkpoint_is_gone_is_not_begun_anew_unasked(pipeline, topics, start, query, table, topic):
    begins(start, pipeline)
    Path(pipeline.table(table), "_delta_log").mkdir(parents=True)
    begins(start, pipeline)
    shutil.rmtree(pipeline.checkpoint(query))
    refused(start, pipeline, "checkpoint-gone")
    assert not Path(pipeline.checkpoint(query)).exists()
    start_over(pipeline, query)
    begins(start, pipeline)


@each_query
@pytest.mark.parametrize("suffix", ["", "_quarantine"])
def test_a_table_that_another_process_writes_is_not_written_beside_it(
    pipeline, topics, start, query, table, topic, suffix
):
    command = [sys.executable, "-c", HOLD, pipeline.table(f"{table}{suffix}")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"
        refused(start, pipeline, "table-in-use")
        other.communicate(b"\n")
    begins(start, pipeline)
