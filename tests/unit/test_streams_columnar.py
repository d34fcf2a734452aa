"""The columnar source's plans, and the rows of a bucket as one value."""

from __future__ import annotations

import sys
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.errors import GuardError
from fraudstream.rulebook.payload import NULL
from fraudstream.streams.columnar.offsets import limited, ranges, require_growth
from fraudstream.streams.columnar.pack import COLUMNS, pack, pack_buckets, unpack

TEXTS = [None, "VISA", "Näme"]
_NUMBERS = st.one_of(st.just(NULL), st.just(5), st.integers(-(2**63), 2**63 - 1), st.integers(0, 300))
_OTHERS = [name for name in COLUMNS if name not in ("judge", "card_type")]


@st.composite
def columns(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Rows in the form of a block."""
    rows = draw(st.integers(0, 12))
    found = {name: np.array(draw(st.lists(_NUMBERS, min_size=rows, max_size=rows)), np.int64) for name in _OTHERS}
    found["judge"] = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), bool)
    found["card_type"] = np.array(draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)), np.int64)
    return found


def rows_of(batch) -> list[tuple]:
    """The rows as Python values."""
    return list(zip(*(batch[name].tolist() for name in ("partition", *COLUMNS)), strict=True))


@given(columns(), columns())
def test_packed_rows_come_back_as_they_were(first, second):
    found = unpack([pack(first, 3, TEXTS), pack(second, 4, TEXTS)])
    expected = [
        (partition, *(TEXTS[value] if name == "card_type" else value for name, value in zip(COLUMNS, row, strict=True)))
        for partition, part in ((3, first), (4, second))
        for row in zip(*(part[name].tolist() for name in COLUMNS), strict=True)
    ]
    assert rows_of(found) == expected
    assert all(found[name].dtype == np.int64 for name in _OTHERS)


def test_each_bucket_gets_its_rows_in_their_order():
    rows = {name: np.arange(6) for name in COLUMNS}
    rows["card_type"] = np.ones(6, np.int64)
    found = dict(pack_buckets(rows, 0, np.array([2, 0, 2, 5, 0, 2]), TEXTS))
    ids = {place: unpack([value])["id"].tolist() for place, value in found.items()}
    assert ids == {2: [0, 2, 5], 0: [1, 4], 5: [3]}
    assert dict(pack_buckets({name: np.zeros(0, np.int64) for name in COLUMNS}, 0, np.zeros(0, int), TEXTS)) == {}


@given(
    st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 50), st.integers(0, 10**6)), min_size=1),
    st.integers(1, 10**6),
)
def test_a_limited_batch_moves_on_in_every_partition_that_has_more(parts, most):
    start = {partition: first for partition, (first, _) in parts.items()}
    end = {partition: first + size for partition, (first, size) in parts.items()}
    found = limited(start, end, most)
    assert all(start[each] <= found[each] <= end[each] for each in parts)
    assert all(found[each] > start[each] for each in parts if end[each] > start[each])
    assert sum(found.values()) - sum(start.values()) <= most + len(parts)
    assert limited(start, end, sys.maxsize) == end


def test_partitions_that_are_new_begin_at_their_first_offset():
    assert limited({0: 5}, {0: 9, 1: 3}, 4 + 3) == {0: 9, 1: 3}
    ((only,),) = ranges("t", uuid.UUID(int=1), {}, {0: 9}, {0: 9, 1: 3}, 2)
    assert (only.partition, only.start, only.end) == (1, 0, 3)


@pytest.mark.parametrize("end", [{0: 4, 1: 9}, {1: 9}])
def test_a_partition_that_is_shorter_than_it_was_is_refused(end):
    with pytest.raises(GuardError, match="records-gone"):
        require_growth("t", {0: 5, 1: 9}, end)


def test_tasks_get_about_as_much_work_each():
    end = {0: 100_000, 1: 60_000, 2: 50_000, 3: 10_000, 4: 0}
    work = ranges("t", uuid.UUID(int=1), {0: ("one", 1)}, {}, end, 2)
    assert [[(part.partition, part.start, part.end) for part in parts] for parts in work] == [
        [(0, 0, 100_000), (3, 0, 10_000)], [(1, 0, 60_000), (2, 0, 50_000)],
    ]  # fmt: skip
    assert work[0][0].leader == ("one", 1)
    assert ranges("t", uuid.UUID(int=1), {}, end, end, 2) == []


@pytest.mark.parametrize(("records", "tasks"), [(1, 1), (2500, 1), (2501, 2), (7500, 3), (7501, 4), (50_000, 4)])
def test_a_batch_of_few_records_has_fewer_tasks_and_all_of_its_partitions(records, tasks):
    work = ranges("t", uuid.UUID(int=1), {}, {}, dict.fromkeys(range(4), records), 4)
    assert len(work) == tasks
    assert sorted(part.partition for parts in work for part in parts) == [0, 1, 2, 3]
