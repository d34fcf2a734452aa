"""The canary counts nowhere, and what became of the last one is written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.lake import alert, change, write_lake
from fraudstream import canary
from fraudstream.backtest.source import history_of_lake
from fraudstream.config import load_pipeline
from fraudstream.errors import ConfigError
from fraudstream.health import tables
from fraudstream.health.canaries import Sent, expected_rules, note, note_end
from fraudstream.rulebook.catalog import parse_rules
from fraudstream.triage.desk import open_desk

RULES = "{high_amount: {severity: low}, strict: {rule: anomaly, severity: low, status: shadow}, v: {rule: velocity, "
RULES += "severity: low}, card_testing: {severity: low}}"


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """A customer's alert and the canary's."""
    changes = [change(1, "5000.00"), change(2, "999999.99", user=canary.USER), change(3, "1.00", user=canary.USER)]
    return write_lake(tmp_path / "lake", changes, [alert(each, "high_amount", "v", "r", {}) for each in changes[:2]])


def test_the_desk_has_no_canary(lake: str):
    assert [each.transaction_id for each in open_desk(lake).alerts] == [1]


def test_a_backtest_leaves_canaries_out_and_says_how_many(lake: str):
    history = history_of_lake(lake)
    assert history.batch["id"].tolist() == [1]
    assert history.left_out == {"canary": 2}
    assert history.read == 3


def test_alert_rates_have_no_canary(lake: str):
    assert tables.alerts(lake, {})["high_amount"]["total"] == 1


def known_size(lake: str) -> int:
    (file,) = Path(lake, "alerts").glob("*.parquet")
    return file.stat().st_size


def test_a_table_that_lacks_a_file_or_has_a_torn_log_is_damaged_and_the_others_are_told(lake: str):
    changes, log = sorted(Path(lake, "transaction_changes").glob("*.parquet")), Path(lake, "alerts", "_delta_log")
    changes[0].unlink()
    sorted(log.glob("*.json"))[-1].write_text('{"commitInfo": {', encoding="utf-8")
    found = tables.tables(lake, {})
    assert found["transaction_changes"]["damaged"].endswith(f"files are gone, among them {changes[0].name}")
    assert found["alerts"]["damaged"].startswith(f"{lake}/alerts: cannot be opened: ")
    assert found["alerts"]["files"] is None
    assert [name for name, each in found.items() if not each["damaged"]] == [
        name for name in sorted(found) if name not in ("alerts", "transaction_changes")
    ]


def test_small_files_are_counted_again_with_a_new_version_only(lake: str):
    known: dict = {}
    size = known_size(lake)
    assert tables.tables(lake, known)["alerts"] == {"files": 1, "small_files": 1, "bytes": size, "damaged": None}
    known["alerts"] = (known["alerts"][0], {"files": 7})
    assert tables.tables(lake, known)["alerts"] == {"files": 7}


def test_the_live_rules_whose_file_is_known_to_alert_are_awaited():
    rules = parse_rules(RULES, Path("rules.yaml"))
    assert expected_rules(rules) == ["high_amount", "v"]
    assert expected_rules(rules, ["card_testing"]) == ["card_testing"]
    with pytest.raises(ConfigError, match="'strict' is not live; live are high_amount, v, card_testing"):
        expected_rules(rules, ["strict"])
    with pytest.raises(ConfigError, match="none of the rules that alert on a canary is live"):
        expected_rules([rule for rule in rules if rule.rule == "card_testing"])


def test_a_late_canary_leaves_the_time_of_the_last_good_one(tmp_path: Path):
    pipeline = replace(load_pipeline(), progress=str(tmp_path / "progress"))

    def noted(sent: Sent | None, at: float):
        note(pipeline, sent, at, 60.0)
        return json.loads((tmp_path / "progress" / "canary.json").read_text())

    note_end(pipeline)  # before the first one
    assert noted(Sent(6, {}, ["anomaly"]), 1.0)["arrived_at"] is None
    found = noted(Sent(12, {"anomaly": 0.5, "velocity": 0.7}, []), 2.0)
    assert (found["arrived_at"], found["latency_s"], found["transaction_id"]) == (2.0, 0.7, 12)
    assert noted(Sent(18, {"velocity": 0.7}, ["anomaly"]), 3.0)["arrived_at"] == 2.0
    assert noted(None, 4.0)["arrived_at"] == 2.0
    assert noted(None, 4.0)["every_s"] == 60.0
    note_end(pipeline)
    found = json.loads((tmp_path / "progress" / "canary.json").read_text())
    assert (found["every_s"], found["arrived_at"], found["at"]) == (None, 2.0, 4.0)
