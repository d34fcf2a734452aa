from __future__ import annotations

import operator
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.rulebook.exact import Exact, constant, multiply, prefix_sums, sign_of

HUGE = st.integers(-(10**14), 10**14)


def column(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.lists(st.tuples(HUGE, HUGE), min_size=1, max_size=5))
def test_products_and_sums_are_exact_beyond_64_bits(pairs):
    left, right = (column(*side) for side in zip(*pairs, strict=True))
    assert multiply(left, right).tolist() == [a * b for a, b in pairs]
    squares = multiply(left, left)
    assert prefix_sums(squares).tolist() == [sum(a * a for a, _ in pairs[:n]) for n in range(len(pairs) + 1)]


fractions = st.tuples(HUGE, st.one_of(st.none(), st.integers(0, 10**6)), st.sampled_from([1, 100, 300, 10**4]))


def exact(num: int, den: int | None, unit: int) -> tuple[Exact, Fraction | None]:
    """The same number as a column and as Python's own fraction; None is null."""
    whole = Exact(column(num), None if den is None else column(den), unit)
    return whole, None if den == 0 else Fraction(num, (1 if den is None else den) * unit)


@given(fractions, fractions)
def test_arithmetic_on_fractions_is_exact_and_of_null_is_null(first, second):
    (left, a), (right, b) = exact(*first), exact(*second)
    if a is None or b is None:
        assert [left.add(right).at(0), left.times(right).at(0), left.over(right).at(0)] == [None] * 3
        return
    assert left.add(right).at(0) == a + b
    assert left.add(right, -1).at(0) == a - b
    assert left.times(right).at(0) == a * b
    assert left.over(right).at(0) == (a / b if b else None)
    for relation in (operator.gt, operator.ge, operator.lt, operator.le):
        assert left.compare(relation, right).tolist() == [relation(a, b)]


def test_what_is_divided_by_nothing_is_null_in_the_next_division_too():
    one, zero = constant(Fraction(1), 1), constant(Fraction(0), 1)
    assert one.over(one.over(zero)).at(0) is None


@given(fractions, fractions)
def test_equal_denominators_are_seen_through(first, second):
    (left, a), (right, b) = exact(*first), exact(second[0], first[1], second[2])
    if a is not None and b is not None:
        assert left.add(right).at(0) == a + b
        assert left.compare(operator.ge, right).tolist() == [a >= b]


def test_a_comparison_with_null_does_not_hold():
    null = Exact(column(0), column(0))
    for relation in (operator.gt, operator.ge, operator.lt, operator.le):
        assert not constant(Fraction(1), 1).compare(relation, null).any()
        assert not null.compare(relation, constant(Fraction(1), 1)).any()


def test_a_null_denominator_does_not_hide_a_true_relation():
    # -1/1 > x/0 becomes -1 * 0 > x * 1 when cross-multiplied: true for x = -5, and still no answer.
    assert not Exact(column(-1)).compare(operator.gt, Exact(column(-5), column(0))).any()


@given(st.integers(-20, 20), st.integers(1, 3), st.integers(-4, 4), st.integers(0, 30), st.integers(1, 3))
def test_the_sign_of_a_sum_with_a_root_is_exact(num, den, factor, variance, unit):
    rest, by = Fraction(num, den), Fraction(factor, 2)
    found = sign_of(Exact(column(num), column(den)), by, Exact(column(variance), None, unit)).at(0)
    square = by * abs(by) * Fraction(variance, unit)  # of factor * root, with its sign
    negated = -rest * abs(rest)
    assert found == (square > negated) - (square < negated)


def test_a_tie_with_a_root_is_a_tie_with_numbers_of_any_size():
    # -3 + 1.5 * sqrt(4), in units of 10^13.
    unit = 10**13
    root = Exact(column(4).astype(object) * unit**2)
    for cents, sign in ((-3 * unit - 1, -1), (-3 * unit, 0), (-3 * unit + 1, 1)):
        assert sign_of(Exact(column(cents)), Fraction(3, 2), root).at(0) == sign
    assert sign_of(Exact(column(1)), Fraction(1), Exact(column(0), column(0))).at(0) is None
