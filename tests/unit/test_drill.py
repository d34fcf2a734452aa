"""Verdicts, reports and the resuming of drills; what is found in damaged tables."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, get_args

import pyarrow as pa
import pytest
from deltalake import write_deltalake

import drill_faults
import record_drills
from fraudstream.config import load_pipeline, write_variant
from fraudstream.drill import run as drill
from fraudstream.drill import stores
from fraudstream.drill.catalog import FAULTS, STORM
from fraudstream.drill.checkup import doubles, log_counts, log_gaps
from fraudstream.drill.helped import PARTS
from fraudstream.drill.report import as_text, summarised, totals, verdict
from fraudstream.drill.run import Options, planned
from fraudstream.errors import FraudstreamError, Runbook
from fraudstream.stack.settings import REPOSITORY, load_settings
from fraudstream.streams.manifest import claim_checkpoint
from unit.drills import SOUND, result


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
        ([result(), result(number=2, outcome="helped")], "failed"),
        ([result(check={**SOUND, "lost": 1, "failures": ["capture: 1 lost"]})], "failed"),
        ([result(), result(number=2, check={"failures": ["the archive did not catch up"]})], "failed"),
        ([result(), result(number=2, outcome="not reached", check={"failures": ["a crash"]})], "not proven"),
        ([result(check={**SOUND, "unproven": ["not proven: anomaly has 3 alerts"]})], "not proven"),
        ([], "not proven"),
    ],
)
def test_a_verdict_is_what_the_worst_round_and_the_rows_allow(results, said):
    (entry,) = summarised(results, [FAULTS["kill_connect"]])
    assert entry["verdict"] == said


def test_a_verdict_is_never_held_without_a_strike():
    assert verdict([], [], 100_000) == "not proven"


def test_an_entry_sums_its_rounds_and_a_shared_check_counts_once_in_the_totals():
    results = [
        result(recovery_s=2.0), result("kill_kafka", recovery_s=4.0), result(number=2, recovery_s=10.0, rows=5),
    ]  # fmt: skip
    connect, broker = summarised(results, [FAULTS["kill_connect"], FAULTS["kill_kafka"]])
    assert (connect["fault"], connect["rounds"], connect["kills"], connect["rows"]) == ("kill_connect", 2, 2, 30_005)
    assert connect["recovery_s"] == {"p50": 6.0, "p95": 9.6}
    assert (broker["kafka_copies"], connect["kafka_copies"]) == (3, 6)
    found = totals([connect, broker], results)
    assert (found["rounds"], found["kills"], found["rows"], found["kafka_copies"]) == (2, 3, 180_000, 6)
    assert found["verdicts"] == {"held": 2, "failed": 0, "not proven": 0, "not run": 0}
    report = {"faults": [connect, broker], "totals": found}
    said = "3 strikes, 3 kills in 2 rounds of 120 s, 180,000 rows: lost 0, doubled 0, equal copies in Kafka 6"
    assert said in as_text(report)


def test_what_no_check_has_looked_at_is_no_zero():
    unchecked = {"rows": 90_000, "doubled": 0, "lost": None, "kafka_copies": None, "failures": []}
    results = [result(check=unchecked)]
    (entry,) = summarised(results, [FAULTS["kill_connect"]])
    assert (entry["lost"], entry["doubled"], totals([entry], results)["rounds_unchecked"]) == (None, 0, 1)
    assert totals([entry], results)["lost"] is None


@pytest.fixture
def a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The report of two rounds of a kill, of which the second one had few rows until it was recovered."""
    monkeypatch.setattr(drill, "versions", lambda settings: {"spark": "1"})
    file = tmp_path / "full.jsonl"
    drill.append_results(file, [result(helped={"connect": 1})])
    drill.append_results(file, [result(number=2, rows_meanwhile=1_234, helped={"connect": 1})])
    return drill.assembled(file, load_settings(tmp_path), [[FAULTS["kill_connect"]]])


