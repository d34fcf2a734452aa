"""Expressions evaluated on columns of judged rows."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.deviation import split
from fraudstream.rulebook.exact import Exact, Integers, constant, multiply, sign_of
from fraudstream.rulebook.windows import Histories, Visible, counts, extremes, sums, visible

_RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_CENTS = 100


@dataclass
class Judged:
    """The rows that are judged: their positions in their users' histories, and their places in the batch."""

    rows: Histories
    positions: Integers
    batch: Mapping[str, Integers]
    places: Integers
    _seen: dict[e.Window, Visible] = field(default_factory=dict)

    def seen(self, window: e.Window) -> Visible:
        """What the rows see in the window."""
        if window not in self._seen:
            self._seen[window] = visible(window, self.rows, self.positions)
        return self._seen[window]

    def column(self, name: str) -> Integers:
        """The rows' own values."""
        result: Integers = self.batch[name][self.places]
        return result


def number(expression: e.Expression, judged: Judged) -> Exact:
    """The expression's value for each judged row; it has no standard deviation."""
    rows = len(judged.positions)
    match expression:
        case e.Constant(value):
            return constant(value, rows)
        case e.Amount():
            return Exact(judged.column("cents"), None, _CENTS)
        case e.Aggregate():
            return _aggregate(expression, judged)
        case e.Points(when, points):
            one = Exact(holds(when, judged).astype(np.int64))
            return one.times(constant(points, rows))
        case e.CardPoints(table):
            return _looked_up(dict(table), judged.column("card_type"))
        case e.Arithmetic(sign, left, right):
            return _arithmetic(sign, number(left, judged), number(right, judged))
    raise TypeError(f"unknown expression {expression!r}")


def holds(condition: e.Condition, judged: Judged) -> Integers:
    """Whether the condition holds for each judged row."""
    match condition:
        case e.Comparison():
            return _compare(condition, judged)
        case e.Membership(name, values):
            result: Integers = np.isin(judged.column(name), values)
            return result
        case e.Both(first, second):
            return holds(first, judged) & holds(second, judged)
        case e.Either(first, second):
            return holds(first, judged) | holds(second, judged)
        case e.Negation(operand):
            return ~holds(operand, judged)
    raise TypeError(f"unknown condition {condition!r}")


def variance(window: e.Window, judged: Judged) -> Exact:
    """The population variance of the window's amounts; null for none."""
    seen, cents = judged.seen(window), judged.rows.cents
    n, total, squares = counts(seen), sums(seen, cents), sums(seen, multiply(cents, cents))
    return (
        Exact(multiply(squares, n), None, _CENTS**2)
        .add(Exact(multiply(total, total), None, _CENTS**2), -1)
        .over(Exact(multiply(n, n)))
    )


def _compare(comparison: e.Comparison, judged: Judged) -> Integers:
    relation = _RELATIONS[comparison.relation]
    rest, factor, window = split(comparison.left - comparison.right)
    if window is None:
        return number(comparison.left, judged).compare(relation, number(comparison.right, judged))
    sign = sign_of(number(rest, judged), factor, variance(window, judged))
    return sign.compare(relation, constant(Fraction(0), len(judged.positions)))


def _aggregate(aggregate: e.Aggregate, judged: Judged) -> Exact:
    seen = judged.seen(aggregate.window)
    number_seen = counts(seen)
    if aggregate.function == "count":
        return Exact(number_seen)
    cents = judged.rows.cents
    if aggregate.function == "sum":
        return Exact(sums(seen, cents), None, _CENTS)
    if aggregate.function == "mean":
        return Exact(sums(seen, cents), number_seen, _CENTS)
    found = extremes(seen, cents, aggregate.function == "max")
    return Exact(found, (number_seen > 0).astype(np.int64), _CENTS)


def _arithmetic(sign: str, left: Exact, right: Exact) -> Exact:
    if sign in "+-":
        return left.add(right, 1 if sign == "+" else -1)
    return left.times(right) if sign == "*" else left.over(right)


def _looked_up(table: dict[str, Fraction], card_types: Integers) -> Exact:
    unit = math.lcm(*(points.denominator for points in table.values()))
    points = Exact(np.zeros(len(card_types), dtype=np.int64), None, unit)
    for card, value in table.items():
        has_card = Exact((card_types == card).astype(np.int64))
        points = points.add(has_card.times(constant(value, len(card_types))))
    return points
