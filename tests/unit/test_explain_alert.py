"""Explaining alerts on a lake of a few rows, worked out by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

import explain_alert
from fixtures.lake import NOON, alert, change, write_lake
from fraudstream.config import RULES_FILE
from fraudstream.errors import FraudstreamError
from fraudstream.explain.conditions import clauses, condition_words, expression_words
from fraudstream.explain.explanation import explain
from fraudstream.rulebook.catalog import load_rules
from fraudstream.rulebook.interpreter import Paid
from fraudstream.rulebook.transaction import Transaction
from fraudstream.streams import record

RULES = """
anomaly: {severity: high, parameters: {history: 4}}
velocity: {severity: high}
high_amount: {severity: medium}
"""
# Of the user's last 4 before transaction 7 (rows 2, 3, 4 and 6): 100 + 110 + 90 + 100 = 400, so the mean is 100.00 and
# 900.00 is 9 times that and over 3 x 100.00. Row 1 is a fifth one; 5 is another user's.
AMOUNTS = ("5000.00", "100.00", "110.00", "90.00", "1.00", "100.00", "900.00")
FIGURES = {"mean": "100.00", "n": 4, "ratio": "9.00", "sum": "400.00", "threshold": "300.00"}
REASON = "900.00 is over 300.00, 3 times the mean 100.00 of the user's last 4 transactions"


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conf") / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture(scope="module")
def versions(rules_file: Path) -> dict[str, str]:
    return {rule.name: rule.version for rule in load_rules(rules_file)}


@pytest.fixture
def changes():
    """Transactions 1 to 7, the last 15 s behind noon; the third comes twice."""
    found = [
        change(n, amount, at=n + 8, user=8 if n == 5 else 7, merchant_id=None if n == 2 else 3)
        for n, amount in enumerate(AMOUNTS, start=1)
    ]
    return [*found, {**found[2], "offset": 35}]


@pytest.fixture
def anomaly(changes, versions):
    return alert(changes[6], "anomaly", versions["anomaly"], REASON, FIGURES)


def run(capsys: pytest.CaptureFixture[str], lake: str, rules_file: Path, wanted: str, *options: str) -> tuple[int, str]:
    code = explain_alert.main([wanted, "--lake", lake, "--rules-file", str(rules_file), *options])
    return code, capsys.readouterr().out


def test_it_shows_the_window_the_figures_and_a_match(tmp_path, changes, anomaly, rules_file, capsys):
    lake = write_lake(tmp_path, changes, [anomaly])
    code, text = run(capsys, lake, rules_file, anomaly["alert_id"])
    assert code == 0
    lines = text.splitlines()
    assert "  transaction 7: user 7 paid 900.00 with VISA at merchant 3, 2026-03-01 12:00:15.000000 UTC" in lines
    assert f"  {REASON}" in lines
    rows = [line.split() for line in lines if line.startswith("  ") and "2026-03-01T" in line]
    assert [(row[0], row[2], row[6:]) for row in rows] == [
        ("10", "5000.00", []),
        ("20", "100.00", ["counted"]),
        ("30", "110.00", ["counted"]),
        ("35", "110.00", ["redelivered"]),
        ("40", "90.00", ["counted"]),
        ("60", "100.00", ["counted"]),
        ("70", "900.00", ["judged"]),
    ]
    conditions = [" ".join(line.split()) for line in lines if line.endswith(" yes")]
    assert conditions == [
        "count of the last 4 >= 3 4 >= 3 yes",
        "amount > 3 * mean amount of the last 4 900.00 > 300.00 yes",
        "amount > 500 900.00 > 500 yes",
    ]
    assert lines[-1] == "match: the lake's changes give the same alert again"


def test_the_machines_form_has_the_same(tmp_path, changes, anomaly, rules_file, capsys):
    lake = write_lake(tmp_path, changes, [anomaly])
    code, text = run(capsys, lake, rules_file, anomaly["alert_id"][:10].upper(), "--json")
    found = json.loads(text)
    assert (code, found["verdict"], found["alert"]["transaction_id"]) == (0, "match", 7)
    assert [row["transaction_id"] for row in found["rows"] if row["counted"] == ["the last 4"]] == [2, 3, 4, 6]
    stored = {check["name"]: check["stored"] for check in found["checks"] if check["name"].startswith("evidence ")}
    assert stored == {f"evidence {name}": value for name, value in FIGURES.items()}


def test_a_velocity_window_shows_the_rows_of_a_minute(tmp_path, rules_file, versions):
    # 60 s before transaction 8 at 61 s is 1 s: transaction 1 is outside (the edge is open), 2 to 7 are inside.
    changes = [change(n, "4000.01", at=n if n < 8 else 61) for n in range(1, 9)]
    reason = "7 transactions within 60s, this one of 4000.01: score 90"
    stored = alert(changes[7], "velocity", versions["velocity"], reason, {"count": 7}, score=90)
    found = explain(write_lake(tmp_path, changes, [stored]), stored, rules_file)
    assert found.verdict == "match"
    assert [row.transaction_id for row in found.rows if row.counted] == [2, 3, 4, 5, 6, 7]
    assert [(clause.words, clause.figures, clause.level) for clause in found.clauses] == [
        ("(40 if 1 + count within 1m > 5) + (50 if amount > 4000) + surcharge of the card type > 70", "90 > 70", 0),
        ("1 + count within 1m > 5", "7 > 5", 1),
        ("amount > 4000", "4000.01 > 4000", 1),
    ]


def test_a_rule_without_windows_needs_its_own_row_alone(tmp_path, rules_file, versions):
    changes = [change(9, "4500.01", entry="history", op="r")]
    reason = "4500.01 is over 4500"
    stored = alert(changes[0], "high_amount", versions["high_amount"], reason, {"limit": 4500})
    found = explain(write_lake(tmp_path, changes, [stored]), stored, rules_file)
    assert (found.verdict, found.windows, len(found.rows)) == ("match", (), 1)


@pytest.mark.parametrize(
    ("name", "value", "differs"),
    [
        ("reason", "no reason", ["reason"]),
        ("amount", Decimal("900.01"), ["amount"]),
        ("evidence", json.dumps({**FIGURES, "mean": "100.01"}), ["evidence mean"]),
        ("evidence", json.dumps({**FIGURES, "n": "4"}), ["evidence n"]),
        ("evidence", json.dumps({**FIGURES, "n": 4.0}), ["evidence n"]),
        ("evidence", "{", ["evidence mean", "evidence n", "evidence ratio", "evidence sum", "evidence threshold"]),
        ("event_time", NOON, ["event_time"]),
        ("payload", "{}", ["payload"]),
        ("severity", "low", []),
    ],
)
def test_whatever_is_stored_otherwise_is_named(tmp_path, changes, anomaly, rules_file, name, value, differs):
    stored = {**anomaly, name: value}
    found = explain(write_lake(tmp_path, changes, [stored]), stored, rules_file)
    assert [check.name for check in found.checks if not check.same] == differs
    assert found.verdict == ("mismatch" if differs else "match")


def test_an_alert_id_that_its_transaction_does_not_make_is_a_mismatch(tmp_path, changes, anomaly, rules_file, capsys):
    lake = write_lake(tmp_path, changes, [{**anomaly, "alert_id": "ab" * 32}])
    code, text = run(capsys, lake, rules_file, "abab")
    assert code == 1
    assert [line.split()[1:] for line in text.splitlines() if line.split()[:1] == ["alert_id"]] == [
        ["ab" * 32, anomaly["alert_id"], "differs"]
    ]
    assert text.splitlines()[-1].startswith("mismatch")


def test_history_that_has_gone_is_a_mismatch_with_other_figures(tmp_path, changes, anomaly, rules_file, capsys):
    lake = write_lake(tmp_path, [each for each in changes if each["id"] != 3], [anomaly])
    code, text = run(capsys, lake, rules_file, anomaly["alert_id"])
    assert code == 1
    # 5000 + 100 + 90 + 100 = 5290, of which the mean is 1322.50 and three times that over 900: no alert at all.
    assert any(line.split() == ["alert", "yes", "no", "differs"] for line in text.splitlines())


def test_a_change_that_the_mirror_has_not_or_no_more_is_said(tmp_path, changes, anomaly, rules_file):
    behind = write_lake(tmp_path / "behind", changes[:6], [anomaly])
    with pytest.raises(FraudstreamError, match=r"up to offset 60, the alert is of offset 70 .* mirror_transactions"):
        explain(behind, anomaly, rules_file)
    lost = write_lake(tmp_path / "lost", [change(8, "1.00")], [anomaly])
    with pytest.raises(FraudstreamError, match=r"has lost offset 70 of t, partition 0.*begins at offset 80"):
        explain(lost, anomaly, rules_file)


def test_a_version_that_is_not_known_is_shown_but_not_recomputed(tmp_path, changes, anomaly, rules_file, capsys):
    lake = write_lake(tmp_path, changes, [anomaly])
    other = tmp_path / "rules.yaml"
    other.write_text("anomaly: {parameters: {history: 5}}")
    code, text = run(capsys, lake, other, anomaly["alert_id"])
    assert code == 2
    assert REASON in text
    assert "name the rules file of that time with --rules-file" in text.splitlines()[-1]


def test_a_version_that_has_been_replaced_while_it_ran_is_in_the_record(tmp_path, changes, anomaly, rules_file, capsys):
    lake = write_lake(tmp_path, changes, [anomaly])
    other = tmp_path / "rules.yaml"
    other.write_text("anomaly: {parameters: {history: 5}}")
    before = next(rule for rule in load_rules(rules_file) if rule.name == "anomaly")
    for rule, since in ((before, {}), (load_rules(other)[0], {0: 80})):
        record.append(lake, rule, since)
    code, text = run(capsys, lake, other, anomaly["alert_id"])
    assert code == 0
    assert "rule_versions/anomaly.json" in text


def test_an_unknown_or_ambiguous_id_names_the_nearest(tmp_path, changes, anomaly, rules_file):
    ids = ["ab" * 32, "abcd" * 16, "1" * 64]
    lake = write_lake(tmp_path, changes, [{**anomaly, "alert_id": each} for each in ids])
    for wanted, said in (
        ("ab", "2 alerts begin with ab; give more digits: ababababab.. .anomaly, user 7, transaction 7., abcdabcdabcd"),
        ("abcc", "has no alert abcc; the nearest are abcdabcdabcd .*, abababababab .*, 111111111111"),
        ("xyz", "'xyz' is no alert id; give the 64 hex digits"),
    ):
        with pytest.raises(FraudstreamError, match=said):
            explain_alert.main([wanted, "--lake", lake, "--rules-file", str(rules_file)])


def test_a_lake_that_is_not_there_or_empty_is_said(tmp_path, rules_file):
    with pytest.raises(FraudstreamError, match=r"there is no such table. `./spark-submit.sh archive_alerts` writes it"):
        explain_alert.main(["ab", "--lake", str(tmp_path / "none")])
    with pytest.raises(FraudstreamError, match="has no alerts yet"):
        explain_alert.main(["ab", "--lake", write_lake(tmp_path, [change(1, "1.00")], [])])
    with pytest.raises(FraudstreamError, match="--rows is -1"):
        explain_alert.main(["ab", "--rows", "-1"])


def test_a_window_that_filters_shows_what_it_counted(tmp_path, versions):
    # Of the four before transaction 5, the first is 30 minutes older (the edge is open) and the third is over 5.
    rules = tmp_path / "rules.yaml"
    rules.write_text("card_testing: {parameters: {at_least: 2}}")
    amounts = (("5.00", -1800), ("4.00", -1799), ("5.01", -9), ("5.00", -8), ("100.01", 0))
    changes = [change(n, amount, at) for n, (amount, at) in enumerate(amounts, start=1)]
    figures = {"small": 5, "sum": "9.00", "tests": 2}
    reason = "100.01 follows 2 payments of at most 5 within 30m"
    (rule,) = load_rules(rules)
    stored = alert(changes[4], "card_testing", rule.version, reason, figures)
    found = explain(write_lake(tmp_path, changes, [stored]), stored, rules)
    assert found.verdict == "match"
    assert found.windows == ("within 30m, where amount <= 5",)
    assert [row.transaction_id for row in found.rows if row.counted] == [2, 4]
    assert [clause.words for clause in found.clauses] == [
        "(count within 30m, where amount <= 5) >= 2",
        "amount > 100",
    ]


def test_only_what_entered_the_history_counts(tmp_path, rules_file, versions):
    # A row of the snapshot, two inserts; then an update, and a row of a snapshot that the stream has overtaken.
    changes = [
        change(1, "100.00", op="r", entry="history"),
        change(2, "110.00"),
        change(3, "90.00"),
        change(4, "7000.00", op="u", entry="ignored"),
        change(5, "8000.00", op="r", entry="history"),
        change(6, "900.00"),
    ]
    reason = "900.00 is over 300.00, 3 times the mean 100.00 of the user's last 3 transactions"
    stored = alert(changes[5], "anomaly", versions["anomaly"], reason, {**FIGURES, "n": 3, "sum": "300.00"})
    found = explain(write_lake(tmp_path, changes, [stored]), stored, rules_file)
    assert found.verdict == "match"
    assert [(row.transaction_id, bool(row.counted), row.remark) for row in found.rows] == [
        (1, True, ""),
        (2, True, ""),
        (3, True, ""),
        (5, False, "a snapshot's, which the stream had overtaken"),
        (6, False, "judged"),
    ]


def test_a_deviation_is_said_and_shown(tmp_path):
    # Around the mean 100 the squares 0 + 100 + 100 + 0 are 200, a fourth of it 50, its root 7.0711; times 3: 21.21.
    rules = tmp_path / "rules.yaml"
    rules.write_text("anomaly: {parameters: {method: sigma}}")
    now = Paid(cents=90_000, created_at=0)
    earlier = [Paid(cents=cents, created_at=0) for cents in (10_000, 11_000, 9_000, 10_000)]
    (rule,) = load_rules(rules)
    clause = list(clauses(rule.alert.when, now, earlier))[1]
    assert clause.words == "amount > mean amount of the last 50 + 3 * std amount of the last 50"
    assert (clause.figures, clause.held) == ("900.00 > 121.21", True)


def test_parentheses_stand_where_the_reckoning_needs_them():
    amount = Transaction.amount
    assert expression_words((amount + 1) * 2 - amount / 3 + 1) == "(amount + 1) * 2 - amount / 3 + 1"
    assert expression_words(amount - (amount - 1)) == "amount - (amount - 1)"
    assert expression_words(amount / (amount * 2) * Fraction(1, 3)) == "amount / (amount * 2) * 1/3"


WORDS = {
    "dormant_burst": "time[-3] of the last 4 - time[-4] of the last 4 >= 1814400",
    "anomaly": "(count of the last 50 >= 3 and amount > 3 * mean amount of the last 50)",
    "high_amount": "amount > 4500",
    "repeated_amount": "1 + count within 1h with the same amount and merchant_id",
}


@pytest.mark.parametrize("rule", load_rules(RULES_FILE), ids=lambda rule: rule.name)
def test_every_rules_condition_can_be_said(rule):
    words = condition_words(rule.alert.when)
    assert WORDS.get(rule.name, "") in words
    assert "object at" not in words
