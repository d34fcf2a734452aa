"""A rule's condition in words and figures: what was compared with what, and which parts held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from fraudstream import alerts
from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.deviation import rounded, split
from fraudstream.rulebook.earlier import COLUMNS, Aggregate, Confirmed, Nth, Window
from fraudstream.rulebook.interpreter import Paid, holds, seen, value
from fraudstream.rulebook.payload import figure

_NAMES = {column: name for name, column in COLUMNS.items()}
_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms"))


@dataclass(frozen=True)
class Clause:
    """A part of the condition: in words, in figures ("9 >= 3"; "" where it compares none), and whether it held.
    `level` is 1 for a condition of points that a part of level 0 adds up."""

    words: str
    figures: str
    held: bool
    level: int = 0


def clauses(condition: e.Condition, now: Paid, earlier: Sequence[Paid], level: int = 0) -> Iterator[Clause]:
    """The parts that must all hold, each with the conditions of the points that it adds up behind it."""
    if isinstance(condition, e.Both):
        yield from clauses(condition.left, now, earlier, level)
        yield from clauses(condition.right, now, earlier, level)
        return
    figures = ""
    if isinstance(condition, e.Comparison):
        left, right = (shown(side, now, earlier) for side in (condition.left, condition.right))
        figures = f"{left} {condition.relation} {right}"
    yield Clause(condition_words(condition), figures, holds(condition, now, earlier), level)
    if isinstance(condition, e.Comparison):
        for side in (condition.left, condition.right):
            for points in _points(side):
                yield from clauses(points.when, now, earlier, level + 1)


def shown(expression: e.Expression, now: Paid, earlier: Sequence[Paid]) -> str:
    """The expression's value as it would stand in the evidence."""
    rest, factor, window = split(expression)
    exact = value(rest, now, earlier)
    if exact is None:
        return "nothing"
    if window is None:
        return str(figure(exact, expression.whole))
    cents = [row.cents for row in seen(window, now, earlier)]
    if not cents:
        return "nothing"
    variance = Fraction(len(cents) * sum(each**2 for each in cents) - sum(cents) ** 2, len(cents) ** 2)
    return alerts.format_cents(rounded(exact * 100, factor, variance))


def window_words(window: Window) -> str:
    """ "the last 50", "within 30m with the same merchant_id, where amount <= 5"."""
    words = f"the last {window.rows}" if window.rows else f"within {duration_words(window.span)}"
    if window.alike:
        words += f" with the same {' and '.join(_NAMES[column] for column in window.alike)}"
    return words if window.condition is None else f"{words}, where {condition_words(window.condition)}"


def duration_words(micros: int) -> str:
    """A duration in the greatest unit that divides it: 90,000,000 -> "90s", 60,000,000 -> "1m"."""
    unit, name = next(((unit, name) for unit, name in _UNITS if micros % unit == 0), (1, "us"))
    return f"{micros // unit}{name}"


def condition_words(condition: e.Condition) -> str:
    """The condition in words."""
    match condition:
        case e.Comparison(relation, left, right):
            return f"{expression_words(left)} {relation} {expression_words(right)}"
        case e.Membership(name, values):
            return f"{name} is {' or '.join(map(str, values))}"
        case e.Both(left, right):
            return f"({condition_words(left)} and {condition_words(right)})"
        case e.Either(left, right):
            return f"({condition_words(left)} or {condition_words(right)})"
        case e.Negation(operand):
            return f"not ({condition_words(operand)})"
    raise TypeError(f"unknown condition {condition!r}")


def expression_words(expression: e.Expression) -> str:
    """The expression in words."""
    match expression:
        case e.Constant(number):
            return _number(number)
        case e.Amount():
            return "amount"
        case e.Time():
            return "time"
        case Aggregate(window, function, column):
            return _of(f"{function} {_NAMES.get(column, '')}".rstrip(), window)
        case Nth(window, back, column):
            return _of(f"{_NAMES[column]}[-{back}]", window)
        case Confirmed(window, _, delay):
            return _of(f"count, confirmed {duration_words(delay)} before,", window)
        case e.Points(when, points):
            return f"({_number(points)} if {condition_words(when)})"
        case e.CardPoints():
            return "surcharge of the card type"
        case e.Arithmetic(operator, left, right):
            return f"{_operand(left, operator)} {operator} {_operand(right, operator, is_right=True)}"
    raise TypeError(f"unknown expression {expression!r}")


def _of(what: str, window: Window) -> str:
    words = f"{what} {'of ' if window.rows else ''}{window_words(window)}"
    return words if window.condition is None else f"({words})"


def _operand(expression: e.Expression, operator: str, *, is_right: bool = False) -> str:
    """In parentheses where the order of reckoning needs them."""
    words = expression_words(expression)
    if not isinstance(expression, e.Arithmetic):
        return words
    is_sum = expression.operator in "+-"
    needed = (operator in "*/" and is_sum) or (is_right and (operator == "/" or (operator == "-" and is_sum)))
    return f"({words})" if needed else words


def _number(number: Fraction) -> str:
    """As a decimal where it is one."""
    millionths = number * 10**6
    if millionths.denominator != 1:
        return str(number)
    return format(Decimal(millionths.numerator).scaleb(-6).normalize(), "f")


def _points(expression: e.Expression) -> Iterator[e.Points]:
    if isinstance(expression, e.Points):
        yield expression
    elif isinstance(expression, e.Arithmetic):
        yield from _points(expression.left)
        yield from _points(expression.right)
