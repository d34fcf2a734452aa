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
from fraudstream.rulebook.earlier import Aggregate, Confirmed, Nth, Window
from fraudstream.rulebook.exact import Exact, Integers, constant, multiply, sign_of
from fraudstream.rulebook.windows import (
    Histories,
    Visible,
    alike,
    counts,
    distinct,
    extremes,
    not_over,
    nth,
    sums,
    visible,
)  # fmt: skip

_RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_CENTS, _MICROS = 100, 1_000_000
_UNITS = {"cents": _CENTS, "created_at": _MICROS}  # parts of one, by column


@dataclass
class Judged:
    """The rows that are judged: their positions in their users' histories, and their places in the batch."""

    rows: Histories
    positions: Integers
    batch: Mapping[str, Integers]
    places: Integers
    _seen: dict[Window, Visible] = field(default_factory=dict)

    def seen(self, window: Window) -> Visible:
        """What the rows see in the window."""
        if window not in self._seen:
            self._seen[window] = self._filtered(window) if window != window.whole else self._all_of(window)
        return self._seen[window]

    def _all_of(self, window: Window) -> Visible:
        return visible(window, self.rows, self.positions)

    def _filtered(self, window: Window) -> Visible:
        seen = self.seen(window.whole)
        if window.alike:
            seen = alike(seen, window.alike)
        if window.condition is None:
            return seen
        # An earlier row's condition is on its own columns: every row is judged as if it were the transaction.
        every = np.arange(len(seen.rows.slice_of))
        return seen.where(holds(window.condition, Judged(seen.rows, every, seen.rows.columns, every)))

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
        case e.Time():
            return Exact(judged.column("created_at"), None, _MICROS)
        case Aggregate():
            return _aggregate(expression, judged)
        case Nth(window, back, column):
            seen = judged.seen(window)
            found, exists = nth(seen, back, seen.rows.columns[column])
            return Exact(found, exists.astype(np.int64), _UNITS[column])
        case Confirmed(window, labels, delay):
            seen = judged.seen(window)
            known_at = labels.times_of(seen.rows.columns["id"])
            return Exact(not_over(seen, known_at, judged.column("created_at") - delay))
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


def variance(window: Window, judged: Judged) -> Exact:
    """The population variance of the window's amounts; null for none."""
    seen = judged.seen(window)
    cents = seen.rows.cents
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


def _aggregate(aggregate: Aggregate, judged: Judged) -> Exact:
    seen = judged.seen(aggregate.window)
    if aggregate.function == "count":
        return Exact(counts(seen))
    values = seen.rows.columns[aggregate.column]
    if aggregate.function == "distinct":
        return Exact(distinct(seen, values))
    unit = _UNITS[aggregate.column]
    if aggregate.function == "sum":
        return Exact(sums(seen, values), None, unit)
    if aggregate.function == "mean":
        return Exact(sums(seen, values), counts(seen), unit)
    is_any = (counts(seen) > 0).astype(np.int64)
    return Exact(extremes(seen, values, aggregate.function == "max") * is_any, is_any, unit)


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
