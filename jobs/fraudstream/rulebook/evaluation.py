"""Expressions evaluated on columns of judged rows."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.exact import Exact, Integers, constant, integers, is_over_sigmas, multiply
from fraudstream.rulebook.windows import Histories, Visible, counts, extremes, sums, visible

_RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_CENTS = 100


@dataclass
class Judged:
    """The rows that are judged: positions in their users' histories, and their card types."""

    rows: Histories
    positions: Integers
    card_types: Integers
    _seen: dict[e.Window, Visible] = field(default_factory=dict)

    def seen(self, window: e.Window) -> Visible:
        """What the rows see in the window."""
        if window not in self._seen:
            self._seen[window] = visible(window, self.rows, self.positions)
        return self._seen[window]

    @property
    def cents(self) -> Integers:
        """The rows' own amounts."""
        result: Integers = self.rows.cents[self.positions]
        return result


def number(expression: e.Expression, judged: Judged) -> Exact:
    """The expression's value for each judged row."""
    rows = len(judged.positions)
    match expression:
        case e.Constant(value):
            return constant(value, rows)
        case e.Amount():
            return integers(judged.cents, _CENTS)
        case e.Aggregate():
            return _aggregate(expression, judged)
        case e.Points(when, points):
            return _choice(holds(when, judged), points)
        case e.CardPoints(table):
            return _looked_up(dict(table), judged.card_types)
        case e.Arithmetic(sign, left, right):
            return _arithmetic(sign, number(left, judged), number(right, judged))
    raise TypeError(f"unknown expression {expression!r}")


def holds(condition: e.Condition, judged: Judged) -> Integers:
    """Whether the condition holds for each judged row."""
    match condition:
        case e.Comparison(relation, left, right):
            return number(left, judged).compare(_RELATIONS[relation], number(right, judged))
        case e.OverSigmas(window, factor):
            return _over_sigmas(window, factor, judged)
        case e.Both(first, second):
            return holds(first, judged) & holds(second, judged)
        case e.Either(first, second):
            return holds(first, judged) | holds(second, judged)
        case e.Negation(operand):
            return ~holds(operand, judged)
    raise TypeError(f"unknown condition {condition!r}")


def _aggregate(aggregate: e.Aggregate, judged: Judged) -> Exact:
    seen = judged.seen(aggregate.window)
    number_seen = counts(seen)
    if aggregate.function == "count":
        return integers(number_seen)
    cents = judged.rows.cents
    if aggregate.function == "sum":
        return integers(sums(seen, cents), _CENTS)
    if aggregate.function == "mean":
        return Exact(sums(seen, cents), number_seen * _CENTS)
    found = extremes(seen, cents, aggregate.function == "max")
    return Exact(found, np.where(number_seen > 0, _CENTS, 0))


def _over_sigmas(window: e.Window, factor: Fraction, judged: Judged) -> Integers:
    seen, cents = judged.seen(window), judged.rows.cents
    squares = sums(seen, multiply(cents, cents))
    return is_over_sigmas(integers(judged.cents), counts(seen), sums(seen, cents), squares, factor)


def _arithmetic(sign: str, left: Exact, right: Exact) -> Exact:
    if sign in "+-":
        return left.add(right, 1 if sign == "+" else -1)
    return left.times(right) if sign == "*" else left.over(right)


def _choice(chosen: Integers, points: Fraction) -> Exact:
    return Exact(np.where(chosen, points.numerator, 0), np.full(len(chosen), points.denominator))


def _looked_up(table: dict[str, Fraction], card_types: Integers) -> Exact:
    found = [table.get(card, Fraction(0)) for card in card_types.tolist()]
    return Exact(
        np.array([each.numerator for each in found], dtype=np.int64),
        np.array([each.denominator for each in found], dtype=np.int64),
    )
