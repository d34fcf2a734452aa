"""Connectors of the capture benchmark, and figures of records made by hand."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow.csv
import pytest

from fraudstream.bench import arrivals as come
from fraudstream.bench.arrivals import Records, arrivals, identified, steady, summary
from fraudstream.bench.capture import rows_of
from fraudstream.bench.dataset import Columns, DataSet, columns
from fraudstream.bench.messages import values
from fraudstream.bench.setups import PUBLICATIONS, STEPS, TUNING, connectors_of
from fraudstream.stack.lifecycle import TRANSACTIONS

OURS = json.loads(TRANSACTIONS.read_text(encoding="utf-8"))["config"]
OWN = {"topic.prefix", "slot.name", "publication.name"}


def difference(step: str) -> set[str]:
    """The settings in which the step's one connector differs from the project's, but for its names."""
    (made,) = connectors_of(STEPS[step], "bench_1", OURS)
    both = OURS.keys() | made["config"].keys()
    return {name for name in both if OURS.get(name) != made["config"].get(name)} - OWN


def test_each_step_changes_what_it_names_and_nothing_else():
    tuning = {name for names in TUNING.values() for name in names}
    assert tuning < OURS.keys()
    assert difference("tuned") == difference("snapshot") == set()
    assert difference("defaults") == difference("the connector's defaults") == tuning
    assert difference("tuned without heap and collector") == set()
    java = {name for name, setup in STEPS.items() if setup.usual_java}
    assert java == {"defaults", "tuned without heap and collector"}
    assert difference("tuned without compression") == {"producer.override.compression.type"}
    assert difference("tuned without producer batches") == {
        "producer.override.linger.ms", "producer.override.batch.size",
    }  # fmt: skip
    assert {name.split(".")[0] for name in difference("compact")} == {"transforms"}


def test_a_run_has_a_name_slot_and_topic_of_its_own_and_keeps_the_publication():
    (made,) = connectors_of(STEPS["tuned"], "bench_2", OURS)
    assert made["name"] == "bench_2"
    found = [made["config"][name] for name in ("topic.prefix", "slot.name", "publication.name")]
    assert found == ["bench_2", "bench_2", "fraud_publication"]


def test_two_connectors_share_the_topic_and_nothing_else():
    even, odd = connectors_of(STEPS["two connectors"], "bench_1", OURS)
    assert (even["name"], odd["name"]) == ("bench_1_even", "bench_1_odd")
    for each in (even, odd):
        assert each["config"]["transforms.route.replacement"] == "bench_1.public.transactions"
    for name in OWN:
        assert even["config"][name] != odd["config"][name]
    assert {each["config"]["publication.name"] for each in (even, odd)} == set(PUBLICATIONS)


def test_correctness_is_never_left_out():
    for setup in STEPS.values():
        for made in connectors_of(setup, "x", OURS):
            config = made["config"]
            assert config["exactly.once.support"] == "required"
            assert config["message.key.columns"] == "public.transactions:user_id"
            assert config["producer.override.max.request.size"] == "10485760"


@pytest.mark.parametrize("form", ["envelope", "compact"])
def test_the_id_and_op_of_an_insert_are_read_from_both_forms(form):
    data = columns(DataSet(users=20, events=10_000))
    (value,) = values(data, np.array([41]), form)
    assert identified(value.encode()) == (42, "c")
    assert identified(b"{}") == (-1, "")


def records(ids: list[int], at_ms: list[int], **ops: int) -> Records:
    return Records(np.array(ids, np.int64), np.array(at_ms, np.int64), ops or {"c": len(ids)}, 100 * len(ids))


IDS = np.arange(1, 12)


def test_the_steady_rate_is_that_between_20_and_90_percent_of_the_records():
    # Of 11 records those at places 2 and 9 count: 7 records in 1.4 s. Before and after them it was slower.
    at = [0, 5000, 9000, 9200, 9400, 9600, 9800, 10000, 10200, 10400, 12500]
    assert steady(np.array(at)) == 5.0
    found = arrivals(records(list(IDS), list(reversed(at))), IDS, "c")
    assert (found["events_per_s"], found["seconds"], found["total_per_s"]) == (5.0, 12.5, 0.9)
    assert (found["message_bytes"], found["lost"], found["doubled"], found["failures"]) == (100.0, 0, 0, [])


def test_records_at_one_moment_have_no_rate():
    assert steady(np.array([7, 7, 7])) is None
    assert steady(np.zeros(0, np.int64)) is None
    nothing = arrivals(records([], []), IDS, "c")
    assert (nothing["events_per_s"], nothing["total_per_s"], nothing["lost"]) == (None, None, 11)
    assert nothing["failures"] == ["11 rows are lost"]


def test_lost_doubled_unknown_and_snapshot_records_are_told():
    found = arrivals(records([1, 2, 2, 2, 99], [0, 1, 2, 3, 4], c=4, r=1), np.array([1, 2, 3]), "c")
    assert (found["lost"], found["doubled"]) == (1, 2)
    assert found["failures"] == [
        "1 rows are lost", "2 records are doubled", "1 records are of no row", "1 records have another op than c",
    ]  # fmt: skip


def run(rate: float | None, connect: float = 2.0, **changes) -> dict:
    found = {
        "events_per_s": rate, "written_per_s": 50.4, "total_per_s": 10.0, "seconds": 2.0, "message_bytes": 571.0,
        "bytes_per_event": 90.0, "lost": 0, "doubled": 0, "failures": [],
        "cpu_s": {"connect": connect, "postgres": 1.0, "kafka": 0.5},
    }  # fmt: skip
    return {**found, **changes}


def test_a_step_has_the_median_and_spread_of_its_runs_and_all_their_failures():
    runs = [run(300.0), run(100.0, 6.0, lost=2, failures=["2 rows are lost"]), run(200.0, 4.0)]
    found = summary(runs, 1000, ["Connect ended"])
    assert found["events_per_s"] == {"median": 200.0, "min": 100.0, "max": 300.0}
    assert found["cpu_s_per_million"] == {"connect": 4000.0, "postgres": 1000.0, "kafka": 500.0}
    assert (found["runs"], found["lost"], found["doubled"]) == (3, 2, 0)
    assert found["failures"] == ["run 2: 2 rows are lost", "Connect ended"]


def test_a_step_without_a_run_says_why_and_has_a_line_in_the_table():
    found = summary([], 1000, ["no Java"])
    assert (found["runs"], found["events_per_s"], found["failures"]) == (0, None, ["no Java"])
    (line,) = come.table({"tuned": found}).rows
    assert line == ["tuned", 1000, *[None] * 10, 0, 0]
    (line,) = come.table({"tuned": summary([run(100.4)], 1_000_000, [])}).rows
    assert line == ["tuned", 1_000_000, 50, 100, 100, 100, 10, 2.0, 1.0, 0.5, 90.0, 571.0, 0, 0]
    assert len(line) == len(come.table({}).header)


def test_rows_are_written_to_the_cent():
    many = np.array([1, 1500_00, 99_99, 7_10])
    data = Columns(np.array([1, 2, 3, 4]), many, np.array([0, 1, 2, 0]), many, many * 0 + 1_767_225_600_000_001, many)
    written = io.BytesIO()
    pyarrow.csv.write_csv(rows_of(data), written, pyarrow.csv.WriteOptions(include_header=False))
    lines = written.getvalue().decode().replace('"', "").splitlines()
    assert lines[0] == "1,0.01,VISA,1,2026-01-01 00:00:00.000001"
    assert [line.split(",")[1] for line in lines] == ["0.01", "1500", "99.99", "7.1"]


def test_the_steps_leave_out_each_group_of_settings_in_turn():
    assert tuple(STEPS) == (
        "defaults", "the connector's defaults", "tuned", "tuned without heap and collector",
        "tuned without batch and queue", "tuned without poll interval",
        "tuned without producer batches", "tuned without compression", "compact", "two connectors", "snapshot",
    )  # fmt: skip
