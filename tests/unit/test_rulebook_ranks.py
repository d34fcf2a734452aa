from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.rulebook.ranks import at_least

NUMBERS = st.integers(0, 40)


@given(
    st.lists(NUMBERS, max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), NUMBERS), max_size=20)
)
def test_parts_are_counted_as_one_by_one(values, parts):
    cut = [(min(a, len(values)), min(b, len(values)), bound) for a, b, bound in parts]
    cut = [(min(a, b), max(a, b), bound) for a, b, bound in cut]
    columns = [np.array([part[n] for part in cut], dtype=np.int64) for n in range(3)]
    expected = [sum(value >= bound for value in values[start:end]) for start, end, bound in cut]
    assert at_least(np.array(values, dtype=np.int64), *columns).tolist() == expected
