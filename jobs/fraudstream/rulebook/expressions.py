"""What a rule says: expressions over a transaction and windows of the user's earlier ones.

A rule's body is run once, with a symbolic transaction, and leaves a tree. From the tree follow the windows, what must
be kept per user, and whether the rule needs state at all. `evaluation` computes it on columns, `sql` as Spark's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction

Number = int | Decimal | Fraction
_DURATION = re.compile(r"^(\d+)(ms|s|m|h)$")
_MICROS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def micros(duration: str) -> int:
    """Microseconds of a duration like "60s", "500ms", "10m" or "1h". Raises ValueError for another text."""
    match = _DURATION.match(duration)
    if not match:
        raise ValueError(f"{duration!r} is no duration; write it like 60s, 500ms, 10m or 1h")
    return int(match[1]) * _MICROS[match[2]]


@dataclass(frozen=True, eq=False)
class Expression:
    """A column of exact numbers. `money` says whether it is an amount (shown with two decimals)."""

    @property
    def money(self) -> bool:
        """Whether the value is an amount of money."""
        return False

    def __add__(self, other: Expression | Number) -> Expression:
        return Arithmetic("+", self, _expression(other))

    def __radd__(self, other: Number) -> Expression:
        return Arithmetic("+", _expression(other), self)

    def __sub__(self, other: Expression | Number) -> Expression:
        return Arithmetic("-", self, _expression(other))

    def __rsub__(self, other: Number) -> Expression:
        return Arithmetic("-", _expression(other), self)

    def __mul__(self, other: Expression | Number) -> Expression:
        return Arithmetic("*", self, _expression(other))

    def __rmul__(self, other: Number) -> Expression:
        return Arithmetic("*", _expression(other), self)

    def __truediv__(self, other: Expression | Number) -> Expression:
        return Arithmetic("/", self, _expression(other))

    def __gt__(self, other: Expression | Number) -> Condition:
        return Comparison(">", self, _expression(other))

    def __ge__(self, other: Expression | Number) -> Condition:
        return Comparison(">=", self, _expression(other))

    def __lt__(self, other: Expression | Number) -> Condition:
        return Comparison("<", self, _expression(other))

    def __le__(self, other: Expression | Number) -> Condition:
        return Comparison("<=", self, _expression(other))


@dataclass(frozen=True, eq=False)
class Condition:
    """A column of true and false."""

    def __and__(self, other: Condition) -> Condition:
        return Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return Either(self, other)

    def __invert__(self) -> Condition:
        return Negation(self)

    def __bool__(self) -> bool:
        raise TypeError(
            "a condition of a rule has no truth of its own; combine conditions with & | ~, not and, or, not"
        )


@dataclass(frozen=True, eq=False)
class Constant(Expression):
    """A number that the rule brings."""

    value: Fraction


@dataclass(frozen=True, eq=False)
class Amount(Expression):
    """The transaction's amount."""

    @property
    def money(self) -> bool:
        return True


@dataclass(frozen=True, eq=False)
class CardPoints(Expression):
    """A number per card type; 0 for one that the table does not name."""

    table: tuple[tuple[str, Fraction], ...]


@dataclass(frozen=True, eq=False)
class Arithmetic(Expression):
    """`left operator right` with + - * /."""

    operator: str
    left: Expression
    right: Expression

    @property
    def money(self) -> bool:
        if self.operator == "/":
            return self.left.money and not self.right.money
        return self.left.money or self.right.money


@dataclass(frozen=True, eq=False)
class Points(Expression):
    """`points` where the condition holds, else 0."""

    when: Condition
    points: Fraction


