"""The oracle's settings mean what the parameters of conf/rules.yaml say."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from fraudstream.check.oracle import SECOND_US, Anomaly, HighAmount, Velocity, arrivals, judge_topic
from fraudstream.check.settings import DEFINED, settings_for
from fraudstream.config import RULES_FILE
from fraudstream.errors import ConfigError
from fraudstream.rulebook.catalog import known_rules, load_rules
from golden.topics import messages_of


def test_no_parameters_are_the_exercises_values():
    assert settings_for("anomaly", {}) == Anomaly(history=50, minimum=3, factor=3, floor=50_000, sigma=False)
    assert settings_for("velocity", {}) == Velocity(
        window=60_000_000,
        more_than=5,
        count_score=40,
        amount_over=400_000,
        amount_score=50,
        score_over=70,
        surcharge={},
    )
    assert settings_for("high_amount", {}) == HighAmount(over=450_000)


def test_the_rules_file_gives_the_exercises_values():
    for rule in (rule for rule in load_rules(RULES_FILE) if rule.status == "live"):
        assert settings_for(rule.rule, rule.parameters) == settings_for(rule.rule, {})


def test_numbers_are_exact():
    settings = settings_for("anomaly", {"factor": "2.1", "floor": Decimal("0.005")})
    assert (settings.factor, settings.floor) == (Fraction(21, 10), Fraction(1, 2))


def test_a_history_longer_than_64_is_the_horizon():
    assert settings_for("anomaly", {"history": 100}).remembered == 100
    assert settings_for("anomaly", {"history": 10}).remembered == 64


@pytest.mark.parametrize(
    ("text", "micros"), [("90s", 90 * SECOND_US), ("2m", 120 * SECOND_US), ("250ms", 250_000), (60, 60 * SECOND_US)]
)
def test_a_window_is_a_number_with_a_unit(text, micros):
    assert settings_for("velocity", {"window": text}).window == micros


def test_a_rule_or_parameter_without_a_definition_is_refused():
    with pytest.raises(ConfigError, match="no definition of rule burst; it knows anomaly, velocity, high_amount"):
        settings_for("burst", {})
    with pytest.raises(ConfigError, match="no parameter half_life of rule anomaly"):
        settings_for("anomaly", {"half_life": 1})
    assert set(DEFINED) <= set(known_rules())


def test_with_snapshot_judge_rows_of_a_snapshot_are_judged_when_they_enter():
    topic = list(arrivals(messages_of("r 1..3 u1 10.00 +0/120\nr 4 u1 600.00 +360\nr 4 u1 600.00 +360", 1), 262_144))
    found = judge_topic(topic, Anomaly(), judge_snapshot=True)
    assert [alert.transaction_id for alert in found.alerts] == [100_004]
    assert (found.parts["judged"], found.parts["history"], found.ignored) == (4, 0, {"redelivered": 1})
    assert judge_topic(topic, Anomaly()).alerts == []
    over = messages_of("c 1 u1 10.00 +0\nr 2 u1 5000.00 +0", 1)
    assert judge_topic(arrivals(over, 262_144), Anomaly(), judge_snapshot=True).ignored == {"superseded": 1}
    assert len(judge_topic(arrivals(over, 262_144), HighAmount(), judge_snapshot=True).alerts) == 1
