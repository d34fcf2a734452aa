"""A rule without state as Spark's own expressions, so that it runs in real-time mode, where no Python does.

The same alert gives the same bytes as fraudstream.alerts.message, in micro-batches and in real time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.alerts import ALERT_FIELDS
from fraudstream.errors import ConfigError
from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.transaction import sentence_parts

# Sums and products of amounts below 10^15 cents and a rule's constants stay far within 38 digits.
_WIDE = "decimal(38,0)"
_RELATIONS: dict[str, Callable[[Column, Column], Column]] = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
_PLAIN = ("user_id", "card_type", "merchant_id", "lsn", "tx_id", "topic", "partition", "offset")
# Spark writes a control character as \u001F, Python as \u001f. A backslash that is itself escaped begins no such code.
_CONTROL_CODE = r"(?<!\\)((?:\\\\)*\\u00[01])"


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
    return AlertColumns(_holds(rule.alert.when), key, _with_small_codes(value))


def _with_small_codes(value: Column) -> Column:
    small = value
    for digit in "ABCDEF":
        small = F.regexp_replace(small, _CONTROL_CODE + digit, f"$1{digit.lower()}")
    return F.when(F.col("card_type").rlike(r"[\x00-\x1f]"), small).otherwise(value)


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


def _sentence(reason: str, figures: dict[str, Column]) -> Column:
    shown = [
        part
        for text, name in sentence_parts(reason)
        for part in (F.lit(text), *([figures[name].cast("string")] if name else []))
    ]
    return F.concat(*shown)


def _figure(expression: e.Expression) -> Column:
    """The figure as payload.figure shows it: a whole number, else a text with two decimals."""
    value = _number(expression)
    if expression.whole:
        return value.num.cast("long")
    doubled = value.num * 200 + value.den  # half a cent rounds up: floor((200 num + den) / (2 den))
    return _money(_floored(doubled, 2 * value.den))


def _floored(number: Column, divisor: int) -> Column:
    """The quotient rounded down: of a multiple of the divisor, because a decimal division rounds to 6 places."""
    multiple = number - F.pmod(number, F.lit(divisor).cast(_WIDE))
    return (multiple / F.lit(divisor).cast(_WIDE)).cast(_WIDE)


def _money(cents: Column) -> Column:
    magnitude = F.abs(cents)
    digits = F.lpad((magnitude % 100).cast("long").cast("string"), 2, "0")
    return F.concat(F.when(cents < 0, "-").otherwise(""), _floored(magnitude, 100).cast("string"), F.lit("."), digits)


def _number(expression: e.Expression) -> _Exact:
    match expression:
        case e.Constant(value):
            return _Exact(F.lit(value.numerator).cast(_WIDE), value.denominator)
        case e.Amount():
            return _Exact(F.col("cents").cast(_WIDE), 100)
        case e.Time():
            return _Exact(F.col("created_at").cast(_WIDE), 1_000_000)
        case e.Points(when, points):
            return _Exact(_points(_holds(when), points), points.denominator)
        case e.CardPoints(table):
            return _card_points(dict(table))
        case e.Arithmetic("/", left, e.Constant(value)) if value:
            return _arithmetic("*", _number(left), _number(e.Constant(1 / value)))
        case e.Arithmetic("+" | "-" | "*" as sign, left, right):
            return _arithmetic(sign, _number(left), _number(right))
    raise ConfigError("a rule without state divides by numbers only, not by zero or an amount; multiply instead.")


def _points(when: Column, points: Fraction) -> Column:
    return F.when(when, F.lit(points.numerator)).otherwise(F.lit(0)).cast(_WIDE)


def _is_member(name: str, values: tuple[str | int, ...]) -> Column:
    return F.coalesce(F.col(name).isin(*values), F.lit(False))


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
        case e.Membership(name, values):
            return _is_member(name, values)
        case e.Both(left, right):
            return _holds(left) & _holds(right)
        case e.Either(left, right):
            return _holds(left) | _holds(right)
        case e.Negation(operand):
            return ~_holds(operand)
    raise TypeError(f"unknown condition {condition!r}")