def test_every_page_tells_rows_around_a_fault_from_those_until_it_was_recovered(a_report, tmp_path, monkeypatch):
    monkeypatch.setattr(record_drills, "RECORDED", tmp_path / "recorded" / "full.json")
    monkeypatch.setattr(record_drills, "PAGE", tmp_path / "drills.md")
    record_drills.record(tmp_path / "full.json")
    page = (tmp_path / "drills.md").read_text()
    assert "| rows around it (not in flight) | fewest until recovered |" in page
    row = "| `kill_connect` | 2 of 2 | 2 | 60,000 | 1,234 | 0 | 0 | 6 | 4.0 s | 4.0 s | held | connect 2 |"
    assert row in page.splitlines()
    assert "<td>60,000</td><td>1,234</td>" in (tmp_path / "full.html").read_text()
    header, line, *_ = as_text(a_report).splitlines()
    assert header.index("rows around") < header.index("until recovered")
    assert " ".join(line.split()) == "kill_connect 2 2 60,000 1,234 0 0 6 4.0 s 4.0 s held connect 2"


def test_the_page_of_a_report_that_counted_no_starts_has_a_dash(a_report, tmp_path, monkeypatch):
    for entry in a_report["faults"]:
        del entry["helped"]
    monkeypatch.setattr(record_drills, "RECORDED", tmp_path / "recorded.json")
    record_drills.RECORDED.write_text(json.dumps({"options": "", "note": "", "report": a_report}))
    assert "| held | - |" in record_drills.page()


def test_a_run_passes_only_with_every_planned_fault_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drill, "versions", lambda settings: {"spark": "1"})
    file, rounds = tmp_path / "quick.jsonl", [[FAULTS["kill_connect"], FAULTS["kill_kafka"]]]
    drill.append_results(file, [result()])
    assert not drill.assembled(file, load_settings(tmp_path), rounds)["passed"]
    drill.append_results(file, [result("kill_kafka", outcome="not made", recovery_s=None)])
    assert drill.assembled(file, load_settings(tmp_path), rounds)["passed"]
    alone = tmp_path / "alone" / "quick.jsonl"
    alone.parent.mkdir()
    drill.append_results(alone, [result("kill_kafka", outcome="not made", recovery_s=None)])
    assert not drill.assembled(alone, load_settings(tmp_path), [rounds[0][1:]])["passed"]


def test_a_full_run_has_its_kills_and_every_other_fault_once_and_is_the_same_for_a_seed():
    rounds = planned(Options(full=True, seed=4))
    names = [fault.name for group in rounds for fault in group]
    kills = [name for name in names if name in STORM]
    assert 300 <= sum(FAULTS[name].kills for name in kills) < 304
    assert set(kills) == set(STORM)
    assert sorted(name for name in names if name not in STORM) == sorted(set(FAULTS) - set(STORM))
    assert rounds == planned(Options(full=True, seed=4))
    assert rounds != planned(Options(full=True, seed=5))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--rounds 0", "argument --rounds: '0' is no whole number from 1 to 1000."),
        ("--rounds -1", "argument --rounds: '-1' is no whole number from 1 to 1000."),
        ("--rate 0", "argument --rate: '0' is no whole number from 1 to 100000."),
        ("--rate nan", "argument --rate: 'nan' is no whole number from 1 to 100000."),
        ("--kills 0", "argument --kills: '0' is no whole number from 1 to 10000."),
        ("--seed -3", "argument --seed: '-3' is no whole number from 0 to 4294967295."),
        ("--full --only poison", "argument --only: not allowed with argument --full"),
    ],
)
def test_an_option_that_plans_nothing_or_another_run_than_it_says_is_refused(options, said, monkeypatch, capsys):
    monkeypatch.setattr(drill_faults, "run", lambda *given: pytest.fail("it has begun"))
    with pytest.raises(SystemExit) as end:
        drill_faults.main(options.split())
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(said)


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
        plan = [fault.name for fault in faults]
        return [result(fault.name, number, seed=seed, plan=plan) for fault in faults]

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


def test_every_runbook_is_drilled():
    """But for those that test_health_canary and _metrics, tests/secure, test_streams_takeover and stack/test_guards
    exercise."""
    drills = (REPOSITORY / "jobs" / "fraudstream" / "drill").glob("*.py")
    code = "".join(path.read_text(encoding="utf-8") for path in drills)
    elsewhere = {"access-denied", "database-restored", "metrics-gone", "table-damaged", "version-border"}
    assert {name for name in get_args(Runbook) if f'"{name}"' not in code} == elsewhere


