"""Exact arithmetic on columns: fractions of integers, so that no rounding ever decides an alert."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Integers = np.ndarray[Any, Any]
_SAFE = 2**62


@dataclass(frozen=True)
class Exact:
    """A column of fractions `num / den`, den >= 0; den = 0 is null. The arrays are int64, or Python integers (dtype
    object) where int64 could overflow."""

    num: Integers
    den: Integers

    def add(self, other: Exact, sign: int = 1) -> Exact:
        """self + sign * other."""
        left, right = multiply(self.num, other.den), multiply(other.num, self.den)
        return Exact(_sum(left, right if sign > 0 else -right), multiply(self.den, other.den))

    def times(self, other: Exact) -> Exact:
        """self * other."""
        return Exact(multiply(self.num, other.num), multiply(self.den, other.den))

    def over(self, other: Exact) -> Exact:
        """self / other; null where other is 0."""
        sign = np.where(other.num < 0, -1, 1)
        return Exact(multiply(multiply(self.num, other.den), sign), multiply(self.den, abs(other.num)))

    def compare(self, relation: Callable[[Any, Any], Any], other: Exact) -> Integers:
        """Where the relation (operator.gt ...) holds; a comparison with null does not."""
        holds = relation(multiply(self.num, other.den), multiply(other.num, self.den))
        result: Integers = holds.astype(bool) & (self.den != 0).astype(bool) & (other.den != 0).astype(bool)
        return result

    def at(self, row: int) -> Fraction | None:
        """The value of one row."""
        den = int(self.den[row])
        return Fraction(int(self.num[row]), den) if den else None


def constant(value: Fraction, rows: int) -> Exact:
    """A column of one value."""
    return Exact(_filled(value.numerator, rows), _filled(value.denominator, rows))


def integers(values: Integers, den: int = 1) -> Exact:
    """Whole numbers, or parts of `den`, as a column."""
    return Exact(values, _filled(den, len(values)))


def is_over_sigmas(amount: Exact, count: Integers, total: Integers, squares: Integers, factor: Fraction) -> Integers:
    """Where amount > mean + factor * population standard deviation of a window, decided in exact integer squares.

    `count`, `total` and `squares` (sum of squares) are those of the window's whole numbers, `amount` a column of whole
    numbers (den 1); factor >= 0. With e = amount * n - total the condition is e > 0 and
    e^2 * den(factor)^2 > num(factor)^2 * (n * squares - total^2). False for an empty window.
    """
    excess = _sum(multiply(amount.num, count), -total)
    spread = _sum(multiply(squares, count), -multiply(total, total))
    rows = len(count)
    left = multiply(multiply(excess, excess), _filled(factor.denominator**2, rows))
    right = multiply(spread, _filled(factor.numerator**2, rows))
    result: Integers = (excess > 0).astype(bool) & (left > right).astype(bool) & (count > 0)
    return result


def multiply(left: Integers, right: Integers) -> Integers:
    """Product of integer arrays, in Python integers where int64 could overflow."""
    if _largest(left) * _largest(right) >= _SAFE:
        left, right = left.astype(object), right.astype(object)
    product: Integers = operator.mul(left, right)
    return product


def prefix_sums(values: Integers) -> Integers:
    """Sums of the first 0, 1, ... len(values) values."""
    if _largest(values) * max(1, len(values)) >= _SAFE:
        values = values.astype(object)
    sums = np.zeros(len(values) + 1, dtype=values.dtype)
    np.cumsum(values, out=sums[1:])
    return sums


def _sum(left: Integers, right: Integers) -> Integers:
    if _largest(left) + _largest(right) >= _SAFE:
        left, right = left.astype(object), right.astype(object)
    total: Integers = operator.add(left, right)
    return total


def _largest(values: Integers) -> int:
    """Greatest magnitude in the array, as a Python integer."""
    if not len(values):
        return 0
    return max(abs(int(values.max())), abs(int(values.min())))


def _filled(value: int, rows: int) -> Integers:
    return np.full(rows, value, dtype=np.int64 if abs(value) < _SAFE else object)
