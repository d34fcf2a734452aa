"""Explaining alerts of rules with corrections: one worked out by hand, and every alert of the golden topics."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import explain_alert
from fixtures.lake import alert, change, changes_of, write_lake, write_table
from fraudstream.explain.explanation import explain
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams.tables import ALERTS, CHANGES
from golden.topics import RULES, corrected_goldens
from unit.corrections import TOPIC, folded, rule_of

FILES = corrected_goldens()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def archived(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of lake/alerts after these messages, as docs/semantics.md has it."""
    rows = {}
    for message in messages:
        row = rows.setdefault(message["alert_id"], {})
        if message["status"] != "withdrawn":
            times = {name: text and datetime.fromisoformat(text) for name, text in message.items() if text and name in (
                "event_time", "committed_at", "captured_at")}  # fmt: skip
            row |= {
                **message, **times, "amount": Decimal(message["amount"]), "evidence": json.dumps(message["evidence"]),
                "score": None if message["score"] is None else Decimal(str(message["score"])),
                "payload": json.dumps(message),
            }  # fmt: skip
        row |= {name: message[name] for name in ("status", "revision", "changed_by")}
    return list(rows.values())


@pytest.mark.parametrize("golden", FILES, ids=lambda golden: golden.name)
@pytest.mark.parametrize("name", RULES)
def test_every_corrected_alert_of_the_golden_topics_is_the_same_from_the_lake(golden, name, tmp_path: Path):
    rule = rule_of(golden, name, tmp_path)
    found = archived(folded(rule, golden.messages, 7)[0])
    assert len(found) == len({transaction for transaction, _, _ in golden.alerts[name]})
    write_table(tmp_path / "transaction_changes", CHANGES, changes_of(golden.messages, TOPIC))
    for stored in found:
        explained = explain(str(tmp_path), stored, tmp_path / "rules.yaml")
        assert [check for check in explained.checks if not check.same] == []
        assert explained.verdict == "match"


@pytest.fixture
def withdrawn(tmp_path: Path) -> tuple[str, Path, dict[str, Any]]:
    """Of three amounts of 100.00 the first becomes 200.00 after 900.00 was judged: 300.00, then 400.00 together, so the
    threshold rises to 400.00. Then 900.00 becomes 950.00, which still alerts, then 20.00, which does not."""
    rules_file = tmp_path / "rules.yaml"
    rules_file.write_text("anomaly: {corrections: on}")
    (rule,) = load_rules(rules_file)
    rows = [change(n, amount, at=n) for n, amount in enumerate(("100.00", "100.00", "100.00", "900.00"), start=1)]
    update = {"op": "u", "entry": "ignored", "before_user_id": 7}
    rows += [
        {**rows[0], **update, "amount": Decimal("200.00"), "offset": 50, "lsn": 500},
        {**rows[3], **update, "amount": Decimal("950.00"), "offset": 60, "lsn": 600},
        {**rows[3], **update, "amount": Decimal("20.00"), "offset": 70, "lsn": 700},
    ]
    figures = {"mean": "133.33", "n": 3, "ratio": "7.13", "sum": "400.00", "threshold": "400.00"}
    reason = "950.00 is over 400.00, 3 times the mean 133.33 of the user's last 3 transactions"
    stored = alert(rows[5], "anomaly", rule.version, reason, figures)
    revision = {"revision": 1, "status": "amended", "changed_by": "t-0-60"}
    stored["payload"] = json.dumps({**json.loads(stored["payload"]), **revision})
    stored |= {"revision": 2, "status": "withdrawn", "changed_by": "t-0-70"}
    return write_lake(tmp_path / "lake", rows, []), rules_file, stored


def test_a_withdrawn_alert_shows_its_changes_and_matches(withdrawn, capsys):
    lake, rules_file, stored = withdrawn
    write_table(Path(lake, "alerts"), ALERTS, [stored])
    code = explain_alert.main([stored["alert_id"], "--lake", lake, "--rules-file", str(rules_file)])
    lines = capsys.readouterr().out.splitlines()
    assert (code, lines[-1]) == (0, "match: the lake's changes give the same alert again")
    assert "  withdrawn: revision 2, by t-0-70" in lines
    rows = [line.split() for line in lines if "2026-03-01T" in line]
    assert [(row[0], row[2], row[6:]) for row in rows] == [
        ("10", "100.00", []),
        ("20", "100.00", []),
        ("30", "100.00", []),
        ("40", "900.00", []),
        ("50", "200.00", ["update"]),
        ("60", "950.00", ["judged"]),
        ("70", "20.00", ["update"]),
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("revision", 3), ("status", "amended"), ("changed_by", "t-1-70"), ("reason", "other")]
)
def test_a_revision_that_is_stored_otherwise_is_a_mismatch(withdrawn, name, value):
    lake, rules_file, stored = withdrawn
    explained = explain(lake, {**stored, name: value}, rules_file)
    assert explained.verdict == "mismatch"
    assert name in [check.name for check in explained.checks if not check.same]
