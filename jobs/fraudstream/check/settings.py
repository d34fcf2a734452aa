"""The oracle's settings from the parameters in conf/rules.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from fraudstream.check.oracle import REMEMBERED, SECOND_US, Anomaly, HighAmount, Number, Settings, Velocity
from fraudstream.errors import ConfigError

_UNITS = {"ms": 1000, "s": SECOND_US, "m": 60 * SECOND_US, "min": 60 * SECOND_US, "h": 3600 * SECOND_US}


def settings_for(rule_file: str, parameters: Mapping[str, Any]) -> Settings:
    """What the rule of that file means with these parameters; the exercise's values where one is not given.

    Raises ConfigError for a rule or a parameter that the oracle has no definition of.
    """
    if rule_file not in DEFINED:
        raise ConfigError(f"the oracle has no definition of rule {rule_file}; it knows {', '.join(DEFINED)}.")
    left = dict(parameters)
    settings = DEFINED[rule_file](left)
    if left:
        raise ConfigError(
            f"the oracle knows no parameter {', '.join(sorted(left))} of rule {rule_file}; "
            "add its meaning to fraudstream/check/oracle.py and settings.py."
        )
    return settings


def _anomaly(given: dict[str, Any]) -> Anomaly:
    usual = Anomaly()
    history = int(given.pop("history", usual.history))
    return Anomaly(
        history=history,
        remembered=max(REMEMBERED, history),
        minimum=int(given.pop("minimum", usual.minimum)),
        factor=_exact(given.pop("factor", usual.factor)),
        floor=_cents(given.pop("floor", "500")),
        sigma=given.pop("method", "mean") == "sigma",
    )


def _velocity(given: dict[str, Any]) -> Velocity:
    usual = Velocity()
    return Velocity(
        window=_duration(given.pop("window", "60s")),
        more_than=int(given.pop("more_than", usual.more_than)),
        count_score=_exact(given.pop("count_score", usual.count_score)),
        amount_over=_cents(given.pop("amount_over", "4000")),
        amount_score=_exact(given.pop("amount_score", usual.amount_score)),
        score_over=_exact(given.pop("score_over", usual.score_over)),
        surcharge={card: _exact(points) for card, points in (given.pop("surcharge", None) or {}).items()},
    )


def _high_amount(given: dict[str, Any]) -> HighAmount:
    return HighAmount(over=_cents(given.pop("over", "4500")))


def _exact(value: Any) -> Number:
    exact = Fraction(str(value))
    return exact.numerator if exact.denominator == 1 else exact


def _cents(value: Any) -> Number:
    return _exact(Fraction(str(value)) * 100)


def _duration(value: Any) -> int:
    """Microseconds of "60s" or a number of seconds."""
    text = str(value)
    unit = text.lstrip("0123456789.")
    return int(_exact(text.removesuffix(unit)) * _UNITS[unit or "s"])


# Rule files that the oracle has a definition of.
DEFINED: Mapping[str, Callable[[dict[str, Any]], Settings]] = {
    "anomaly": _anomaly,
    "velocity": _velocity,
    "high_amount": _high_amount,
}
