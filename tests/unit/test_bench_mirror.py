"""What the benchmark of the mirror writes and expects, worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import psutil
import pytest

from fraudstream.bench import mirror, mirror_plan
from fraudstream.bench.dataset import PARTITIONS, Columns
from fraudstream.bench.mirror import STEPS, summary
from fraudstream.bench.mirror_plan import (
    WARM,
    Batch,
    Load,
    Rows,
    checksum,
    filling,
    messages_of,
    next_batch,
    no_rows,
    offsets_of,
    written,
)
from fraudstream.bench.processes import Command
from fraudstream.cdc.envelope import read_change_event
from fraudstream.config import load_pipeline
from fraudstream.errors import FraudstreamError

LOAD = Load(table_rows=2000, batch_rows=1000, batches=3)


def data(count: int) -> Columns:
    places = np.arange(count)
    at = places + 1_767_225_600_000_000
    return Columns(places % 7 + 1000, 100 * places + 100, places % 3, places % 5 + 1, at, places % PARTITIONS)


def filled(load: Load) -> Rows:
    rows = no_rows(data(load.rows))
    for batch in filling(load):
        written(rows, batch)
    return rows


def test_a_batch_has_one_percent_updates_and_two_per_mille_deletes():
    assert (LOAD.updates, LOAD.deletes, LOAD.inserts, LOAD.rows) == (10, 2, 988, 2000 + 5 * 988)
    usual = Load(table_rows=100_000)
    assert (usual.updates, usual.deletes, usual.inserts) == (600, 120, 59_280)


def test_the_filling_is_cut_as_after_an_outage():
    sizes = [(batch.inserts[0], len(batch.inserts), batch.changes) for batch in filling(Load(table_rows=450_000))]
    assert sizes == [(0, 200_000, 200_000), (200_000, 200_000, 200_000), (400_000, 50_000, 50_000)]


@pytest.mark.parametrize("spread", [True, False])
def test_updates_and_deletes_are_of_rows_that_are_there_each_row_deleted_once(spread, monkeypatch):
    monkeypatch.setattr(mirror_plan, "REACH", 700)
    load = Load(table_rows=2000, batch_rows=1000, batches=3, spread=spread)
    rows, random = filled(load), np.random.default_rng(0)
    deleted: list[int] = []
    for number in range(5):
        batch = next_batch(load, rows, random)
        assert batch.changes == 1000
        assert batch.inserts.tolist() == list(range(2000 + 988 * number, 2000 + 988 * (number + 1)))
        changed = np.concatenate([batch.updates, batch.deletes])
        assert changed.min() >= (0 if spread else rows.existing - 700)
        assert changed.max() < rows.existing + (0 if spread else 988)
        assert len(np.unique(changed)) == 12
        deleted += batch.deletes.tolist()
        written(rows, batch)
        assert not set(deleted) & set(batch.updates.tolist())
    assert len(set(deleted)) == 10
    assert rows.deleted.sum() == 10


def test_messages_have_the_row_before_and_after_and_the_place_of_the_last_insert():
    found, rows = data(6), no_rows(data(6))
    written(rows, Batch(np.array([0, 1, 2, 3]), np.array([1]), np.array([], np.int64)))
    batch = Batch(np.array([4, 5]), np.array([1]), np.array([3]))
    places, messages = messages_of(found, rows, batch)
    assert places.tolist() == [4, 5, 1, 3]
    events = [read_change_event(message.encode(), []) for message in messages]
    assert [(event.op, event.row.id, event.row.cents) for event in events if event.row] == [
        ("c", 5, 500), ("c", 6, 600), ("u", 2, 202), ("d", 4, 400),
    ]  # fmt: skip
    assert events[2].before is not None
    assert (events[2].before.cents, events[2].before.user_id) == (201, 1001)
    assert {event.lsn for event in events[1:]} == {events[1].lsn}
    assert [*json.loads(messages[2])] == [*json.loads(messages[0])]


def test_offsets_count_on_in_each_partition():
    rows = no_rows(data(1))
    assert offsets_of(np.array([0, 1, 0, 0, 3]), rows).tolist() == [0, 0, 1, 2, 0]
    assert offsets_of(np.array([3, 2, 0]), rows).tolist() == [1, 0, 3]


def test_the_checksum_is_that_of_the_rows_written_and_tells_amounts_that_changed_places():
    rows = no_rows(data(5))
    written(rows, Batch(np.array([0, 1, 2, 3]), np.array([2]), np.array([1])))
    # 100, 200, 301, 400 cents; the ids 1 to 4: 100 + 400 + 903 + 1600.
    assert checksum(rows) == {"rows": 4, "ids": 4, "deleted": 1, "cents": 1001, "mixed": 3003}
    rows.cents[[0, 1]] = rows.cents[[1, 0]]
    assert checksum(rows) == {"rows": 4, "ids": 4, "deleted": 1, "cents": 1001, "mixed": 2903}


def test_a_change_of_the_batchs_own_row_comes_behind_its_insert():
    rows, batch = no_rows(data(3)), Batch(np.array([0, 1, 2]), np.array([1]), np.array([2]))
    places, messages = messages_of(data(3), rows, batch)
    assert places.tolist() == [0, 1, 2, 1, 2]
    events = [read_change_event(message.encode(), []) for message in messages]
    assert [(event.op, event.row.cents) for event in events if event.row] == [
        ("c", 100), ("c", 200), ("c", 300), ("u", 201), ("d", 300),
    ]  # fmt: skip
    written(rows, batch)
    assert checksum(rows) == {"rows": 3, "ids": 3, "deleted": 1, "cents": 601, "mixed": 1402}


def found(**changes) -> dict:
    right = {"rows": 4, "cents": 1001, "changes": 9}
    usual = {"fill_s": 9.87, "seconds": [2.0, 4.0, 8.001], "rows_copied": [7, 5, 6], "files_added": [3, 2, 4],
             "merge_s": [1.0, 3.0, 1.5], "pieces_s": [[2.0, 12.0, 6.0]], "trigger_s": 30.0,
             "expected": right, "found": right}  # fmt: skip
    return {**usual, **changes}


def test_a_step_tells_its_batches_with_their_share_of_the_upkeep():
    told = summary(LOAD, found(), [1 << 20, 2 << 20])
    assert told["seconds"] == {"median": 4.0, "min": 2.0, "max": 8.0}
    assert told["rows_copied"] == {"median": 6.0, "min": 5, "max": 7}
    assert (told["upkeep_s"]["median"], told["piece_s"]["max"]) == (20.0, 12.0)
    assert told["merge_s"] == {"median": 1.5, "min": 1.0, "max": 3.0}
    assert told["rows_per_s"] == 200.0, "1,000 rows in 4 s and a 20th of 20 s"
    assert (told["files_added"]["median"], told["files_per_hour"]) == (3.0, 360), "120 batches an hour"
    assert (told["table_rows"], told["batch_rows"], told["batches"], told["failures"]) == (2000, 1000, 3, [])
    (line,) = mirror.table({"small": told}).rows
    assert line == ["small", 2000, 1000, 3, 4.0, 2.0, 8.0, 1.5, 20.0, 12.0, 200, 6, 3.0, 360, 2, 3.0]
    assert len(line) == len(mirror.table({}).header)


def test_batches_that_take_longer_than_the_trigger_are_fewer_in_an_hour():
    assert summary(LOAD, found(seconds=[59.0], files_added=[2]), [])["files_per_hour"] == 120


def test_a_table_that_is_not_what_it_must_be_fails_the_step():
    wrong = summary(LOAD, found(found={"rows": 4, "cents": 1000}), [])
    assert wrong["failures"] == ["cents is 1000 instead of 1,001", "changes is None instead of 9"]


def test_a_driver_that_fails_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "python_module", lambda *words: Command(["sh", "-c", "echo no room; exit 1"], {}))
    with pytest.raises(FraudstreamError, match="no room"):
        mirror.measure(tmp_path / "mirror", LOAD)
    assert not (tmp_path / "mirror").exists()


def test_the_driver_of_a_run_that_was_killed_is_ended_before_its_folder_is_used(tmp_path, monkeypatch):
    home = tmp_path / "mirror"
    home.mkdir()
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], cwd=home)
    monkeypatch.setattr(mirror, "python_module", lambda *words: Command(["sh", "-c", "echo no room; exit 1"], {}))
    with pytest.raises(FraudstreamError, match="no room"):
        mirror.measure(home, LOAD)
    assert not psutil.pid_exists(left.pid)


def test_the_tables_are_looked_after_as_often_as_conf_says_and_in_every_step():
    pipeline = load_pipeline()
    every = pd.Timedelta(pipeline.upkeep.every)
    assert every / pd.Timedelta(pipeline.triggers.mirror_transactions) == LOAD.upkeep_every
    assert LOAD.upkeep_every == WARM + Load(table_rows=1).batches
    archive = every / pd.Timedelta(pipeline.triggers.archive_alerts)
    assert {load.upkeep_every for load in STEPS.values() if load.alerts} == {archive}
    assert all((WARM + load.batches) % load.upkeep_every == 0 for load in STEPS.values())


def test_the_steps_are_every_size_large_batches_changes_of_all_ids_and_many_small_ones():
    assert tuple(STEPS) == (
        "100,000 rows", "1,000,000 rows", "3,000,000 rows", "10,000,000 rows", "10,000,000 rows, large batches",
        "10,000,000 rows, changes of all ids", "many small batches", "1,000,000 alerts", "10,000,000 alerts",
    )  # fmt: skip
    assert [load.spread for load in STEPS.values()] == [False] * 5 + [True, False, False, False]
    assert STEPS["10,000,000 rows, large batches"].batch_rows >= 200_000