@dataclass(frozen=True)
class Window:
    """Earlier transactions of the user: the last `rows`, or those within `span` microseconds."""

    rows: int = 0
    span: int = 0

    def count(self) -> Expression:
        """How many."""
        return Aggregate(self, "count")

    def sum(self, field: str) -> Expression:
        """Their sum; 0 for none."""
        return Aggregate(self, "sum", _amount_only(field))

    def mean(self, field: str) -> Expression:
        """Their mean; null for none, and a comparison with null does not hold."""
        return Aggregate(self, "mean", _amount_only(field))

    def min(self, field: str) -> Expression:
        """The smallest; null for none."""
        return Aggregate(self, "min", _amount_only(field))

    def max(self, field: str) -> Expression:
        """The greatest; null for none."""
        return Aggregate(self, "max", _amount_only(field))

    def is_exceeded_by_sigmas(self, field: str, factor: Number) -> Condition:
        """Whether the transaction's own value is over mean + factor * population standard deviation of the window."""
        _amount_only(field)
        return OverSigmas(self, _fraction(factor))


@dataclass(frozen=True, eq=False)
class Aggregate(Expression):
    """A window's count, or its sum, mean, min or max of the amount."""

    window: Window
    function: str
    field: str = ""

    @property
    def money(self) -> bool:
        return self.function != "count"


@dataclass(frozen=True, eq=False)
class Comparison(Condition):
    """`left relation right` with > >= < <=."""

    relation: str
    left: Expression
    right: Expression


@dataclass(frozen=True, eq=False)
class OverSigmas(Condition):
    """amount > mean + factor * population standard deviation of the window."""

    window: Window
    factor: Fraction


@dataclass(frozen=True, eq=False)
class Both(Condition):
    """Both conditions hold."""

    left: Condition
    right: Condition


@dataclass(frozen=True, eq=False)
class Either(Condition):
    """One of the conditions holds, or both."""

    left: Condition
    right: Condition


@dataclass(frozen=True, eq=False)
class Negation(Condition):
    """The condition does not hold."""

    operand: Condition


@dataclass(frozen=True)
class Alert:
    """What a rule's body returns: when to alert, its score, and how to explain it."""

    when: Condition
    reason: str
    evidence: Mapping[str, Expression]
    score: Expression | None


class Transaction:
    """The symbolic transaction that a rule's body is written against."""

    amount: Expression = Amount()

    def previous(self, rows: int) -> Window:
        """The user's last `rows` transactions before this one."""
        return Window(rows=rows)

    def within(self, duration: str) -> Window:
        """The user's earlier transactions with an event time in (t - duration, t]."""
        return Window(span=micros(duration))

    def card_points(self, table: Mapping[str, Number]) -> Expression:
        """The number that `table` gives the transaction's card type; 0 where it names none."""
        return CardPoints(tuple((card, _fraction(points)) for card, points in sorted(table.items())))

    def alert(
        self,
        *,
        when: Condition,
        reason: str,
        evidence: Mapping[str, Expression | Number],
        score: Expression | None = None,
    ) -> Alert:
        """The alert. `reason` is one sentence with {amount}, {score} and the names of `evidence` to fill in."""
        return Alert(when, reason, {name: _expression(value) for name, value in evidence.items()}, score)


def points(when: Condition, number: Number) -> Expression:
    """`number` where the condition holds, else 0."""
    return Points(when, _fraction(number))


def windows_of(alert: Alert) -> set[Window]:
    """All windows that the alert's parts look at."""
    return {node for node in _all_nodes(alert) if isinstance(node, Window)}


def sees_amounts(alert: Alert) -> bool:
    """Whether a part of the alert needs the amounts of earlier transactions."""
    return any(
        isinstance(node, OverSigmas) or (isinstance(node, Aggregate) and bool(node.field)) for node in _all_nodes(alert)
    )


def _all_nodes(alert: Alert) -> Iterator[object]:
    for root in (alert.when, alert.score, *alert.evidence.values()):
        yield from _nodes(root)


def _nodes(node: object) -> Iterator[object]:
    yield node
    if isinstance(node, Expression | Condition):
        for field in fields(node):
            yield from _nodes(getattr(node, field.name))


def _expression(value: Expression | Number) -> Expression:
    return value if isinstance(value, Expression) else Constant(_fraction(value))


def _fraction(value: Number) -> Fraction:
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a binary fraction, which is not exact; write Decimal('{value}')")
    return Fraction(value)


def _amount_only(field: str) -> str:
    if field != "amount":
        raise ValueError(f"a window has no column {field!r}; it has 'amount'")
    return field
