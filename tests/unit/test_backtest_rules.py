"""The job backtest_rules on a small world with known frauds, and on a small lake."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

import backtest_rules
import simulate_world
from fixtures.lake import alert, change, write_lake
from fraudstream.check.settings import DEFINED
from fraudstream.config import RULES_FILE
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import REPOSITORY
from fraudstream.triage.records import add_label
from unit.histories import rule_of

ALL = [rule.name for rule in load_rules(RULES_FILE)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("world")
    size = ["--customers", "120", "--terminals", "400", "--days", "60", "--radius", "20", "--seed", "9"]
    simulate_world.main([*size, "--start", "2026-03-01", "--label-delay", "3d", "--home", str(home)])
    return home


def run(home: Path, *options: str) -> dict[str, Any]:
    assert backtest_rules.main([*options, "--home", str(home), "--progress", "none"]) == 0
    return json.loads((home / "report.json").read_text(encoding="utf-8"))


def files(world: Path) -> list[str]:
    return ["--transactions", str(world / "transactions.parquet"), "--labels", str(world / "labels.parquet")]


def entry(report: dict[str, Any], variant: str) -> dict[str, Any]:
    return next(each for each in report["rules"] if each["variant"] == variant)


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    home = tmp_path_factory.mktemp("whole")
    report = run(home, *files(world))
    return report, (home / "report.html").read_text(encoding="utf-8")


def test_every_rule_of_the_rules_file_is_tried_the_paused_ones_too(whole, world):
    report, _ = whole
    made = json.loads((world / "world.json").read_text())
    assert [each["rule"] for each in report["rules"]] == ALL
    assert report["source"]["in_period"] == made["transactions"]
    assert report["known"]["fraud"] == made["fraud"]
    assert report["known"]["honest"] == made["transactions"] - made["fraud"]
    for each in (*report["rules"], report["together"]):
        assert each["tp"] + each["fn"] == made["fraud"]
        assert each["tp"] + each["fp"] == each["alerts"] == sum(each["by_day"])
        assert sum(kind["transactions"] for kind in each["kinds"].values() if kind["fraud"]) == made["fraud"]
    # Rules that this world has frauds for see them; the rule with labels was given the world's.
    shares = {each["rule"]: each["kinds"] for each in report["rules"]}
    assert shares["velocity"]["burst"]["episodes_share"] > 0.5
    assert shares["card_testing"]["card_testing"]["episodes_share"] > 0.5
    assert shares["compromised_merchant"]["compromised_terminal"]["alerts"] > 0


def test_the_figures_of_a_rule_without_state_are_those_counted_from_the_files(world, tmp_path: Path):
    report = run(tmp_path, *files(world), "--rule", "high_amount", "--param", "over=150,220.01,1000")
    amounts = {row["id"]: row["amount"] for row in pq.read_table(world / "transactions.parquet").to_pylist()}
    labels = pq.read_table(world / "labels.parquet").to_pylist()
    fraud = {row["transaction_id"] for row in labels if row["label"] == "confirmed"}
    assert [each["variant"].split("=")[-1] for each in report["rules"]] == ["high_amount", "150", "220.01", "1000"]
    for each in report["rules"]:
        over = float(each["parameters"]["over"])
        alerts = {number for number, amount in amounts.items() if float(amount) > over}
        assert (each["tp"], each["fp"], each["fn"]) == (len(alerts & fraud), len(alerts - fraud), len(fraud - alerts))
        assert each["caught_cents"] == sum(amounts[number] for number in alerts & fraud) * 100
    known = entry(report, "high_amount over=150")["examples"]
    assert {cell: len(known[cell]) for cell in known} == {"tp": 3, "fp": 3, "fn": 3, "tn": 3, "unknown": 0}
    assert all(each["transaction_id"] in fraud for each in (*known["tp"], *known["fn"]))
    assert max(amounts[number] for number in amounts.keys() - fraud if amounts[number] <= 150) == Decimal(
        known["tn"][0]["amount"]
    )


def test_the_configured_parameters_are_tried_once_and_keep_their_version(world, tmp_path: Path):
    report = run(tmp_path, *files(world), "--rule", "anomaly", "--param", "factor=2.5,3.0,4")
    assert [each["variant"] for each in report["rules"]] == ["anomaly factor=2.5", "anomaly", "anomaly factor=4"]
    configured = next(rule for rule in load_rules(RULES_FILE) if rule.name == "anomaly")
    assert [each["version"] for each in report["rules"]][1] == configured.version
    # A version is that of the rules file with the same parameters.
    same = rule_of("anomaly: {parameters: {history: 50, minimum: 3, factor: 4, floor: 500, method: mean}}")
    assert report["rules"][2]["version"] == same.version
    alerts = [each["alerts"] for each in report["rules"]]
    assert alerts == sorted(alerts, reverse=True)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "anomaly, by its parameters" in page
    assert page.count("<svg") == 2


def test_what_is_before_the_period_warms_up_and_counts_for_nothing_else(whole, world, tmp_path: Path):
    report, _ = whole
    part = run(tmp_path, *files(world), "--from", "2026-03-21", "--to", "2026-04-11")
    days = report["period"]["days"]
    first, end = days.index("2026-03-21"), days.index("2026-04-11")
    for mine, its in zip(part["rules"], report["rules"], strict=True):
        assert mine["by_day"] == its["by_day"][first:end]
        assert sum(mine["by_day"]) == mine["alerts"]
    assert part["source"]["before"] + part["source"]["in_period"] < report["source"]["in_period"]


def test_without_labels_there_are_alerts_and_no_shares(whole, world, tmp_path: Path):
    report = run(tmp_path, "--transactions", str(world / "transactions.parquet"))
    assert report["known"]["unknown"] == report["source"]["in_period"]
    for mine, its in zip(report["rules"], whole[0]["rules"], strict=True):
        if mine["rule"] != "compromised_merchant":
            assert (mine["alerts"], mine["by_day"]) == (its["alerts"], its["by_day"])
        assert (mine["precision"], mine["recall"], mine["kinds"]) == (None, None, {})
    assert entry(report, "compromised_merchant")["alerts"] == 0
    assert "Rule by scenario" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_has_the_rules_the_scenarios_and_examples_to_open(whole):
    report, page = whole
    assert "Rule by scenario" in page
    assert "What a rule cannot see" in page
    for rule in ALL:
        assert f"<td>{rule}</td>" in page
    for kind in report["rules"][0]["kinds"]:
        assert f"<th>{kind.replace('_', ' ')}</th>" in page
    shown = entry(report, "velocity")["examples"]["tp"][0]
    assert f"transaction {shown['transaction_id']}: {shown['amount']} by user {shown['user_id']}" in page
    assert shown["reason"] in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_csv_file_gives_what_the_parquet_file_gives(whole, world, tmp_path: Path):
    for name in ("transactions", "labels"):
        pa_csv.write_csv(pq.read_table(world / f"{name}.parquet"), tmp_path / f"{name}.csv")
    options = ["--transactions", str(tmp_path / "transactions.csv"), "--labels", str(tmp_path / "labels.csv")]
    found = run(tmp_path, *options)
    assert without_times(found["rules"]) == without_times(whole[0]["rules"])
    assert found["known"] == whole[0]["known"]


def without_times(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name != "seconds"} for each in entries]


def test_rows_that_cannot_be_judged_are_counted_and_written_down(tmp_path: Path):
    path = tmp_path / "some.csv"
    path.write_text("id,user_id,amount,created_at,card_type\n1,1,5000,2026-03-01,<b>&amp\n2,1,x,2026-03-01,V\n")
    report = run(tmp_path, "--transactions", str(path), "--rule", "high_amount")
    assert report["source"]["problems"] == {"amount is no exact number of cents": 1}
    assert (report["source"]["read"], report["source"]["enter"], report["source"]["unreadable"]) == (2, 1, 1)
    assert (tmp_path / "problems.csv").read_text().count("\n") == 2
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;amp" in page
    assert "<b>&amp</" not in page
    path.write_text("id,user_id,amount,created_at\n1,1,5000,2026-03-01\n")
    run(tmp_path, "--transactions", str(path), "--rule", "high_amount")
    assert not (tmp_path / "problems.csv").exists()


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """5000.00 and 6000.00 have alerts of another version of the rule; 4600.00 has none."""
    changes = [
        change(n, amount, at=n * 3600) for n, amount in enumerate(("5000.00", "10.00", "4600.00", "6000.00"), start=1)
    ]
    found = [alert(changes[n], "high_amount", "old", "large", {}) for n in (0, 3)]
    return write_lake(tmp_path / "lake", changes, found)


def test_the_lake_is_compared_with_its_alerts_and_labels(lake, tmp_path: Path):
    add_label(lake, "confirmed", transaction=3)
    add_label(lake, "dismissed", transaction=4)
    report = run(tmp_path, "--lake", lake, "--rule", "high_amount", "--param", "over=5500")
    live = entry(report, "high_amount")["live"]
    assert live["versions"] == {"old": 2}
    assert [live[name]["transactions"] for name in ("both", "only_backtest", "only_live")] == [[1, 4], [3], []]
    assert [live[name]["fraud"] for name in ("both", "only_backtest", "only_live")] == [0, 1, 0]
    other = entry(report, "high_amount over=5500")["live"]
    assert [other[name]["transactions"] for name in ("both", "only_backtest", "only_live")] == [[4], [], [1]]
    assert report["known"] == {"fraud": 1, "fraud_cents": 460_000, "honest": 1, "unknown": 2}
    assert "in both" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_ids_are_those_of_the_stream(lake, tmp_path: Path):
    from fraudstream import alerts
    from fraudstream.backtest.runtime import judge
    from fraudstream.backtest.source import history_of_lake

    rule = next(rule for rule in load_rules(RULES_FILE) if rule.name == "high_amount")
    found = judge(rule, history_of_lake(lake)).messages
    assert [each["alert_id"] for each in found] == [alerts.alert_id("high_amount", rule.version, n) for n in (1, 3, 4)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rule", "anomally"], "--rule: 'anomally' is none of .* Did you mean anomaly?"),
        (["--param", "factor=2"], r"there are \d+ rules; name one with --rule, or write it like anomaly.factor"),
        (["--rule", "anomaly", "--param", "facto=2"], "no parameter facto. Did you mean factor?"),
        (["--rule", "anomaly", "--param", "factor=many"], "factor is 'many'; it must be a number"),
        (["--rule", "anomaly", "--param", "factor"], "write it like factor=2.5,3,4"),
        (["--rule", "anomaly", "--param", "minimum=60"], "minimum is 60, history only 50"),
        (["--rule", "anomaly", "--param", "velocity.window=5s"], "no rule velocity is tried"),
        (["--from", "2026-03-02", "--to", "2026-03-02"], "is not before --to"),
        (["--from", "soon"], "--from is 'soon'; write a time like"),
        (["--from", "2031-01-01"], "no transaction from --from to --to; there are some from 2026-03-01"),
        (["--as-of", "2001-01-01"], "no transaction that can be judged"),
        (["--k", "0"], "--k is 0; it must lie between 1 and"),
        (["--labels", "none.csv"], "none.csv: cannot be read"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_one_line(options, message, world, tmp_path: Path):
    given = ["--transactions", str(world / "transactions.parquet"), "--home", str(tmp_path), *options]
    with pytest.raises(FraudstreamError, match=message) as error:
        backtest_rules.main(given)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "report.json").exists()


def test_a_lake_without_labels_is_tried_without(lake, tmp_path: Path):
    report = run(tmp_path, "--lake", lake, "--rule", "anomaly,high_amount")
    assert report["known"]["unknown"] == 4
    assert report["labels"]["source"] == "lake"
    assert datetime.fromisoformat(report["period"]["from"]) == datetime(2026, 3, 1, tzinfo=UTC)


def test_the_readmes_sweep_runs_as_it_is_written(lake, tmp_path: Path):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (arguments,) = re.findall(r"^\./spark-submit\.sh backtest_rules ([^#\n]*)", readme, re.MULTILINE)
    report = run(tmp_path, "--lake", lake, *shlex.split(arguments))
    assert [each["variant"] for each in report["rules"]] == ["anomaly factor=2.5", "anomaly", "anomaly factor=4"]
    assert report["source"]["in_period"] == 4


def test_what_is_said_of_the_rules_is_said_of_each():
    text = (REPOSITORY / "docs" / "rules.md").read_text(encoding="utf-8")
    whole = text[text.index("## All rules on one world") :]
    rows = re.findall(r"^\| `(\w+)` \|", whole, re.MULTILINE)
    assert rows == [rule.name for rule in load_rules(RULES_FILE) if rule.rule in DEFINED]
    assert set(rows) == set(DEFINED)
