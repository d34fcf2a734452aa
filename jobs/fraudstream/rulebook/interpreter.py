"""A rule for one transaction at a time, in plain Python: slow, obvious, and for whatever has no columns."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.deviation import sign, split
from fraudstream.rulebook.windows import LATENESS_US

_RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True, slots=True)
class Paid:
    """A transaction as a rule sees it: cents, and microseconds since 1970."""

    cents: int
    created_at: int
    card_type: str | None = None
    merchant_id: int | None = None


def value(expression: e.Expression, now: Paid, earlier: Sequence[Paid]) -> Fraction | None:
    """The expression for `now`, where `earlier` are the rows of the user that entered before, in order; None for null.
    The expression has no standard deviation."""
    match expression:
        case e.Constant(number):
            return number
        case e.Amount():
            return Fraction(now.cents, 100)
        case e.Aggregate(window, function):
            return _aggregate(function, [Fraction(row.cents, 100) for row in seen(window, now, earlier)])
        case e.Points(when, points):
            return points if holds(when, now, earlier) else Fraction(0)
        case e.CardPoints(table):
            return dict(table).get(now.card_type or "", Fraction(0))
        case e.Arithmetic(sign, left, right):
            return _arithmetic(sign, value(left, now, earlier), value(right, now, earlier))
    raise TypeError(f"unknown expression {expression!r}")


def holds(condition: e.Condition, now: Paid, earlier: Sequence[Paid]) -> bool:
    """Whether the condition holds for `now`."""
    match condition:
        case e.Comparison(relation, left, right):
            difference = _sign_of(left - right, now, earlier)
            return difference is not None and _RELATIONS[relation](difference, 0)
        case e.Membership(name, values):
            return getattr(now, name) in values
        case e.Both(first, second):
            return holds(first, now, earlier) and holds(second, now, earlier)
        case e.Either(first, second):
            return holds(first, now, earlier) or holds(second, now, earlier)
        case e.Negation(operand):
            return not holds(operand, now, earlier)
    raise TypeError(f"unknown condition {condition!r}")


def seen(window: e.Window, now: Paid, earlier: Sequence[Paid]) -> list[Paid]:
    """The earlier rows in the window, in order."""
    if window.rows:
        return list(earlier[-window.rows :])
    newest = max([now.created_at, *(row.created_at for row in earlier)])
    after = max(now.created_at - window.span, newest - window.span - LATENESS_US)
    return [row for row in earlier if after < row.created_at <= now.created_at]


def _sign_of(difference: e.Expression, now: Paid, earlier: Sequence[Paid]) -> int | None:
    rest, factor, window = split(difference)
    exact = value(rest, now, earlier)
    squared = Fraction(0) if window is None else _variance([row.cents for row in seen(window, now, earlier)])
    return None if exact is None or squared is None else sign(exact, factor, squared)


def _aggregate(function: str, amounts: list[Fraction]) -> Fraction | None:
    if function == "count":
        return Fraction(len(amounts))
    if function == "sum":
        return sum(amounts, Fraction(0))
    if not amounts:
        return None
    if function == "mean":
        return sum(amounts, Fraction(0)) / len(amounts)
    return min(amounts) if function == "min" else max(amounts)


def _variance(cents: list[int]) -> Fraction | None:
    if not cents:
        return None
    mean = Fraction(sum(cents), len(cents))
    return sum(((each - mean) ** 2 for each in cents), Fraction(0)) / len(cents) / 100**2


def _arithmetic(operator: str, left: Fraction | None, right: Fraction | None) -> Fraction | None:
    if left is None or right is None:
        return None
    if operator == "/":
        return left / right if right else None
    return {"+": left + right, "-": left - right, "*": left * right}[operator]
