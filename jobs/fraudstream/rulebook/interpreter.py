"""A rule for one transaction at a time, in plain Python: slow, obvious, and for whatever has no columns."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.deviation import sign, split
from fraudstream.rulebook.earlier import Aggregate, Confirmed, Nth, Window
from fraudstream.rulebook.windows import LATENESS_US

_RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True, slots=True)
class Paid:
    """A transaction as a rule sees it: cents, and microseconds since 1970."""

    cents: int
    created_at: int
    card_type: str | None = None
    merchant_id: int | None = None
    user_id: int = 0
    id: int = 0


def value(expression: e.Expression, now: Paid, earlier: Sequence[Paid]) -> Fraction | None:
    """The expression for `now`, where `earlier` are the rows of its key that entered before, in order; None for null.
    The expression has no standard deviation."""
    match expression:
        case e.Constant(number):
            return number
        case e.Amount():
            return Fraction(now.cents, 100)
        case e.Time():
            return Fraction(now.created_at, 1_000_000)
        case Aggregate(window, "count"):
            return Fraction(len(seen(window, now, earlier)))
        case Aggregate(window, "distinct", column):
            return Fraction(len({getattr(row, column) for row in seen(window, now, earlier)} - {None}))
        case Aggregate(window, function, column):
            return _aggregate(function, [_number(row, column) for row in seen(window, now, earlier)])
        case Nth(window, back, column):
            rows = seen(window, now, earlier)
            return _number(rows[-back], column) if len(rows) >= back else None
        case Confirmed(window, labels, delay):
            known_at = dict(zip(labels.ids, labels.times, strict=True))
            ids = [row.id for row in seen(window, now, earlier)]
            return Fraction(sum(number in known_at and known_at[number] + delay <= now.created_at for number in ids))
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


def seen(window: Window, now: Paid, earlier: Sequence[Paid]) -> list[Paid]:
    """The earlier rows in the window, in order."""
    return [
        row
        for row in _in_reach(window, now, earlier)
        if all(getattr(row, name) == getattr(now, name) is not None for name in window.alike)
        and (window.condition is None or holds(window.condition, row, ()))
    ]


def _in_reach(window: Window, now: Paid, earlier: Sequence[Paid]) -> list[Paid]:
    if window.rows:
        return list(earlier[-window.rows :])
    newest = max([now.created_at, *(row.created_at for row in earlier)])
    after = max(now.created_at - window.span, newest - window.span - LATENESS_US)
    return [row for row in earlier if after < row.created_at <= now.created_at]


def _number(row: Paid, column: str) -> Fraction:
    return Fraction(row.cents, 100) if column == "cents" else Fraction(row.created_at, 1_000_000)


def _sign_of(difference: e.Expression, now: Paid, earlier: Sequence[Paid]) -> int | None:
    rest, factor, window = split(difference)
    exact = value(rest, now, earlier)
    squared = Fraction(0) if window is None else _variance([row.cents for row in seen(window, now, earlier)])
    return None if exact is None or squared is None else sign(exact, factor, squared)


def _aggregate(function: str, amounts: list[Fraction]) -> Fraction | None:
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
