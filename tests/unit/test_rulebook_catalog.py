"""conf/rules.yaml: what it may say, and how it is refused: file, line, what was found, what is allowed."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from fraudstream.config import RULES_FILE
from fraudstream.errors import ConfigError
from fraudstream.rulebook.catalog import load_rules


@pytest.fixture
def load(tmp_path: Path):
    def load_text(text: str):
        path = tmp_path / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        return load_rules(path)

    return load_text


def test_the_projects_own_file_runs_the_exercises_rules():
    anomaly, velocity, high_amount = (rule for rule in load_rules(RULES_FILE) if rule.status == "live")
    assert (anomaly.name, velocity.name, high_amount.name) == ("anomaly", "velocity", "high_amount")
    assert {name: anomaly.parameters[name] for name in ("history", "minimum", "factor", "floor", "method")} == {
        "history": 50, "minimum": 3, "factor": 3, "floor": 500, "method": "mean",
    }  # fmt: skip
    assert velocity.parameters == {
        "window": "60s", "more_than": 5, "count_score": 40, "amount_over": 4000, "amount_score": 50, "score_over": 70,
        "surcharge": {},
    }  # fmt: skip
    assert high_amount.parameters == {"over": 4500}
    assert [rule.trigger for rule in (anomaly, velocity, high_amount)] == ["micro-batch", "micro-batch", "real-time"]
    assert [rule.stateless for rule in (anomaly, velocity, high_amount)] == [False, False, True]


@pytest.mark.parametrize("name", ["anomaly", "velocity", "high_amount"])
def test_an_empty_entry_means_the_same_as_the_projects_own_file(load, name):
    ours = next(rule for rule in load_rules(RULES_FILE) if rule.name == name)
    assert load(f"{name}: {{}}")[0].version == ours.version


def test_what_must_be_kept_follows_from_the_windows(load):
    anomaly, velocity, high_amount, long = load(
        "anomaly: {}\nvelocity: {}\nhigh_amount: {}\nlong: {rule: anomaly, parameters: {history: 65}}"
    )
    assert (anomaly.columns, anomaly.remembered, anomaly.span) == (("id", "cents"), 64, 0)
    assert (velocity.columns, velocity.remembered, velocity.span) == (("id", "created_at"), 64, 60_000_000)
    assert (high_amount.columns, high_amount.key) == (("id",), "user_id")
    assert long.remembered == 65


def test_one_rule_file_may_run_under_several_names(load):
    mean, sigma = load("mean: {rule: anomaly}\nsigma: {rule: anomaly, severity: low, parameters: {method: sigma}}")
    assert (mean.rule, sigma.rule, sigma.severity) == ("anomaly", "anomaly", "low")
    assert mean.version != sigma.version


def test_a_version_is_of_name_file_code_and_parameters_alone(load):
    plain = load("anomaly: {severity: low}")[0]
    same = load(
        "anomaly: {severity: high, status: paused, snapshot: judge, budget: 5/day, "
        "parameters: {floor: 500.00, factor: '3.0'}}"
    )[0]
    other = load("anomaly: {parameters: {floor: 500.01}}")[0]
    renamed = load("oddity: {rule: anomaly}")[0]
    assert re.fullmatch("[0-9a-f]{12}", plain.version)
    assert plain.version == same.version
    assert (plain.budget, same.budget) == (None, 5)
    assert len({plain.version, other.version, renamed.version}) == 3


@pytest.mark.parametrize(("written", "text"), [("3.0", "3"), ("0.50", "0.5"), ("'1e2'", "100"), ("-0.0", "0")])
def test_a_number_has_one_text_however_it_is_written(load, written, text):
    (rule,) = load(f"velocity: {{parameters: {{surcharge: {{VISA: {written}}}}}}}")
    assert str(rule.parameters["surcharge"]["VISA"]) == text


def test_decimals_are_read_as_they_are_written(load):
    rule = load("anomaly: {parameters: {factor: 2.1, floor: '0.10'}}")[0]
    assert (rule.parameters["factor"], rule.parameters["floor"]) == (Decimal("2.1"), Decimal("0.10"))


def test_a_rule_travels_to_other_processes(load):
    rule = load("velocity: {parameters: {surcharge: {AMEX: 20}}}")[0]
    assert rule.stateless is False
    copy = pickle.loads(pickle.dumps(rule))
    assert (copy, copy.windows, copy.alert.reason) == (rule, rule.windows, rule.alert.reason)


REFUSED = [
    ("anomly: {}", "line 1: no rule anomly in", "Did you mean anomaly?"),
    ("\nfast: {rule: velocty}", "line 2: no rule velocty in", "Did you mean velocity?"),
    ("anomaly: {rule: [a]}", "line 1: no rule a list in", "A new rule is a file of its name there."),
    ("anomaly:\n  severty: high", "line 2: unknown key severty.", "Did you mean severity?"),
    ("anomaly: {budget: 5}", "line 1: budget: '5' is no budget", "write it like 50/day"),
    ("anomaly: {budget: [5/day]}", "budget: 'a list' is no budget", "write it like 50/day"),
    ("anomaly: {severity: hgih}", "severity is 'hgih'.", "Did you mean high? Allowed are low, medium, high, critical."),
    ("anomaly: {status: off}", "status is 'off'.", "Allowed are live, shadow, paused, draft."),
    ("anomaly: {trigger: fast}", "trigger is 'fast'.", "Allowed are micro-batch, real-time."),
    ("anomaly: {snapshot: [judge]}", "snapshot is a list.", "Allowed are join, judge."),
    ("anomaly: {corrections: yes}", "corrections is 'yes'.", "Allowed are off, on."),
    ("high_amount: {corrections: on, trigger: real-time}", "high_amount needs earlier", "set trigger: micro-batch"),
    ("a:\n- 1", "line 1: a must be a mapping of rule, parameters, budget, severity", "for the defaults write {}"),
    ("anomaly:", "line 1: anomaly must be a mapping", "for the defaults write {}"),
    ("anomaly: {parameters: 3}", "line 1: parameters must be a mapping", ""),
    (
        "anomaly:\n  parameters:\n    histry: 5",
        "line 3: rule anomaly has no parameter histry.",
        "Did you mean history?",
    ),
    ("anomaly: {parameters: {history: many}}", "history is 'many'; it must be a whole number", ""),
    ("anomaly: {parameters: {history: 5.0}}", "history is '5.0'; it must be a whole number", ""),
    ("anomaly: {parameters: {history: true}}", "history is 'true'; it must be a whole number", ""),
    ("anomaly: {parameters: {history: }}", "history is ''; it must be a whole number", ""),
    ("anomaly: {parameters: {history: 0}}", "history is '0'; it must lie between 1 and 1000", ""),
    ("anomaly: {parameters: {history: 1001}}", "history is '1001'; it must lie between 1 and 1000", ""),
    ("anomaly: {parameters: {factor: -1}}", "factor is '-1'; it must lie between 0 and 1000", ""),
    ("anomaly: {parameters: {factor: .nan}}", "factor is '.nan'; it must lie between", "at most 6 decimal places"),
    ("anomaly: {parameters: {factor: 0.0000001}}", "factor is '0.0000001'; it must lie", "at most 6 decimal places"),
    ("anomaly: {parameters: {factor: [3]}}", "factor is a list; it must be a number", ""),
    ("anomaly: {parameters: {method: median}}", "method is 'median'; it must be one of mean, sigma", ""),
    ("anomaly: {parameters: {factor: !!python/object:os.system x}}", "line 1: the tag 'tag:yaml", "tags are not read"),
    ("anomaly: {parameters: {history: " + "9" * 5000 + "}}", "line 1: a number of 5000 characters", "at most 64"),
    ("velocity: {parameters: {window: 60}}", "window is '60'; it must be a text like '60s'", ""),
    ("velocity: {parameters: {window: 60 s}}", "'60 s' is no duration; write it like 60s, 500ms, 10m, 1h or 30d", ""),
    ("velocity: {parameters: {window: 0s}}", "window is '0s'; it must lie between 1s and 24h", ""),
    ("velocity: {parameters: {window: 25h}}", "window is '25h'; it must lie between 1s and 24h", ""),
    ("velocity: {parameters: {surcharge: 5}}", "surcharge is '5'; it must be a mapping of texts to numbers", ""),
    ("velocity: {parameters: {surcharge: {VISA: x}}}", "surcharge is a mapping; it must be a number", ""),
    ("velocity: {parameters: {surcharge: {VISA: 1e999999}}}", "surcharge is a mapping; it must lie between", ""),
    ("velocity: {parameters: {surcharge: {VISA: 1,\n VISA: 2}}}", "line 2: VISA stands twice", "keep one"),
    ("anomaly: {}\nanomaly: {}", "line 2: anomaly stands twice", "keep one"),
    ("anomaly:\n  status: live\n  status: paused", "line 3: status stands twice", "keep one"),
    ("velocity: {trigger: real-time}", "velocity needs earlier transactions", "set trigger: micro-batch"),
    ("Fast: {rule: velocity}", "line 1: 'Fast' is no rule name", "use a-z, 0-9 and _, beginning with a letter"),
    (f"{'a' * 65}: {{rule: velocity}}", "is no rule name", ""),
    ("../x: {rule: velocity}", "is no rule name", ""),
    ("archive_alerts: {rule: velocity}", "archive_alerts is the name of another query", "name the rule otherwise"),
    ("? [a]\n: {}", "line 1: a key must be a plain text", ""),
    ("- anomaly", "it must name rules, like `anomaly: {severity: high}`", ""),
    ("", "it must name rules", ""),
    ("anomaly: {", "not valid YAML", "line 1"),
    ("anomaly: {}\n--- {}", "not valid YAML", ""),
    ("a: &x {rule: anomaly}\nb: *x", "line 2: an alias (*name); write the value out", ""),
    ("\n" + "[" * 60_000, "line 2: nested over 10 deep", "no file needs more than 4"),
    ("#" * 65_537, "over 65536 bytes", "a file has at most so many"),
]


@pytest.mark.parametrize(("text", "found", "advice"), REFUSED, ids=[text[:40] for text, _, _ in REFUSED])
def test_a_file_that_cannot_be_meant_is_refused_with_its_place_and_the_way_out(load, tmp_path, text, found, advice):
    with pytest.raises(ConfigError) as refused:
        load(text)
    assert str(refused.value).startswith(f"{tmp_path / 'rules.yaml'}")
    assert found in str(refused.value)
    assert advice in str(refused.value)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_rules(tmp_path / "none.yaml")


def test_rules_are_read_and_folded_without_spark():
    code = "import sys, fraudstream.rulebook.fold, fraudstream.rules.anomaly; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
