"""The commands of triage_alerts on a lake of a few rows: what they record, list and refuse."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

import triage_alerts
from fixtures.lake import alert, change, write_lake
from fraudstream import lake as lake_tables
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.labels import read_labels
from fraudstream.stack.settings import REPOSITORY
from fraudstream.triage.records import add_label
from fraudstream.triage.tables import append, rows

HOUR = 3600
NOON = "2026-03-01T12:00:00Z"


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """Users 7 and 8 with four alerts: at noon two of user 7 on one transaction, an hour later one of user 8, and two
    days later one of user 7. Transaction 5 has none."""
    changes = [change(1, "900.29"), change(2, "5000.00", HOUR, user=8), change(3, "4501.00", 49 * HOUR), change(5, "7")]
    found = [alert(each, "high_amount", "v", "large", {"limit": 4500}) for each in changes[:3]]
    found.append(alert(changes[0], "anomaly", "v", "unusual", {}))
    return write_lake(tmp_path, changes, found)


def run(capsys: pytest.CaptureFixture[str], lake: str, *arguments: str) -> tuple[int, list[str]]:
    code = triage_alerts.main([*arguments, "--lake", lake])
    return code, capsys.readouterr().out.splitlines()


def asked(capsys: pytest.CaptureFixture[str], lake: str, *arguments: str):
    return json.loads("\n".join(run(capsys, lake, *arguments, "--json")[1]))


def id_of(capsys: pytest.CaptureFixture[str], lake: str, transaction: int, rule: str = "high_amount") -> str:
    found = asked(capsys, lake, "alerts")["alerts"]
    return next(each["alert_id"] for each in found if (each["transaction_id"], each["rule"]) == (transaction, rule))


def test_a_label_is_recorded_and_the_newest_counts(lake, capsys):
    wanted = id_of(capsys, lake, 1)
    told = run(capsys, lake, "label", wanted[:9], "--confirmed", "--by", "ana", "--note", "stolen", "--at", NOON)
    assert told == (0, ["transaction 1: confirmed by ana, 2026-03-01 12:00:00 UTC"])
    (row,) = DeltaTable(f"{lake}/labels").to_pyarrow_table().to_pylist()
    assert {**row, "labelled_at": f"{row['labelled_at']:%Y-%m-%d %H:%M %Z}"} == {
        "transaction_id": 1, "alert_id": wanted, "label": "confirmed", "labelled_at": "2026-03-01 12:00 UTC",
        "by": "ana", "note": "stolen",
    }  # fmt: skip
    _, lines = run(capsys, lake, "alerts")
    assert lines[0] == (
        "4 alerts until 2026-03-03 13:00:00 UTC: 2 confirmed, 0 dismissed, 2 open; 0 snoozed, 0 withdrawn"
    )
    run(capsys, lake, "label", "--transaction", "1", "--dismissed", "--by", "ana", "--at", "2026-03-01T12:00:01Z")
    assert [each["state"] for each in asked(capsys, lake, "alerts")["alerts"]] == [
        "open", "open", "dismissed", "dismissed",
    ]  # fmt: skip
    assert len(DeltaTable(f"{lake}/labels").to_pyarrow_table()) == 2


def test_a_report_of_an_earlier_moment_stays_as_it_was(lake, capsys):
    before = run(capsys, lake, "cases", "--at", "2026-03-01T13:00:00Z")
    run(capsys, lake, "label", "--transaction", "1", "--confirmed", "--by", "ana", "--at", "2026-03-01T13:00:01Z")
    run(capsys, lake, "snooze", "8", "--rule", "high_amount", "--for", "7d", "--at", "2026-03-01T13:00:01Z")
    assert run(capsys, lake, "cases", "--at", "2026-03-01T13:00:00Z") == before
    assert before[1][0] == "2 cases, 2 of them open, of 3 alerts until 2026-03-01 13:00:00 UTC; 0 alerts are snoozed"


def test_cases_are_listed_with_what_is_snoozed(lake, capsys):
    code, lines = run(capsys, lake, "snooze", "7", "--rule", "high_amount", "--for", "24h", "--at", NOON, "--by", "ana")
    told = "alerts of high_amount on user 7 are snoozed from 2026-03-01 12:00:00 until 2026-03-02 12:00:00 UTC"
    assert (code, lines) == (0, [f"{told}; they stay in lake/alerts, and every list counts them"])
    _, lines = run(capsys, lake, "cases")
    assert lines[0] == "3 cases, 3 of them open, of 4 alerts until 2026-03-03 13:00:00 UTC; 1 alert is snoozed"
    assert [line.split()[2:] for line in lines[2:]] == [
        ["7", "2026-03-03", "13:00:00", "2026-03-03", "13:00:00", "high_amount", "1", "0", "1", "4501.00"],
        ["8", "2026-03-01", "13:00:00", "2026-03-01", "13:00:00", "high_amount", "1", "0", "1", "5000.00"],
        ["7", "2026-03-01", "12:00:00", "2026-03-01", "12:00:00", "anomaly,", "high_amount", "2", "1", "1", "900.29"],
    ]
    assert len(DeltaTable(f"{lake}/alerts").to_pyarrow_table()) == 4
    assert [each["user_id"] for each in asked(capsys, lake, "cases", "--gap", "30m", "--user", "7")["cases"]] == [7, 7]
    assert len(asked(capsys, lake, "cases", "--gap", "49h")["cases"]) == 2
    assert run(capsys, lake, "cases", "--limit", "1")[1][-1] == "(2 more cases; --limit 0 shows all)"


def test_snoozes_expire_are_replaced_and_end(lake, capsys):
    for user, length, at in (("7", "24h", NOON), ("7", "48h", "2026-03-01T13:00:00Z"), ("8", "1h", NOON)):
        run(capsys, lake, "snooze", user, "--rule", "high_amount", "--for", length, "--at", at, "--by", "ana")
    _, lines = run(capsys, lake, "snoozes")
    assert lines[0] == "3 snoozes until 2026-03-03 13:00:00 UTC; their alerts stay in lake/alerts"
    assert [(line.split()[0], *line.split()[-3:]) for line in lines[2:]] == [
        ("7", "replaced", "1", "ana"),
        ("8", "expired", "0", "ana"),  # its alert comes when the hour is over
        ("7", "expired", "0", "ana"),
    ]
    run(capsys, lake, "snooze", "8", "--rule", "high_amount", "--until", "2026-04-01", "--at", NOON, "--by", "ana")
    assert asked(capsys, lake, "alerts", "--user", "8")["alerts"][0]["state"] == "open"  # the shorter one counts
    run(capsys, lake, "snooze", "8", "--rule", "high_amount", "--for", "9d", "--at", "2026-03-01T12:30Z", "--by", "ana")
    assert asked(capsys, lake, "alerts", "--user", "8")["alerts"][0]["state"] == "snoozed"
    run(capsys, lake, "wake", "8", "--rule", "high_amount", "--at", "2026-03-01T12:59:59Z", "--by", "ana")
    assert asked(capsys, lake, "alerts", "--user", "8")["alerts"][0]["state"] == "open"
    assert run(capsys, lake, "alerts", "--user", "8", "--open")[1][0].startswith("1 alert until")


def test_quality_names_what_every_rule_missed(lake, capsys):
    for number, word in ((1, "confirmed"), (2, "dismissed"), (5, "confirmed")):
        add_label(lake, word, transaction=number, by="ana", at=1_772_366_400_000_000)
    _, lines = run(capsys, lake, "quality", "--days", "3")
    rules = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(("anomaly ", "high_amount "))}
    assert rules == {
        "anomaly": ["1", "0", "0", "1", "0", "0", "100.0", "%", "50.0", "%", "900.29"],
        "high_amount": ["3", "0", "0", "1", "1", "1", "50.0", "%", "50.0", "%", "900.29"],
    }
    assert lines[-3:] == [
        "Of 2 confirmed frauds 1 was missed by every rule:",
        "  transaction  user  amount  time",
        "            5     7    7.00  2026-03-01 12:00:00",
    ]


def test_a_budget_that_is_exceeded_makes_the_exit_code_1(lake, capsys):
    code, lines = run(capsys, lake, "budget", "--days", "3", "--budget", "high_amount=1/day,anomaly=1/day")
    assert (code, lines[-1]) == (1, "high_amount exceeds its budget of 1/day: 2 on 2026-03-01")
    code, lines = run(capsys, lake, "budget", "--days", "3", "--budget", "high_amount=2/day")
    assert (code, lines[-1]) == (0, "No rule exceeds a budget.")


def test_budgets_stand_in_the_rules_file(lake, capsys, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("high_amount: {budget: 1/day}\nanomaly: {}")
    code, lines = run(capsys, lake, "budget", "--days", "3", "--rules-file", str(rules))
    assert (code, lines[-1]) == (1, "high_amount exceeds its budget of 1/day: 2 on 2026-03-01")
    rules.write_text("high_amount: {}")
    assert run(capsys, lake, "budget", "--rules-file", str(rules))[1][-1] == "No rule has a budget."


def test_empty_results_are_said_in_words(tmp_path, capsys):
    lake = write_lake(tmp_path, [change(1, "1.00")], [])
    for command, said in (
        ("alerts", "No alerts until 1970-01-01 00:00:00 UTC."),
        ("cases", "No cases until 1970-01-01 00:00:00 UTC."),
        ("snoozes", "No snoozes until 1970-01-01 00:00:00 UTC."),
        ("quality", "No transaction of that time is confirmed as fraud."),
        ("budget", "No alerts in the 7 days until 1970-01-01 00:00:00 UTC."),
    ):
        assert run(capsys, lake, command)[1][-1] == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["label", "zz", "--confirmed"], "'zz' is no alert id"),
        (["label", "0" * 64, "--confirmed"], "has no alert 0{64}; the nearest are"),
        (["label", "--confirmed"], "name either an alert .ID. or a transaction"),
        (["label", "--transaction", "99", "--confirmed"], "transactions has no transaction 99"),
        (["label", "--transaction", "1", "--confirmed", "--by", " "], "Name yourself with --by"),
        (["label", "--transaction", "1", "--confirmed", "--note", "x" * 1001], "--note has 1001 characters"),
        (["snooze", "7", "--rule", "high_amount", "--for=-7d"], "--for: '-7d' is no duration"),
        (["snooze", "7", "--rule", "high_amount", "--for", "0s"], "longer than nothing"),
        (["snooze", "7", "--rule", "high_amount", "--for", "367d"], "longer than 366 days; pause the rule"),
        (["snooze", "7", "--rule", "high_amount", "--until", "2026-03-01", "--at", NOON], "it must end later"),
        (["snooze", "7", "--rule", "high_amount", "--until", NOON, "--at", NOON], "it must end later"),
        (["snooze", "7", "--rule", "hihg_amount", "--for", "7d"], "'hihg_amount'. Did you mean high_amount.* anomaly,"),
        (["snooze", "9", "--rule", "anomaly", "--for", "7d"], "alerts has no alert on user 9"),
        (["wake", "9", "--rule", "anomaly"], "alerts has no alert on user 9"),
        (["alerts", "--at", "soon"], "--at is 'soon'; write a time like"),
        (["cases", "--gap", "1"], "--gap: '1' is no duration"),
        (["cases", "--limit", "-1"], "--limit is -1; it must be 0 .all. or more"),
        (["quality", "--days", "0"], "--days is 0; it must be 1 or more"),
        (["budget", "--budget", "anomaly"], "'anomaly': '' is no budget"),
    ],
)
def test_wrong_input_is_refused_in_one_line_and_nothing_is_recorded(lake, arguments, said):
    with pytest.raises(FraudstreamError, match=said) as refused:
        triage_alerts.main([*arguments, "--lake", lake])
    assert "\n" not in str(refused.value)
    assert not any(DeltaTable.is_deltatable(f"{lake}/{table}") for table in ("labels", "snoozes"))


def test_a_lake_without_alerts_is_refused(tmp_path):
    with pytest.raises(FraudstreamError, match="alerts: there is no such table"):
        triage_alerts.main(["cases", "--lake", str(tmp_path)])


def test_the_confirmed_are_exported_as_rules_take_them(lake, capsys, tmp_path):
    # 1 is confirmed since 2 s (again at 3 s), 2 dismissed at last, 3 confirmed anew at 4 s, and 5 only at 9 s.
    labels = [(1, 2, "confirmed"), (1, 3, "confirmed"), (2, 2, "confirmed"), (2, 3, "dismissed")]
    labels += [(3, 1, "confirmed"), (3, 2, "dismissed"), (3, 4, "confirmed"), (5, 9, "confirmed")]
    for number, at, word in labels:
        add_label(lake, word, transaction=number, by="ana", at=at * 1_000_000)
    file = tmp_path / "labels.csv"
    code, lines = run(capsys, lake, "export", str(file), "--at", "1970-01-01T00:00:08Z")
    assert (code, lines[0].split()[:3]) == (0, ["2", "confirmed", "transactions"])
    found = read_labels(str(file))
    assert (found.ids, found.times) == ((1, 3), (2_000_000, 4_000_000))
    with pytest.raises(FraudstreamError, match=r"cannot be written .No such file or directory.; name another"):
        triage_alerts.main(["export", str(tmp_path / "none" / "labels.csv"), "--lake", lake])


def test_two_who_label_at_once_are_both_recorded(lake):
    """Each process makes the table if it is not there, which only one can."""
    code = (
        "import sys; from fraudstream.triage.records import add_label\n"
        "for at in range(5): add_label(sys.argv[1], 'confirmed', transaction=int(sys.argv[2]), by='ana', at=at)"
    )
    command = [sys.executable, "-c", code, lake]
    running = [
        subprocess.Popen([*command, str(number)], env={"PYTHONPATH": str(REPOSITORY / "jobs")}) for number in (1, 2, 3)
    ]
    assert [each.wait(60) for each in running] == [0, 0, 0]
    rows = DeltaTable(f"{lake}/labels").to_pyarrow_table()["transaction_id"].to_pylist()
    assert sorted(rows) == [1] * 5 + [2] * 5 + [3] * 5


def test_a_table_that_another_has_just_made_is_added_to(lake, monkeypatch):
    """The race by hand: between the look for the table and its making, somebody else has made it."""
    add_label(lake, "confirmed", transaction=1, by="ana", at=0)
    (first,) = rows(lake, "labels")
    looks = iter([None])
    real = lake_tables.open_table
    monkeypatch.setattr(lake_tables, "open_table", lambda *place: next(looks, real(*place)))
    append(lake, "labels", {**first, "transaction_id": 2})
    assert sorted(row["transaction_id"] for row in rows(lake, "labels")) == [1, 2]


def test_the_readmes_commands_run(lake, capsys):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\./spark-submit\.sh triage_alerts ([^#\n]*)", readme, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        words = shlex.split(command.replace("ec7a10b9", id_of(capsys, lake, 1)).replace("1514", "7"))
        words = ["high_amount" if word == "velocity" else word for word in words]
        assert run(capsys, lake, *words)[0] == 0, command
