"""Verdicts, reports and the resuming of drills; what is found in damaged tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from fraudstream.drill import run as drill
from fraudstream.drill.catalog import FAULTS, STORM
from fraudstream.drill.checkup import doubles, log_gaps
from fraudstream.drill.report import as_text, summarised, totals, verdict
from fraudstream.drill.run import Options, planned
from fraudstream.stack.settings import REPOSITORY, load_settings

SOUND = {"rows": 90_000, "alerts": 700, "lost": 0, "doubled": 0, "kafka_copies": 3, "quarantined": 0, "failures": []}


def result(fault: str = "kill_connect", number: int = 1, **changes: Any) -> dict[str, Any]:
    found = {
        "fault": fault, "outcome": "struck", "proof": "pid 7 gone", "rows": 30_000, "kills": 1, "recovery_s": 4.0,
        "round": number, "seed": 5, "at": 1_800_000_000.0, "seconds": 60.0, "check": SOUND,
    }  # fmt: skip
    return {**found, **changes}


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([result()], "held"),
        ([result(), result(number=2)], "held"),
        ([result(rows=12_000)], "not proven"),
        ([result(rows=12_000), result(number=2, rows=12_000)], "held"),
        ([result(outcome="not struck", recovery_s=None)], "not proven"),
        ([result(outcome="not made", recovery_s=None)], "not run"),
        ([result(), result(number=2, outcome="not recovered", recovery_s=None)], "failed"),
        ([result(check={**SOUND, "lost": 1, "failures": ["capture: 1 lost"]})], "failed"),
        ([result(), result(number=2, check={"failures": ["the archive did not catch up"]})], "failed"),
    ],
)
def test_a_verdict_is_what_the_worst_round_and_the_rows_allow(results, said):
    (entry,) = summarised(results, list(FAULTS.values()))
    assert entry["verdict"] == said


def test_a_verdict_is_never_held_without_a_strike():
    assert verdict([], [], 100_000) == "not proven"


def test_an_entry_sums_its_rounds_and_a_shared_check_counts_once_in_the_totals():
    results = [
        result(recovery_s=2.0), result("kill_kafka", recovery_s=4.0), result(number=2, recovery_s=10.0, rows=5),
    ]  # fmt: skip
    connect, broker = summarised(results, list(FAULTS.values()))
    assert (connect["fault"], connect["rounds"], connect["kills"], connect["rows"]) == ("kill_connect", 2, 2, 30_005)
    assert connect["recovery_s"] == {"p50": 6.0, "p95": 9.6}
    assert (broker["kafka_copies"], connect["kafka_copies"]) == (3, 6)
    found = totals([connect, broker], results)
    assert (found["rounds"], found["kills"], found["rows"], found["kafka_copies"]) == (2, 3, 180_000, 6)
    assert found["verdicts"] == {"held": 2, "failed": 0, "not proven": 0, "not run": 0}
    report = {"faults": [connect, broker], "totals": found}
    assert "3 kills in 2 rounds, 180,000 rows: lost 0, doubled 0, equal copies in Kafka 6" in as_text(report)


def test_a_full_run_has_its_kills_and_every_other_fault_once_and_is_the_same_for_a_seed():
    rounds = planned(Options(full=True, seed=4))
    names = [fault.name for group in rounds for fault in group]
    kills = [name for name in names if name in STORM]
    assert 300 <= sum(FAULTS[name].kills for name in kills) < 304
    assert set(kills) == set(STORM)
    assert sorted(name for name in names if name not in STORM) == sorted(set(FAULTS) - set(STORM))
    assert rounds == planned(Options(full=True, seed=4))
    assert rounds != planned(Options(full=True, seed=5))


def test_a_quick_run_has_faults_of_at_least_twelve_rows_of_the_matrix():
    rows = {row for group in planned(Options()) for fault in group for row in fault.rows}
    assert len(rows) >= 12, rows


@pytest.fixture
def rounds_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the rounds that were run, instead of running them."""
    ran: list[int] = []

    def run_round(settings, faults, seed, number, rate, say):
        if number == 3 and ran.count(3) == 0:
            ran.append(number)
            raise KeyboardInterrupt
        ran.append(number)
        return [result(fault.name, number, seed=seed) for fault in faults]

    monkeypatch.setattr(drill, "run_round", run_round)
    monkeypatch.setattr(drill, "versions", lambda settings: {"spark": "1"})
    return ran


def test_a_full_run_that_was_stopped_goes_on_with_the_round_it_was_in(tmp_path: Path, rounds_run, monkeypatch):
    user = load_settings(tmp_path)
    monkeypatch.setenv("FRAUDSTREAM_HOME", str(tmp_path))
    options = Options(full=True, kills=15)
    count = len(planned(options))
    with pytest.raises(KeyboardInterrupt):
        drill.run(options, user, lambda text: None)
    with (tmp_path / "drill" / "full.jsonl").open("a") as file:
        file.write('[{"fault": "kill_')  # a driver that died in the middle of a line
    report = drill.run(options, user, lambda text: None)
    assert rounds_run == [1, 2, 3, *range(3, count + 1)]
    assert report["totals"]["rounds"] == count
    assert json.loads((tmp_path / "drill" / "report.json").read_text()) == report
    drill.run(options, user, lambda text: None)
    assert rounds_run[-1] == count, "nothing is left to run"
    drill.run(Options(full=True, kills=15, fresh=True), user, lambda text: None)
    assert rounds_run[-count:] == [*range(1, count + 1)]


def test_every_row_of_a_fault_is_in_the_matrix_of_the_handbook():
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
    assert {name for name in FAULTS if not any(f"`{name}`" in cell for cell in listed)} == set()


def test_doubles_and_holes_in_a_tables_log_are_found(tmp_path: Path):
    table = str(tmp_path / "table")
    for ids in ([1, 2, 3], [3], [3, 4]):
        write_deltalake(table, pa.table({"id": ids, "partition": [0] * len(ids)}), mode="append")
    assert doubles(table, ("id",)) == 2
    assert doubles(table, ("id", "partition")) == 2
    assert doubles(str(tmp_path / "nothing"), ("id",)) == 0
    assert log_gaps(table) == []
    log = tmp_path / "table" / "_delta_log"
    (log / "00000000000000000001.json").unlink()
    (log / "00000000000000000002.json").write_text("")
    wrong = log_gaps(table)
    assert "version 1 is missing" in wrong[0]
    assert "not a commit" in wrong[1]
