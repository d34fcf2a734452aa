"""The command audit_pipeline: options that are refused, what it asks for, its exit codes and the report that it leaves;
and when a whole audit is in order, finds something, or could not tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deltalake import DeltaTable

import audit_pipeline
import repair_pipeline
from fixtures.lake import alert, change, write_lake, write_table
from fraudstream import cli
from fraudstream.audit import judged, records, rows, run
from fraudstream.audit.finding import Part
from fraudstream.audit.report import exit_code
from fraudstream.audit.rows import Stored, Suspects
from fraudstream.config import load_pipeline
from fraudstream.input.ledger import Ledger
from fraudstream.repair import run as repairing
from fraudstream.streams.tables import ALERTS
from unit.audits import bounds, message

GOOD, BAD, BLIND = Part("rows", {"postgres": 5}), Part("records"), Part("alerts", incomplete=["its code is gone"])
BAD.found("change_missing", "lake/transaction_changes", positions=[(0, 2)])


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("FRAUDSTREAM_HOME", str(tmp_path))
    return tmp_path


def refused(main, arguments: list[str], capsys) -> str:
    """What the command says last of options that it refuses with exit code 2, in a line and before anything is done."""
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: main(arguments))
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert "Traceback" not in told.err
    return str(told.err.splitlines()[-1])


@pytest.mark.parametrize("main", [audit_pipeline.main, repair_pipeline.main])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--ids 5", "argument --ids: '5' is not A:B with whole numbers and A not after B, like 1:5000."),
        ("--ids 9:5", "argument --ids: '9:5' is not A:B with whole numbers and A not after B, like 1:5000."),
        ("--ids a:b", "argument --ids: 'a:b' is not A:B with whole numbers and A not after B, like 1:5000."),
        ("--since 1h30", "error: --since is '1h30'; write it like 90s, 15m, 2h or 7d."),
        ("--since 0h", "error: --since is '0h'; write it like 90s, 15m, 2h or 7d."),
        ("--parts rows,alert", "'alert' is none of rows, records, batches, alerts. Did you mean alerts?"),
        ("--parts rows,rows", "argument --parts: 'rows' stands there more than once; name it once."),
        ("--wait soon", "argument --wait: 'soon'; it must be a whole number of seconds up to 3600."),
        ("--wait 3601", "argument --wait: '3601'; it must be a whole number of seconds up to 3600."),
        ("--recompute all", "argument --recompute: invalid choice: 'all' (choose from "),
        ("--recompute oracle --since 1h", "error: --recompute oracle judges the whole topic; leave --since out."),
        ("--rules-file none.yaml", "error: none.yaml: "),
        ("--config none.yaml", "error: none.yaml: "),
    ],
)
def test_an_option_that_is_wrong_is_refused_in_a_line_and_nothing_is_compared(
    home, monkeypatch, capsys, main, arguments, said
):
    for module, name in ((run, "audit"), (repairing, "repair")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it was begun"))
    assert said in refused(main, arguments.split(), capsys)
    assert not (home / "audit").exists()


def audited(monkeypatch, *parts: Part) -> list[run.Options]:
    """Have audits find these parts; what was asked for."""
    asked: list[run.Options] = []

    def audit(pipeline, rules, settings, options, say):
        asked.append(options)
        return run.Audit(0.0, bounds(5), list(parts), 1.5)

    monkeypatch.setattr(run, "audit", audit)
    return asked


def test_what_is_asked_for_is_what_the_options_say(home, monkeypatch):
    asked = audited(monkeypatch, GOOD)
    audit_pipeline.main([])
    audit_pipeline.main(["--ids", "1:50", "--since", "2h", "--parts", "rows,records", "--wait", "5"])
    audit_pipeline.main(["--ledger", "led.jsonl", "--recompute", "oracle"])
    assert asked == [
        run.Options(None, None, None, 30.0, ("rows", "records", "batches", "alerts"), "rules"),
        run.Options((1, 50), 7200, None, 5.0, ["rows", "records"], "rules"),
        run.Options(None, None, Path("led.jsonl"), 30.0, ("rows", "records", "batches", "alerts"), "oracle"),
    ]


@pytest.mark.parametrize(
    ("parts", "code", "verdict"),
    [
        ([GOOD], 0, "nothing missing, doubled or different (1.5 s)"),
        ([GOOD, BAD], 1, "1 finding; see docs/operations.md, Audit and repair (1.5 s)"),
        ([GOOD, BLIND], 2, "incomplete: alerts could not be compared in full (1.5 s)"),
        ([GOOD, BAD, BLIND], 1, "1 finding; see docs/operations.md, Audit and repair (1.5 s)"),
    ],
)
def test_the_exit_code_is_0_if_all_is_well_1_if_something_is_wrong_and_2_if_it_cannot_be_told(
    home, monkeypatch, capsys, parts, code, verdict
):
    audited(monkeypatch, *parts)
    assert audit_pipeline.main([]) == code
    assert capsys.readouterr().out.splitlines()[-1] == verdict
    assert audit_pipeline.main(["--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((home / "audit" / "report.json").read_text())
    assert (told["passed"], [each["part"] for each in told["parts"]]) == (code == 0, [each.name for each in parts])

    found = run.Audit(0.0, bounds(5), list(parts), 1.5)
    monkeypatch.setattr(repairing, "repair", lambda *_, **__: repairing.Repair(found, ["closed"], found))
    assert repair_pipeline.main([]) == code
    assert capsys.readouterr().out.startswith("closed\nrows           postgres 5: ok\n")
    assert json.loads((home / "audit" / "report.json").read_text())["done"] == ["closed"]


ROW = (7, 1000, "VISA", 3, 1772366400000000, 1772366400000000)  # as in `message`


def compared(
    tmp_path: Path, monkeypatch, position, *, now: str = "5", topic=(), **options: Any
) -> tuple[int, run.Audit]:
    """An audit of PostgreSQL's rows 1 and 2, of which the mirror, at offset 45, has the first alone. The transaction
    `now` wrote row 2 last, 5 did when the audit began; `position` says where the capture stands, 500 is the log's end;
    `topic` comes behind the mirror."""
    folder = write_lake(tmp_path / "lake", [change(1, "10")], [])
    suspects = Suspects(500, 2, 1, 1, {2: Stored(ROW, "5")})
    monkeypatch.setattr(rows, "suspects", lambda *_: suspects)
    monkeypatch.setattr(rows, "stored_rows", lambda *_: {2: Stored(ROW, now)})
    monkeypatch.setattr(rows, "_PAUSE_S", 0)
    monkeypatch.setattr(run, "take_bounds", lambda *_: bounds(45))
    monkeypatch.setattr(run, "read_topic", lambda *_: [message(10), *topic])
    monkeypatch.setattr(run, "capture_position", lambda *_: position)
    pipeline = replace(load_pipeline(), lake=folder, checkpoints=str(tmp_path / "checkpoints"))
    chosen = run.Options(parts=("rows",), **{"wait_s": 0, **options})
    found = run.audit(pipeline, [], SimpleNamespace(dsn=lambda role: ""), chosen)
    return exit_code(found), found


def test_a_row_that_the_topic_lacks_is_lost_once_the_capture_has_passed_it(tmp_path, monkeypatch):
    code, found = compared(tmp_path, monkeypatch, lambda: 500)
    assert (code, [(each.kind, each.ids) for each in found.findings]) == (1, [("row_not_captured", [2])])


def test_a_capture_on_its_way_is_waited_for(tmp_path, monkeypatch):
    places = iter([100, 300, 500])
    code, found = compared(tmp_path, monkeypatch, lambda: next(places), wait_s=30)
    assert (code, [each.kind for each in found.findings]) == (1, ["row_not_captured"])


@pytest.mark.parametrize(
    ("position", "said"), [(499, "the capture is at 0/1F3"), (-1, "the capture stands is unknown")]
)
def test_a_row_that_the_topic_lacks_is_unknown_where_the_capture_is_dead(tmp_path, monkeypatch, position, said):
    code, found = compared(tmp_path, monkeypatch, lambda: position)
    assert (code, found.findings, found.incomplete) == (2, [], ["rows"])
    assert said in found.parts[0].incomplete[0]


def test_what_is_in_flight_is_in_order_wherever_the_capture_stands(tmp_path, monkeypatch):
    assert compared(tmp_path / "a", monkeypatch, lambda: -1, now="6")[0] == 0  # written since
    code, found = compared(tmp_path / "b", monkeypatch, lambda: -1, topic=[message(60, 2)])
    assert (code, found.incomplete, found.parts[0].figures["in_flight"]) == (0, [], 1)


def test_rows_that_differ_are_unknown_while_the_mirror_is_very_far_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MOST_BEHIND", 1)
    topic = [message(60, 2), message(70, 3)]
    code, found = compared(tmp_path, monkeypatch, lambda: 500, topic=topic)
    assert (code, found.findings) == (2, [])
    assert found.parts[0].incomplete == ["1 rows that differ: the mirror is 2 records behind"]


def test_alerts_are_unknown_where_a_rule_is_ahead_of_a_mirror_that_is_very_far_behind():
    at = bounds(45, velocity=80, high_amount=45)
    again = {"velocity": judged.Judged(until={0: 45}), "high_amount": judged.Judged(until={0: 45})}
    far, near = records.Scan({}, in_flight=35), records.Scan({}, behind=[message(50)], in_flight=1)
    assert run._ahead(again, far, at) == ["velocity: ahead of the mirror, which is 35 records behind"]
    assert run._ahead(again, near, at) == []
    assert run._ahead({"high_amount": again["high_amount"]}, far, at) == []


def test_what_a_running_archive_adds_while_its_topic_is_read_is_not_too_much(tmp_path, monkeypatch):
    row = change(1, "10")
    folder = write_lake(tmp_path / "lake", [row], [])

    def read(servers, topic, *_):
        if topic == "t":
            return [message(10)]
        write_table(tmp_path / "lake" / "alerts", ALERTS, [alert(row, "high_amount", "v", "r", {})])
        return []

    monkeypatch.setattr(run, "read_topic", read)
    monkeypatch.setattr(run, "take_bounds", lambda *_: bounds(45, archive_alerts=0))
    pipeline = replace(load_pipeline(), lake=folder, checkpoints=str(tmp_path / "checkpoints"))
    found = run.audit(pipeline, [], SimpleNamespace(dsn=lambda role: ""), run.Options(parts=("alerts",)))
    assert DeltaTable(f"{folder}/alerts").to_pyarrow_table()["transaction_id"].to_pylist() == [1]
    assert [part.name for part in found.parts if not part.findings] == ["alerts", "archive"]


def test_a_ledger_is_compared_with_the_whole_topic_whatever_since_says(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("committed", [["c", 1, 7, "10.00", "VISA", 3, "2026-03-01T12:00:00"]])
    ledger.close()
    folder = write_lake(tmp_path / "lake", [change(1, "10"), change(1, "10", offset=20)], [])
    monkeypatch.setattr(run, "read_topic", lambda *_: [message(10), message(20)])  # the second is a copy
    pipeline = replace(load_pipeline(), lake=folder)
    part = run._ledger(pipeline, bounds(100, since=50), tmp_path / "ledger.jsonl", None)
    assert (part.findings, part.figures) == ([], {"committed": 1, "captured": 1})
