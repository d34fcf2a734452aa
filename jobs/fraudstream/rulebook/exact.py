"""Exact arithmetic on columns: fractions of integers, so that no rounding ever decides an alert."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Integers = np.ndarray[Any, Any]
NULL = int(np.iinfo(np.int64).min)  # stands for null in integer columns
_SAFE = 2**62


@dataclass(frozen=True)
class Exact:
    """A column of fractions `num / (den * unit)`. `den` is None for 1 everywhere, else >= 0, where 0 makes a null;
    `unit` > 0 is all rows' (cents: 100). The arrays are int64, or Python integers (dtype object) where int64 could
    overflow."""

    num: Integers
    den: Integers | None = None
    unit: int = 1

    def add(self, other: Exact, sign: int = 1) -> Exact:
        """self + sign * other."""
        left, right, unit = _same_unit(self, other)
        if not _are_equal(self.den, other.den):
            left, right = _product(left, other.den), _product(right, self.den)
            return Exact(_sum(left, right if sign > 0 else -right), _product_of(self.den, other.den), unit)
        return Exact(_sum(left, right if sign > 0 else -right), self.den, unit)

    def times(self, other: Exact) -> Exact:
        """self * other."""
        return Exact(multiply(self.num, other.num), _product_of(self.den, other.den), self.unit * other.unit)

    def over(self, other: Exact) -> Exact:
        """self / other; null where other is 0."""
        common = math.gcd(self.unit, other.unit)
        num = _product(_scaled(self.num, other.unit // common), other.den)
        den = _product(abs(other.num) if other.den is None else abs(other.num) * (other.den != 0), self.den)
        return Exact(multiply(num, np.where(other.num < 0, -1, 1)), den, self.unit // common)

    def compare(self, relation: Callable[[Any, Any], Any], other: Exact) -> Integers:
        """Where the relation (operator.gt ...) holds; a comparison with null does not."""
        left, right, _ = _same_unit(self, other)
        if not _are_equal(self.den, other.den):
            left, right = _product(left, other.den), _product(right, self.den)
        result: Integers = relation(left, right).astype(bool)
        for den in (self.den, other.den):
            if den is not None:
                result &= (den != 0).astype(bool)
        return result

    def at(self, row: int) -> Fraction | None:
        """The value of one row."""
        den = 1 if self.den is None else int(self.den[row])
        return Fraction(int(self.num[row]), den * self.unit) if den else None


def constant(value: Fraction, rows: int) -> Exact:
    """A column of one value."""
    return Exact(_filled(value.numerator, rows), None, value.denominator)


def sign_of(rest: Exact, factor: Fraction, variance: Exact) -> Exact:
    """The sign (-1, 0, 1) of `rest + factor * sqrt(variance)`, decided in squares; null where the variance is."""
    first, second = _signs(rest.num), _signs(variance.num) * ((factor > 0) - (factor < 0))
    squares = variance.times(constant(factor**2, len(rest.num)))
    larger = _signs(rest.times(rest).add(squares, -1).num)
    signs = np.where(first * second >= 0, np.where(first == 0, second, first), first * larger)
    dens = _product_of(rest.den, variance.den)
    return Exact(signs, None if dens is None else (dens != 0).astype(np.int64))


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


def _product(values: Integers, den: Integers | None) -> Integers:
    return values if den is None else multiply(values, den)


def _product_of(left: Integers | None, right: Integers | None) -> Integers | None:
    return right if left is None else _product(left, right)


def _are_equal(left: Integers | None, right: Integers | None) -> bool:
    """Whether two denominators are the same, and no cross-multiplication is needed: it makes numbers large."""
    if left is None or right is None:
        return left is right
    return left is right or np.array_equal(left, right)


def _same_unit(left: Exact, right: Exact) -> tuple[Integers, Integers, int]:
    unit = math.lcm(left.unit, right.unit)
    return _scaled(left.num, unit // left.unit), _scaled(right.num, unit // right.unit), unit


def _scaled(values: Integers, factor: int) -> Integers:
    return values if factor == 1 else multiply(values, _filled(factor, len(values)))


def _signs(values: Integers) -> Integers:
    signs: Integers = (values > 0).astype(np.int64) - (values < 0).astype(np.int64)
    return signs


def _largest(values: Integers) -> int:
    """Greatest magnitude in the array, as a Python integer."""
    if not len(values):
        return 0
    return max(abs(int(values.max())), abs(int(values.min())))


def _filled(value: int, rows: int) -> Integers:
    return np.broadcast_to(np.array(value, dtype=np.int64 if abs(value) < _SAFE else object), rows)
