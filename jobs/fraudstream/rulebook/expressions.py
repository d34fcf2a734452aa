"""What a rule says: expressions over a transaction; those over earlier ones are in `earlier`.

A rule's body is run once, with a symbolic transaction, and leaves a tree of these. Three runtimes compute it:
`evaluation` on columns, `sql` as Spark's own expressions, `interpreter` one transaction at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

Number = int | Decimal | Fraction
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_MICROS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def micros(duration: str) -> int:
    """Microseconds of a duration like "60s", "500ms", "10m", "1h" or "30d". Raises ValueError for another text."""
    match = _DURATION.fullmatch(duration)
    if not match:
        raise ValueError(f"{duration[:40]!r} is no duration; write it like 60s, 500ms, 10m, 1h or 30d")
    return int(match[1]) * _MICROS[match[2]]


@dataclass(frozen=True, eq=False)
class Expression:
    """A column of exact numbers."""

    @property
    def whole(self) -> bool:
        """Whether every value is a whole number, and no amount of money: only then it is shown without decimals."""
        return False

    def __add__(self, other: Expression | Number) -> Expression:
        return Arithmetic("+", self, expression(other))

    def __radd__(self, other: Number) -> Expression:
        return Arithmetic("+", expression(other), self)

    def __sub__(self, other: Expression | Number) -> Expression:
        return Arithmetic("-", self, expression(other))

    def __rsub__(self, other: Number) -> Expression:
        return Arithmetic("-", expression(other), self)

    def __mul__(self, other: Expression | Number) -> Expression:
        return Arithmetic("*", self, expression(other))

    def __rmul__(self, other: Number) -> Expression:
        return Arithmetic("*", expression(other), self)

    def __truediv__(self, other: Expression | Number) -> Expression:
        return Arithmetic("/", self, expression(other))

    def __rtruediv__(self, other: Number) -> Expression:
        return Arithmetic("/", expression(other), self)

    def __gt__(self, other: Expression | Number) -> Condition:
        return Comparison(">", self, expression(other))

    def __ge__(self, other: Expression | Number) -> Condition:
        return Comparison(">=", self, expression(other))

    def __lt__(self, other: Expression | Number) -> Condition:
        return Comparison("<", self, expression(other))

    def __le__(self, other: Expression | Number) -> Condition:
        return Comparison("<=", self, expression(other))


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
            "a condition has no truth of its own while a rule is read; combine conditions with & | ~, not and, or, not"
        )


@dataclass(frozen=True, eq=False)
class Constant(Expression):
    """A number that the rule brings."""

    value: Fraction

    @property
    def whole(self) -> bool:
        return self.value.denominator == 1


@dataclass(frozen=True, eq=False)
class Amount(Expression):
    """The transaction's amount, or with `earlier` that of an earlier one."""

    earlier: bool = False


@dataclass(frozen=True, eq=False)
class Time(Expression):
    """The event time in seconds since 1970, with six decimals; of the transaction, or with `earlier` of an earlier
    one."""

    earlier: bool = False


@dataclass(frozen=True)
class Field:
    """A column that is no number to reckon with: card_type or merchant_id; of the transaction, or with `earlier` of an
    earlier one."""

    name: str
    earlier: bool = False

    def is_in(self, *values: str | int) -> Condition:
        """Whether it is one of the values; null is none of them. Raises TypeError for values of another type."""
        kind = str if self.name == "card_type" else int
        if not values or not all(type(value) is kind for value in values):
            raise TypeError(f"{self.name}.is_in{values}: it takes one or more {kind.__name__} values")
        return Membership(self.name, values, self.earlier)


@dataclass(frozen=True, eq=False)
class CardPoints(Expression):
    """A number per card type; 0 for one that the table does not name."""

    table: tuple[tuple[str, Fraction], ...]

    @property
    def whole(self) -> bool:
        return all(points.denominator == 1 for _, points in self.table)


@dataclass(frozen=True, eq=False)
class Arithmetic(Expression):
    """`left operator right` with + - * /."""

    operator: str
    left: Expression
    right: Expression

    @property
    def whole(self) -> bool:
        return self.operator != "/" and self.left.whole and self.right.whole


@dataclass(frozen=True, eq=False)
class Points(Expression):
    """`points` where the condition holds, else 0."""

    when: Condition
    points: Fraction

    @property
    def whole(self) -> bool:
        return self.points.denominator == 1


@dataclass(frozen=True, eq=False)
class Comparison(Condition):
    """`left relation right` with > >= < <=."""

    relation: str
    left: Expression
    right: Expression


@dataclass(frozen=True, eq=False)
class Membership(Condition):
    """The transaction's `field` is one of the values, or with `earlier` that of an earlier one."""

    field: str
    values: tuple[str | int, ...]
    earlier: bool = False


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


def expression(value: Expression | Number) -> Expression:
    """The value as an expression. Raises TypeError for a float, which is not exact."""
    return value if isinstance(value, Expression) else Constant(fraction(value))


def fraction(value: Number) -> Fraction:
    """The number as a fraction. Raises TypeError for a float, which is not exact."""
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a binary fraction, which is not exact; write Decimal('{value}')")
    return Fraction(value)
