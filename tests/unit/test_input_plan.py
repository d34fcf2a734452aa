"""Rows cut into database transactions, and rows chosen to update and delete."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from fraudstream.input.plan import REACH, Cut, steps
from fraudstream.input.rows import make_rows


def numbered(size):
    """Blocks of rows whose merchant is their number."""
    begin = 0
    while True:
        number = np.arange(begin, begin + size)
        yield make_rows(1 + number % 7, 100, 0, number)
        begin += size


def numbers(transactions):
    return [number for each in transactions for number in each.inserts["merchant_id"].tolist()]


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_rows_come_whole_and_in_order_whatever_the_size_of_the_blocks(size):
    found = list(steps(numbered(size), Cut(batch_size=30, rows=100), 0))
    assert numbers(each for step in found for each in step) == list(range(100))
    assert [len(step[0].inserts) for step in found] == [30, 30, 30, 10]


def test_of_transactions_open_together_the_last_holds_the_earlier_rows_as_it_commits_first():
    found = list(steps(numbered(10), Cut(batch_size=10, rows=1000, mixed=True), 0))
    assert {len(step) for step in found} == {1, 2}
    assert numbers(each for step in found for each in reversed(step)) == list(range(1000))


def test_ordinals_count_the_inserts_in_the_order_of_the_plan():
    expected = 0
    for step in islice(steps(numbered(10), Cut(batch_size=10, mixed=True), 0), 100):
        for each in step:
            assert each.first == expected
            expected += len(each.inserts)


@pytest.mark.parametrize("mixed", [False, True])
def test_updates_and_deletes_name_earlier_rows_that_are_not_deleted_each_once_in_a_step(mixed):
    cut = Cut(batch_size=100, update_share=0.3, delete_share=0.2, mixed=mixed)
    deleted: set[int] = set()
    changed = 0
    for step in islice(steps(numbered(100), cut, 0), 300):
        begin = step[0].first
        targets = [n for each in step for n in (*each.updated.tolist(), *each.deleted.tolist())]
        assert len(set(targets)) == len(targets)
        assert all(0 <= n < begin and n >= begin - REACH for n in targets)
        assert not deleted & set(targets)
        deleted.update(n for each in step for n in each.deleted.tolist())
        changed += len(targets)
    assert changed > 5000


def test_updates_and_deletes_come_in_the_shares_asked_for():
    cut = Cut(batch_size=1000, update_share=0.02, delete_share=0.005)
    found = [each for step in islice(steps(numbered(1000), cut, 0), 100) for each in step]
    assert 1800 < sum(len(each.updated) for each in found) < 2200
    assert 400 < sum(len(each.deleted) for each in found) < 600


def test_without_shares_nothing_is_updated_or_deleted():
    found = [each for step in islice(steps(numbered(100), Cut(batch_size=100), 0), 50) for each in step]
    assert all(each.changes() == len(each.inserts) for each in found)
