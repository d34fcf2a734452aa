"""The record of a rule's versions on the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fraudstream.errors import GuardError
from fraudstream.rulebook.catalog import load_rules, parse_rules
from fraudstream.stack.settings import REPOSITORY
from fraudstream.streams import record
from unit.histories import rule_of


def test_every_rule_of_the_catalog_is_the_same_rule_after_the_record(tmp_path: Path):
    labels = tmp_path / "labels.csv"
    labels.write_text("transaction_id,labelled_at\n7,2026-03-01T12:00:00Z\n")
    others = (
        rule_of("velocity: {status: shadow, parameters: {surcharge: {VISA: 2.50, 'AMEX ': 1}, score_over: 70.5}}"),
        rule_of("odd_one: {rule: anomaly, severity: low, snapshot: judge, parameters: {method: sigma, factor: 1.25}}"),
        rule_of(f"compromised_merchant: {{parameters: {{labels: {labels}}}}}"),
    )
    for rule in (*load_rules(REPOSITORY / "conf" / "rules.yaml"), *others):
        record.append(str(tmp_path), rule, {0: 4, 1: 0})
        version = record.versions(str(tmp_path), rule.name, {})[-1]
        assert (version.rule.version, version.since) == (rule.version, {0: 4, 1: 0})
        assert record.settings_of(version.rule) == record.settings_of(rule)
        assert version.rule.parameters == rule.parameters


def test_only_versions_that_still_have_records_to_judge_are_made_again(tmp_path: Path):
    old, new = rule_of("anomaly: {}"), rule_of("anomaly: {parameters: {factor: 4}}")
    record.append(str(tmp_path), old, {})
    record.append(str(tmp_path), new, {0: 10, 1: 20})
    both = record.versions(str(tmp_path), "anomaly", {0: 10, 1: 19})
    assert [(each.rule.version, each.since) for each in both] == [(old.version, {}), (new.version, {0: 10, 1: 20})]
    (rest,) = record.versions(str(tmp_path), "anomaly", {0: 10, 1: 20})
    assert (rest.rule.version, rest.since, rest.epoch) == (new.version, {}, 0)


def test_a_version_that_keeps_other_rows_begins_an_epoch(tmp_path: Path):
    for history, epoch in ((50, 0), (40, 0), (64, 0), (65, 1), (65, 1), (70, 2)):
        rule = rule_of(f"anomaly: {{parameters: {{history: {history}}}}}")
        record.append(str(tmp_path), rule, {})
        assert record.entries(str(tmp_path), "anomaly")[-1]["epoch"] == epoch


def test_a_rule_whose_key_changes_is_refused(tmp_path: Path):
    record.append(str(tmp_path), rule_of("odd_one: {rule: anomaly}"), {})
    for other in ("compromised_merchant", "high_amount"):
        with pytest.raises(GuardError, match=r"odd_one: its key was user_id and is now .*--forget odd_one"):
            record.append(str(tmp_path), rule_of(f"odd_one: {{rule: {other}}}"), {})
    assert len(record.entries(str(tmp_path), "odd_one")) == 1


def test_a_version_whose_code_is_gone_is_refused_while_it_has_records_to_judge(tmp_path: Path):
    rule = rule_of("anomaly: {}")
    record.append(str(tmp_path), replace(rule, version="0" * 12), {})  # as other code would have named it
    record.append(str(tmp_path), rule, {0: 10})
    first, last = record.entries(str(tmp_path), "anomaly")
    assert not record.can_be_had(first, "anomaly")
    assert record.can_be_had(last, "anomaly")
    with pytest.raises(GuardError, match="version 000000000000 of anomaly still has records to judge, but the code"):
        record.versions(str(tmp_path), "anomaly", {0: 9})
    assert len(record.versions(str(tmp_path), "anomaly", {0: 10})) == 1


def test_a_damaged_record_is_no_empty_one(tmp_path: Path):
    record.append(str(tmp_path), rule_of("anomaly: {}"), {})
    path = record.path_of(str(tmp_path), "anomaly")
    path.write_text(path.read_text()[:-9])
    with pytest.raises(GuardError, match="put the file back"):
        record.entries(str(tmp_path), "anomaly")


def test_a_status_is_recorded_as_where_alerts_go_and_nothing_else_is(tmp_path: Path):
    entry = record.append(str(tmp_path), rule_of("anomaly: {budget: 5/day}"), {})
    assert record.is_of(entry, rule_of("anomaly: {status: paused, budget: 9/day}"))
    for other in ("status: shadow", "severity: low", "snapshot: judge", "parameters: {floor: 7}"):
        assert not record.is_of(entry, rule_of(f"anomaly: {{{other}}}"))
    assert parse_rules("anomaly: {status: draft}", tmp_path)[0].status == "draft"
