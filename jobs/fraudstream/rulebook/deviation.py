"""Standard deviations without rounding: what contains one is `rest + factor * std`, and a sign is found in squares."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.earlier import Aggregate, Window

Parts = tuple[e.Expression, Fraction, Window | None]
_ZERO = e.Constant(Fraction(0))
_MISPLACED = "a standard deviation may only be added, subtracted, and multiplied or divided by a number"


def split(expression: e.Expression) -> Parts:
    """The expression as `rest + factor * std(window)`; window None without a standard deviation.

    Raises ValueError where it has not that form.
    """
    match expression:
        case Aggregate(window, "std"):
            return _ZERO, Fraction(1), window
        case e.Arithmetic(operator, left, right):
            return _split_arithmetic(expression, operator, split(left), split(right))
    return expression, Fraction(0), None


def _split_arithmetic(whole: e.Expression, operator: str, left: Parts, right: Parts) -> Parts:
    if left[2] is None and right[2] is None:
        return whole, Fraction(0), None
    if operator in "+-":
        if left[2] and right[2] and left[2] != right[2]:
            raise ValueError(f"{_MISPLACED}; two windows have two, compare them one by one")
        factor = left[1] + (right[1] if operator == "+" else -right[1])
        return _sum(operator, left[0], right[0]), factor, left[2] or right[2]
    if operator == "*" and isinstance(left[0], e.Constant) and left[2] is None:
        left, right = right, left
    if isinstance(right[0], e.Constant) and right[2] is None and (operator == "*" or right[0].value):
        by = right[0].value if operator == "*" else 1 / right[0].value
        rest = left[0] if left[0] is _ZERO else e.Arithmetic("*", left[0], e.Constant(by))
        return rest, left[1] * by, left[2]
    raise ValueError(_MISPLACED)


def _sum(operator: str, left: e.Expression, right: e.Expression) -> e.Expression:
    if right is _ZERO:
        return left
    return right if left is _ZERO and operator == "+" else e.Arithmetic(operator, left, right)


def sign(rest: Fraction, factor: Fraction, variance: Fraction) -> int:
    """The sign of `rest + factor * sqrt(variance)`: -1, 0 or 1."""
    first, second = _sign(rest), _sign(factor * variance)
    if first * second >= 0:
        return first or second
    return first * _sign(rest**2 - factor**2 * variance)


def rounded(rest: Fraction, factor: Fraction, variance: Fraction) -> int:
    """`rest + factor * sqrt(variance)` rounded to a whole number, half up."""
    # floor(p/q + r) with r = +-sqrt(c) is floor((p + floor(r q)) / q), whose inner floor is a whole root.
    half_up = rest + Fraction(1, 2)
    square = factor**2 * variance * half_up.denominator**2
    root = isqrt(square.__floor__()) if factor >= 0 else -_ceiled_root(square)
    return (half_up.numerator + root) // half_up.denominator


def _ceiled_root(square: Fraction) -> int:
    return isqrt(square.__ceil__() - 1) + 1 if square else 0


def _sign(value: Fraction) -> int:
    return (value > 0) - (value < 0)
