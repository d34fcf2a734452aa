from __future__ import annotations

import operator
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.rulebook.exact import Exact, constant, integers, is_over_sigmas, multiply, prefix_sums

HUGE = st.integers(-(10**14), 10**14)


def column(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.lists(st.tuples(HUGE, HUGE), min_size=1, max_size=5))
def test_products_and_sums_are_exact_beyond_64_bits(pairs):
    left, right = (column(*side) for side in zip(*pairs, strict=True))
    assert multiply(left, right).tolist() == [a * b for a, b in pairs]
    squares = multiply(left, left)
    assert prefix_sums(squares).tolist() == [sum(a * a for a, _ in pairs[:n]) for n in range(len(pairs) + 1)]


@given(HUGE, st.integers(1, 10**6), HUGE, st.integers(1, 10**6))
def test_arithmetic_on_fractions_is_exact(a, b, c, d):
    left, right = Exact(column(a), column(b)), Exact(column(c), column(d))
    assert left.add(right).at(0) == Fraction(a, b) + Fraction(c, d)
    assert left.add(right, -1).at(0) == Fraction(a, b) - Fraction(c, d)
    assert left.times(right).at(0) == Fraction(a, b) * Fraction(c, d)
    assert left.over(right).at(0) == (Fraction(a, b) / Fraction(c, d) if c else None)
    assert left.compare(operator.gt, right).tolist() == [Fraction(a, b) > Fraction(c, d)]


def test_a_comparison_with_null_does_not_hold():
    null = Exact(column(0), column(0))
    for relation in (operator.gt, operator.ge, operator.lt, operator.le):
        assert not constant(Fraction(1), 1).compare(relation, null).any()
        assert not null.compare(relation, constant(Fraction(1), 1)).any()


def test_a_null_denominator_does_not_hide_a_true_relation():
    # -1/1 > x/0 becomes -1 * 0 > x * 1 when cross-multiplied: true for x = -5, and still no answer.
    assert not integers(column(-1)).compare(operator.gt, Exact(column(-5), column(0))).any()


def test_exactly_mean_plus_sigmas_is_not_over():
    # 2 and 4: mean 3, standard deviation 1.
    two_and_four = {"count": column(2), "total": column(6), "squares": column(20)}
    assert is_over_sigmas(integers(column(6)), **two_and_four, factor=Fraction(3)).tolist() == [False]
    assert is_over_sigmas(integers(column(7)), **two_and_four, factor=Fraction(3)).tolist() == [True]
    assert is_over_sigmas(integers(column(-9)), **two_and_four, factor=Fraction(3)).tolist() == [False]
    assert not is_over_sigmas(integers(column(9)), column(0), column(0), column(0), Fraction(3)).any()
