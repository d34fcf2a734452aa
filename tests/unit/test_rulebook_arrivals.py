"""Which kept values are among those of a batch, by Python's own sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.rulebook.arrivals import among
from fraudstream.rulebook.kept import narrowed

SMALL = st.lists(st.integers(-300, 300), max_size=60)
# On both sides of the longest table.
WIDE = st.lists(st.sampled_from((-(2**63), -(2**31), -1, 0, 1, 127, 128, 2**22 - 1, 2**22, 2**31, 2**63 - 1)))


@pytest.mark.parametrize("numbers", [SMALL, WIDE], ids=["small", "wide"])
@given(data=st.data())
def test_among_is_to_be_in_the_set(numbers, data):
    values, wanted = data.draw(numbers), data.draw(numbers)
    kept = narrowed(np.array(values, dtype=np.int64))  # as a state has them
    assert among(kept, np.array(wanted, dtype=np.int64)).tolist() == [each in {*wanted} for each in values]
