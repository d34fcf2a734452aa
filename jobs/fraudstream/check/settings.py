"""The oracle's settings from the parameters in conf/rules.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from fraudstream.check import library
from fraudstream.check.oracle import REMEMBERED, SECOND_US, Anomaly, Defined, HighAmount, Number, Settings, Velocity
from fraudstream.errors import ConfigError
from fraudstream.rulebook.labels import Labels, read_labels

_UNITS = {
    "ms": 1000,
    "s": SECOND_US,
    "m": 60 * SECOND_US,
    "min": 60 * SECOND_US,
    "h": 3600 * SECOND_US,
    "d": 24 * 3600 * SECOND_US,
}


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


def _card_testing(given: dict[str, Any]) -> Defined:
    window = _duration(given.pop("window", "30m"))
    figures = library.card_testing(
        window=window,
        small=_cents(given.pop("small", "5")),
        at_least=int(given.pop("at_least", 3)),
        amount_over=_cents(given.pop("amount_over", "100")),
    )
    return Defined(figures=figures, window=window)


def _repeated_amount(given: dict[str, Any]) -> Defined:
    window, times = _duration(given.pop("window", "1h")), int(given.pop("times", 4))
    figures = library.repeated_amount(window=window, times=times, amount_over=_cents(given.pop("amount_over", "25")))
    return Defined(figures=figures, window=window)


def _dormant_burst(given: dict[str, Any]) -> Defined:
    payments = int(given.pop("payments", 4))
    figures = library.dormant_burst(
        payments=payments,
        window=_duration(given.pop("window", "2h")),
        dormant=_duration(given.pop("dormant", "21d")),
        sum_over=_cents(given.pop("sum_over", "200")),
    )
    return Defined(figures=figures, remembered=max(REMEMBERED, payments))


def _many_merchants(given: dict[str, Any]) -> Defined:
    window = _duration(given.pop("window", "30m"))
    figures = library.many_merchants(window=window, merchants=int(given.pop("merchants", 6)))
    return Defined(figures=figures, window=window)


def _spending_limit(given: dict[str, Any]) -> Defined:
    window = _duration(given.pop("window", "24h"))
    figures = library.spending_limit(window=window, limit=_cents(given.pop("limit", "2000")))
    return Defined(figures=figures, window=window)


def _compromised_merchant(given: dict[str, Any]) -> Defined:
    labels = given.pop("labels", None) or Labels()
    labels = read_labels(labels) if isinstance(labels, str) else labels
    window = _duration(given.pop("window", "28d"))
    figures = library.compromised_merchant(
        known_at=dict(zip(labels.ids, labels.times, strict=True)),
        delay=_duration(given.pop("delay", "0s")),
        window=window,
        at_least=int(given.pop("at_least", 3)),
        share_over=_exact(given.pop("share_over", "0.1")),
    )
    return Defined(figures=figures, window=window, key="merchant_id")


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
    "card_testing": _card_testing,
    "repeated_amount": _repeated_amount,
    "dormant_burst": _dormant_burst,
    "many_merchants": _many_merchants,
    "spending_limit": _spending_limit,
    "compromised_merchant": _compromised_merchant,
}
