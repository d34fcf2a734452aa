from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.rulebook.fold import fold
from fraudstream.rulebook.kept import Kept, narrowed, pack, unpack
from unit.histories import TOPIC, batch, row, rule_of

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(INT64, st.booleans(), st.lists(st.tuples(INT64, INT64), min_size=1, max_size=4)), max_size=9))
def test_what_is_packed_is_unpacked(users):
    rows = [each for _, _, rows in users for each in rows]
    ids, times = ([each[n] for each in rows] for n in range(2))
    columns = {"id": np.array(ids, dtype=np.int64), "created_at": np.array(times, dtype=np.int64)}
    lengths = np.array([len(rows) for _, _, rows in users], dtype=np.int64)
    kept = Kept(
        np.array([user for user, _, _ in users], dtype=np.int64),
        lengths,
        np.array([streamed for _, streamed, _ in users], dtype=bool),
        columns,
    )
    found = unpack(pack(kept), ("id", "created_at"))
    assert found.users.tolist() == kept.users.tolist()
    assert found.lengths.tolist() == kept.lengths.tolist()
    assert found.streamed.tolist() == kept.streamed.tolist()
    assert {name: column.tolist() for name, column in found.columns.items()} == {"id": ids, "created_at": times}


@pytest.mark.parametrize(
    ("values", "size"),
    [([-128, 127], 1), ([-129], 2), ([128], 2), ([32767], 2), ([32768], 4), ([2**31 - 1], 4), ([2**31], 8), ([], 1)],
)
def test_a_column_takes_the_fewest_bytes_that_hold_it(values, size):
    assert narrowed(np.array(values, dtype=np.int64)).itemsize == size
    assert narrowed(np.array(values, dtype=np.int64)).tolist() == values


def test_a_state_of_another_version_or_rule_is_refused():
    state = fold(rule_of("anomaly: {}"), None, batch([row(1, offset=1)]), TOPIC).state
    with pytest.raises(ValueError, match="a state of format 9, not 2"):
        unpack(b"\x09" + state[1:], ("id", "cents"))
    with pytest.raises(ValueError, match="a state of other columns than id, created_at"):
        fold(rule_of("velocity: {}"), state, batch([row(2, offset=2)]), TOPIC)


@pytest.mark.parametrize(("name", "most"), [("anomaly", 8.2), ("velocity", 12.2)])
def test_a_kept_row_takes_few_bytes(name, most):
    rows = [row(10_000_000 + n, 1000 + n % 4000, at=n, user=n % 100, offset=n) for n in range(6400)]
    state = fold(rule_of(f"{name}: {{}}"), None, batch(rows), TOPIC).state
    assert len(state) / len(rows) < most
