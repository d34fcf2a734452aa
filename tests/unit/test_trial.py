"""A shadow rule compared with a live one on a lake of a few rows, and its promotion in a rules file."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import compare_rules
import promote_rule
from fixtures.lake import alert, change, write_lake, write_table
from fraudstream.config import load_pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.stack.settings import REPOSITORY
from fraudstream.streams import record
from fraudstream.streams.tables import ALERTS
from fraudstream.triage.records import add_label
from fraudstream.trial import report as reports
from fraudstream.trial.comparison import compare, counterpart
from fraudstream.trial.promotion import promote, with_setting

RULES = """# What runs.
high_amount:   # the live one
  severity: low
  parameters: {over: 4500}  # the exercise's

strict:
  rule: high_amount
  status: shadow   # being tried
  parameters:
    over: 900.50   # from the review

velocity: {status: live, severity: high}
# the end
"""
PROMOTED = """# What runs.
high_amount:   # the live one
  severity: low
  parameters: {over: 900.5}  # the exercise's

strict:
  rule: high_amount
  status: paused   # being tried
  parameters:
    over: 900.50   # from the review

velocity: {status: live, severity: high}
# the end
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A rules file, and a pipeline in which `strict` has judged offsets 20 to 69 and high_amount 0 to 59."""
    monkeypatch.setenv("FRAUDSTREAM_HOME", str(tmp_path))
    monkeypatch.setattr(reports, "folder_of", lambda rule: tmp_path / "compare_rules" / rule)
    pipeline = replace(load_pipeline(), lake=str(tmp_path / "lake"), checkpoints=str(tmp_path / "checkpoints"))
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    rules = {rule.name: rule for rule in load_rules(file)}
    amounts = {1: "5000", 2: "901", 3: "5000", 4: "4600", 5: "902", 6: "5000", 7: "903"}
    changes = {number: change(number, amount) for number, amount in amounts.items()}
    old, new = rules["high_amount"], rules["strict"]
    write_lake(tmp_path / "lake", list(changes.values()), [found(old, changes[n]) for n in (1, 3, 4, 6)])
    shadows = [found(new, changes[n]) for n in (2, 3, 5, 7)]  # 4 is left out here, so that only the old rule has it
    write_table(tmp_path / "lake" / "shadow_alerts", ALERTS, shadows)
    record.append(pipeline.lake, old, {})
    record.append(pipeline.lake, new, {0: 20})
    for name, end in (("high_amount", 60), ("strict", 70)):
        judged_until(pipeline.checkpoint(name), end)
    return file, pipeline, rules


def found(rule: Rule, of: dict):
    return alert(of, rule.name, rule.version, "large", {})


def judged_until(checkpoint: str, end: int) -> None:
    for folder, text in (("offsets", "v1\n{}\n" + json.dumps({"t": {"0": end}})), ("commits", "v1\n{}")):
        Path(checkpoint, folder).mkdir(parents=True, exist_ok=True)
        Path(checkpoint, folder, "0").write_text(text)


def test_a_comparison_is_over_the_records_that_both_have_judged(place):
    _, pipeline, rules = place
    add_label(pipeline.lake, "confirmed", transaction=2, by="ana")
    add_label(pipeline.lake, "dismissed", transaction=4, by="ana")
    result = compare(rules["strict"], rules["high_amount"], pipeline).as_json()
    # Transaction 1 lies before 20, 6 (at offset 60) and 7 behind what high_amount has judged.
    assert (result["begin"], result["end"], result["records"]) == ({0: 20}, {0: 60}, 40)
    assert {name: tuple(cell.values()) for name, cell in result["cells"].items()} == {
        "both": (1, 0, 0, 1, "5000.00"),
        "only_new": (2, 1, 0, 1, "1803.00"),
        "only_old": (1, 0, 1, 0, "4600.00"),
    }
    assert [row["transaction_id"] for row in result["examples"]["only_new"]] == [2, 5]
    assert result["examples"]["only_new"][0]["label"] == "confirmed"


def test_a_rule_that_no_live_one_is_like_is_compared_with_nothing(place):
    _, pipeline, rules = place
    assert counterpart(rules["strict"], [rules["velocity"]]) is None
    result = compare(rules["strict"], None, pipeline)
    assert {name: cell.alerts for name, cell in result.cells.items()} == {"both": 0, "only_new": 3, "only_old": 0}
    with pytest.raises(FraudstreamError, match="--against anomaly: no such rule is live; live are velocity"):
        counterpart(rules["strict"], [rules["velocity"]], "anomaly")


def test_a_promotion_without_a_report_of_this_very_version_is_refused(place, tmp_path: Path, monkeypatch, capsys):
    file, pipeline, _ = place
    for job in (compare_rules, promote_rule):
        monkeypatch.setattr(job, "load_pipeline", lambda path: pipeline)
    given = ["strict", "--rules-file", str(file)]
    with pytest.raises(FraudstreamError, match=r"strict has not been compared with what is live; run `./spark-submit"):
        promote_rule.main(given)
    assert compare_rules.main(given) == 0
    told = capsys.readouterr().out
    assert "fired in both       1" in told
    assert "<td>only new</td><td>2</td>" in (tmp_path / "compare_rules/strict/report.html").read_text()
    file.write_text(RULES.replace("900.50", "901"))
    with pytest.raises(FraudstreamError, match=r"it compares version .*, now it is"):
        promote_rule.main(given)
    file.write_text(RULES.replace("over: 4500", "over: 4501"))
    with pytest.raises(FraudstreamError, match=r"high_amount is not version .* any more"):
        promote_rule.main(given)
    file.write_text(RULES)
    record.append(pipeline.lake, replace(load_rules(file)[1], status="live"), {0: 71})
    record.append(pipeline.lake, load_rules(file)[1], {0: 72})  # live for a while, and a shadow again
    with pytest.raises(FraudstreamError, match="it is older than the shadow rule's version"):
        promote_rule.main(given)
    assert file.read_text() == RULES


def test_a_compared_rule_is_promoted_and_the_files_comments_stay(place, monkeypatch, capsys):
    file, pipeline, _ = place
    for job in (compare_rules, promote_rule):
        monkeypatch.setattr(job, "load_pipeline", lambda path: pipeline)
    given = ["strict", "--rules-file", str(file)]
    compare_rules.main(given)
    capsys.readouterr()
    assert promote_rule.main(given) == 0
    assert capsys.readouterr().out == (
        f"{file}: high_amount has its parameters, and strict is paused; detect_fraud follows the file\n"
    )
    assert file.read_text() == PROMOTED
    with pytest.raises(FraudstreamError, match="strict is paused; set its status to shadow"):
        promote_rule.main(given)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  severity: low\n", "  severity: low\n  status: paused\n", "high_amount is paused now, not live"),
        ("  status: shadow ", "  snapshot: judge\n  status: shadow ", "tried with snapshot: judge, high_amount has"),
        ("  status: shadow ", "  corrections: 'on'\n  status: shadow ", "judges earlier transactions again, so no"),
    ],
)
def test_what_would_not_judge_as_it_was_tried_is_not_promoted(place, monkeypatch, old, new, message):
    file, pipeline, _ = place
    for job in (compare_rules, promote_rule):
        monkeypatch.setattr(job, "load_pipeline", lambda path: pipeline)
    given = ["strict", "--rules-file", str(file)]
    changed = RULES.replace(old, new)
    assert changed != RULES
    if "paused" in new:
        compare_rules.main(given)
    file.write_text(changed)
    if "paused" not in new:
        record.path_of(pipeline.lake, "strict").unlink()
        record.append(pipeline.lake, {rule.name: rule for rule in load_rules(file)}["strict"], {0: 20})
        compare_rules.main(given)
    with pytest.raises(FraudstreamError, match=message):
        promote_rule.main(given)
    assert file.read_text() == changed


def test_a_report_over_no_record_is_no_comparison(place, monkeypatch):
    file, pipeline, _ = place
    for job in (compare_rules, promote_rule):
        monkeypatch.setattr(job, "load_pipeline", lambda path: pipeline)
    judged_until(pipeline.checkpoint("strict"), 20)
    given = ["strict", "--rules-file", str(file)]
    compare_rules.main(given)
    with pytest.raises(FraudstreamError, match="there was no record yet that both rules had judged"):
        promote_rule.main(given)


def test_a_new_rule_becomes_live_itself(tmp_path: Path):
    file = tmp_path / "rules.yaml"
    file.write_text("velocity: {status: shadow}  # new\nanomaly:\n  severity: low\n")
    promote(file, "velocity", None)
    assert file.read_text() == "velocity: {status: live}  # new\nanomaly:\n  severity: low\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: {}\nb: {x: 1}\n", "a: {k: v}\nb: {x: 1}\n"),
        ("a: {x: 1}  # c\n", "a: {k: v, x: 1}  # c\n"),
        ("a: {k: {x: 1}, y: 2}\n", "a: {k: v, y: 2}\n"),
        ("a:\n  x: 1  # c\nb: {}\n", "a:\n  k: v\n  x: 1  # c\nb: {}\n"),
        ("a:\n  k: {x: 1,\n    y: [1]}  # c\n\n# d\nb: {}\n", "a:\n  k: v  # c\n\n# d\nb: {}\n"),
        ("a:\n    k: 'old'  # c\n    x: 1\n", "a:\n    k: v  # c\n    x: 1\n"),
    ],
)
def test_a_setting_is_set_where_it_stands_or_put_first(before: str, after: str):
    assert with_setting(before, ("a", "k"), "v") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: {}\n", "a: {p: {k: v}}\n"),
        ("a:\n  x: 1\n", "a:\n  p: {k: v}\n  x: 1\n"),
        ("a:\n  p: {}  # c\n", "a:\n  p: {k: v}  # c\n"),
        ("a:\n  p:\n    x: 1  # c\n    k: 2.50  # d\n    y: 3\n", "a:\n  p:\n    x: 1  # c\n    k: v  # d\n    y: 3\n"),
        ("a:\n  p: {x: 1, k: 2, y: 3}\n", "a:\n  p: {x: 1, k: v, y: 3}\n"),
    ],
)
def test_a_parameter_is_set_and_the_others_stay_as_they_are_written(before: str, after: str):
    assert with_setting(before, ("a", "p", "k"), "v") == after


def test_parameters_of_every_kind_are_promoted(tmp_path: Path):
    file = tmp_path / "rules.yaml"
    new = "{surcharge: {VISA: 2.5, 'AMEX ': 1, 'no': 3}, window: 90s, more_than: 4}"
    file.write_text(f"velocity: {{}}\nother:\n  rule: velocity\n  status: shadow\n  parameters: {new}\n")
    promote(file, "other", "velocity")
    before, after = load_rules(file)
    assert (before.parameters, before.status, after.status) == (after.parameters, "live", "paused")
    file.write_text(file.read_text().replace("status: paused", "status: shadow").replace(new, "{}"))
    promote(file, "other", "velocity")  # back to the defaults
    assert load_rules(file)[0].parameters == load_rules(file)[1].parameters != before.parameters


def test_a_rule_compared_with_one_of_another_file_becomes_live_beside_it(place, monkeypatch, capsys):
    file, pipeline, _ = place
    for job in (compare_rules, promote_rule):
        monkeypatch.setattr(job, "load_pipeline", lambda path: pipeline)
    record.append(pipeline.lake, load_rules(file)[2], {})
    judged_until(pipeline.checkpoint("velocity"), 60)
    compare_rules.main(["strict", "--against", "velocity", "--rules-file", str(file)])
    assert promote_rule.main(["strict", "--rules-file", str(file)]) == 0
    assert "strict is live; detect_fraud follows the file" in capsys.readouterr().out
    assert file.read_text() == RULES.replace("status: shadow", "status: live")


def test_the_readmes_shadow_rule_is_compared_and_promoted_by_its_commands(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(reports, "folder_of", lambda rule: tmp_path / "compare_rules" / rule)
    pipeline = replace(load_pipeline(), lake=str(tmp_path / "lake"), checkpoints=str(tmp_path / "checkpoints"))
    for job in (compare_rules, promote_rule):
        monkeypatch.setattr(job, "load_pipeline", lambda path: pipeline)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    part = readme[readme.index("## Try, shadow and promote a rule") :]
    commands = re.findall(r"^\./spark-submit\.sh (compare_rules|promote_rule) ([^#\n]*)", part, re.MULTILINE)
    file = tmp_path / "rules.yaml"
    mine = (REPOSITORY / "conf" / "rules.yaml").read_text(encoding="utf-8")
    file.write_text(mine + part.split("```yaml\n")[1].split("```")[0])
    rules = {rule.name: rule for rule in load_rules(file)}
    old, new = rules["anomaly"], rules["anomaly_2"]
    changes = [change(number, "900") for number in range(3)]
    write_lake(tmp_path / "lake", changes, [found(old, changes[0])])
    write_table(tmp_path / "lake" / "shadow_alerts", ALERTS, [found(new, each) for each in changes])
    for rule in (old, new):
        record.append(pipeline.lake, rule, {})
        judged_until(pipeline.checkpoint(rule.name), 90)
    assert [command for command, _ in commands] == ["compare_rules", "promote_rule"]
    for command, arguments in commands:
        job = {"compare_rules": compare_rules, "promote_rule": promote_rule}[command]
        assert job.main([*shlex.split(arguments), "--rules-file", str(file)]) == 0
    assert "only new            2" in capsys.readouterr().out
    ours = "parameters: {history: 50, minimum: 3, factor: 3, floor: 500, method: mean}"
    assert ours in mine
    assert file.read_text().startswith(mine.replace(ours, ours.replace("factor: 3", "factor: 2")))
    assert {rule.name: rule.status for rule in load_rules(file)}["anomaly_2"] == "paused"
