"""A rule without state as Spark's own expressions, so that it runs in real-time mode, where no Python does.

The same alert gives the same bytes as fraudstream.alerts.message, in micro-batches and in real time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.alerts import ALERT_FIELDS
from fraudstream.errors import ConfigError
from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.catalog import Rule

# Sums and products of amounts below 10^15 cents and a rule's constants stay far within 38 digits.
_WIDE = "decimal(38,0)"
_RELATIONS: dict[str, Callable[[Column, Column], Column]] = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
_PLAIN = ("user_id", "card_type", "merchant_id", "lsn", "tx_id", "topic", "partition", "offset")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class AlertColumns:
    """Over change events: whether to alert, and the message's key and value."""

    when: Column
    key: Column
    value: Column


@dataclass(frozen=True)
class _Exact:
    """num / den, den > 0."""

    num: Column
    den: int


def alert_columns(rule: Rule) -> AlertColumns:
    """The alert of a rule without state over the columns of cdc.columns.change_events. Raises ConfigError if an
    expression of the rule has no form in SQL."""
    identity = F.concat_ws("|", F.lit(rule.name), F.lit(rule.version), F.col("id").cast("string"))
    key = F.sha2(identity, 256)
    fields = {**_fields(rule), "alert_id": key}
    value = F.to_json(F.struct(*(fields[name].alias(name) for name in ALERT_FIELDS)), {"ignoreNullFields": "false"})
    return AlertColumns(_holds(rule.alert.when), key, value)


def _fields(rule: Rule) -> dict[str, Column]:
    amount = _money(F.col("cents").cast(_WIDE))
    evidence = {name: _figure(each) for name, each in sorted(rule.alert.evidence.items())}
    score = _figure(rule.alert.score) if rule.alert.score else F.lit(None).cast("string")
    known = {**evidence, "amount": amount, "score": score}
    plain = {name: F.col(name) for name in _PLAIN}
    return {
        **plain,
        "rule": F.lit(rule.name),
        "rule_version": F.lit(rule.version),
        "severity": F.lit(rule.severity),
        "transaction_id": F.col("id"),
        "amount": amount,
        "score": score,
        "reason": _sentence(rule.alert.reason, known),
        "evidence": F.struct(*(column.alias(name) for name, column in evidence.items())),
        "event_time": F.date_format(F.timestamp_micros("created_at"), "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"),
        "committed_at": _millis("committed_ms"),
        "captured_at": _millis("captured_ms"),
    }


def _millis(name: str) -> Column:
    return F.date_format(F.timestamp_millis(name), "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")


def _sentence(template: str, known: dict[str, Column]) -> Column:
    parts = []
    for place, text in enumerate(_PLACEHOLDER.split(template)):
        parts.append(known[text].cast("string") if place % 2 else F.lit(text))
    return F.concat(*parts)


def _figure(expression: e.Expression) -> Column:
    """The figure as payload.figure shows it: a whole number, else a text with two decimals."""
    value = _number(expression)
    if value.den == 1 and not expression.money:
        return value.num.cast("long")
    scaled = value.num * 100 * 2 + value.den  # half a cent rounds up: floor((200 num + den) / (2 den))
    return _money(F.floor(scaled / F.lit(2 * value.den)).cast(_WIDE))


def _money(cents: Column) -> Column:
    magnitude = F.abs(cents)
    digits = F.lpad((magnitude % 100).cast("long").cast("string"), 2, "0")
    whole = F.floor(magnitude / 100).cast("string")
    return F.concat(F.when(cents < 0, "-").otherwise(""), whole, F.lit("."), digits)


def _number(expression: e.Expression) -> _Exact:
    match expression:
        case e.Constant(value):
            return _Exact(F.lit(value.numerator).cast(_WIDE), value.denominator)
        case e.Amount():
            return _Exact(F.col("cents").cast(_WIDE), 100)
        case e.Points(when, points):
            return _Exact(_points(_holds(when), points), points.denominator)
        case e.CardPoints(table):
            return _card_points(dict(table))
        case e.Arithmetic("+" | "-" | "*" as sign, left, right):
            return _arithmetic(sign, _number(left), _number(right))
    raise ConfigError(f"a rule without state cannot use {type(expression).__name__}; give it a window or leave it out.")


def _points(when: Column, points: Fraction) -> Column:
    return F.when(when, F.lit(points.numerator)).otherwise(F.lit(0)).cast(_WIDE)


def _card_points(table: dict[str, Fraction]) -> _Exact:
    den = math.lcm(*(points.denominator for points in table.values()))
    found = F.lit(0)
    for card, points in table.items():
        found = F.when(F.col("card_type") == card, F.lit(int(points * den))).otherwise(found)
    return _Exact(found.cast(_WIDE), den)


def _arithmetic(sign: str, left: _Exact, right: _Exact) -> _Exact:
    if sign == "*":
        return _Exact((left.num * right.num).cast(_WIDE), left.den * right.den)
    den = math.lcm(left.den, right.den)
    first, second = left.num * (den // left.den), right.num * (den // right.den)
    return _Exact((first + second if sign == "+" else first - second).cast(_WIDE), den)


def _holds(condition: e.Condition) -> Column:
    match condition:
        case e.Comparison(relation, left, right):
            first, second = _number(left), _number(right)
            common = math.lcm(first.den, second.den)
            return _RELATIONS[relation](first.num * (common // first.den), second.num * (common // second.den))
        case e.Both(left, right):
            return _holds(left) & _holds(right)
        case e.Either(left, right):
            return _holds(left) | _holds(right)
        case e.Negation(operand):
            return ~_holds(operand)
    raise ConfigError(f"a rule without state cannot use {type(condition).__name__}; it needs a window.")