def test_doubles_and_holes_in_a_tables_log_are_found(tmp_path: Path):
    table = str(tmp_path / "table")
    for ids in ([1, 2, 3], [3], [3, 4]):
        write_deltalake(table, pa.table({"id": ids, "partition": [0] * len(ids)}), mode="append")
    assert doubles(table, ("id",)) == 2
    assert doubles(table, ("id", "partition")) == 2
    assert doubles(str(tmp_path / "nothing"), ("id",)) == 0
    assert log_gaps(table) == log_counts(table) == []
    log = tmp_path / "table" / "_delta_log"
    (log / "00000000000000000001.json").unlink()
    (log / "00000000000000000002.json").write_text("")
    wrong = log_gaps(table)
    assert "version 1 is missing" in wrong[0]
    assert "not a commit" in wrong[1]


def test_what_must_go_on_alone_is_said_so_before_the_strike_and_in_the_handbook():
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:4] for line in text.split("\n## Drills")[1].splitlines() if line.startswith("| `")]
    told = {name: "alone" in holds for faults, _, holds in rows for name in FAULTS if f"`{name}`" in faults}
    assert told == {name: bool(fault.alone) for name, fault in FAULTS.items()}
    assert {name: "alone" in fault.must_hold for name, fault in FAULTS.items()} == told
    assert {part for fault in FAULTS.values() for part in fault.alone} <= set(PARTS)
    promised = {name for name, fault in FAULTS.items() if {"connector", "driver"} <= set(fault.alone)}
    assert promised >= {"kill_kafka", "kill_postgres", "freeze_postgres", "freeze_jvm", "poison"}
    assert FAULTS["kill_stack"].alone == ("driver",)
    assert FAULTS["broker_away"].alone == ("connect",), "after 90 s queries and the connector have given up"


class _Writers:
    """A rig of which second_writer sees files alone."""

    def __init__(self, home: Path):
        self.home, self.config = home, home / "pipeline.yaml"
        write_variant(self.config, {name: str(home / name) for name in ("lake", "checkpoints", "progress")})
        self.pipeline = load_pipeline(self.config)
        for query in ("archive_alerts", "mirror_transactions"):
            claim_checkpoint(self.pipeline.checkpoint(query), {"topic": query})
        for table in ("alerts", "transactions", "transaction_changes", "quarantine"):
            write_deltalake(self.pipeline.table(table), pa.table({"id": [1]}))


def test_a_second_archive_and_a_second_mirror_must_be_refused_where_they_come_to_the_tables(tmp_path, monkeypatch):
    rig, tried = _Writers(tmp_path), []

    def refused(rig, job, config, runbooks):
        other = load_pipeline(config)
        made_with = json.loads(Path(other.checkpoint(job), "fraudstream.json").read_text())
        tried.append((job, runbooks, made_with["topic"], other.lake == rig.pipeline.lake))
        write_deltalake(rig.pipeline.table("alerts"), pa.table({"id": [2]}), mode="append")  # by its own writer
        return "refused: in use"

    monkeypatch.setattr(stores, "refused", refused)
    struck = stores.second_writer(rig, Random(1))
    assert tried == [(job, ("table-in-use",), job, True) for job in ("archive_alerts", "mirror_transactions")]
    assert struck.proof == "archive_alerts refused: in use; mirror_transactions refused: in use"


@pytest.mark.parametrize("table", ["alerts", "transaction_changes", "transactions", "quarantine"])
def test_a_commit_that_a_second_writer_replaces_is_seen_though_there_are_as_many_as_before(
    tmp_path, monkeypatch, table
):
    rig = _Writers(tmp_path)
    commit = Path(rig.pipeline.table(table), "_delta_log", f"{0:020}.json")
    monkeypatch.setattr(stores, "refused", lambda *given: str(commit.write_text("{}")))
    with pytest.raises(FraudstreamError, match=f"commits were replaced by others: .*{commit}"):
        stores.second_writer(rig, Random(1))
