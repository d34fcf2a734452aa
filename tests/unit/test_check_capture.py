"""Capture lost, doubled, disordered: the ledger against the topic."""

from __future__ import annotations

import json

import pytest

from fraudstream import canary
from fraudstream.check.capture import captured_changes, compare_capture, read_copies, read_ledger
from fraudstream.check.oracle import arrivals
from golden.topics import messages_of

AT = "2026-03-01T12:00:00"  # "+0" in the lines of a golden topic


def c(n, user=1, amount="10.00", kind="c", at=AT):
    return [kind, 100_000 + n, 1000 + user, amount, "VISA", 17, at]


def u(n, user=1, amount="20.00", at=AT):
    return c(n, user, amount, "u", at)


def d(n):
    return ["d", 100_000 + n]


@pytest.fixture
def compared(tmp_path):
    def compare(transactions, topic, copies=(), outcome="committed"):
        ledger = tmp_path / "ledger.jsonl"
        lines = [{"outcome": outcome, "changes": changes, "at": 1.0} for changes in transactions]
        ledger.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"outcome": "comm')
        read = arrivals(messages_of(topic, 1), 262_144)
        return compare_capture(read_ledger(ledger), captured_changes(read, set(copies)))

    return compare


def test_the_same_changes_are_neither_lost_nor_doubled(compared):
    topic = "c 1..2 u1 10.00 +0/0\nu 1 u1 20.00 +0\nd 2 u1 10.00 +0"
    assert compared([[c(1), c(2)], [u(1)], [d(2)]], topic) == ({"lost": 0, "doubled": 0}, [])


def test_a_committed_change_that_the_topic_has_not_is_lost(compared):
    figures, failures = compared([[c(1), c(2)]], "c 1 u1 10.00 +0")
    assert figures == {"lost": 1, "doubled": 0}
    assert failures == ["capture: 1 committed changes are not in the topic (ids 100002)"]


def test_a_change_that_the_topic_has_twice_is_doubled(compared):
    figures, failures = compared([[c(1)]], "c 1 u1 10.00 +0\ncopy 1")
    assert figures == {"lost": 0, "doubled": 1}
    assert "not that often (ids 100001)" in failures[0]


def test_a_copy_that_the_check_injected_does_not_count(compared):
    assert compared([[c(1)]], "c 1 u1 10.00 +0\ncopy 1", copies=[(0, 1)])[0]["doubled"] == 0


def test_a_canary_is_in_no_ledger_and_counts_nowhere(compared, monkeypatch):
    monkeypatch.setattr(canary, "USER", 1002)
    topic = "c 1 u1 10.00 +0\nc 2 u2 10.00 +0"
    assert compared([[c(1)]], topic) == ({"lost": 0, "doubled": 0}, [])


def test_a_change_with_other_values_is_lost_and_doubled(compared):
    assert compared([[c(1, amount="10.01")]], "c 1 u1 10.00 +0")[0] == {"lost": 1, "doubled": 1}


def test_both_halves_of_a_key_change_are_one_update(compared):
    topic = "c 1 u1 10.00 +0\nmove 1 u1>u2 20.00 +0 p0>p1 was=10.00"
    assert compared([[c(1)], [u(1, user=2)]], topic) == ({"lost": 0, "doubled": 0}, [])


def test_one_half_of_a_key_change_is_torn(tmp_path):
    halves = list(arrivals(messages_of("move 1 u1>u2 20.00 +0 p0>p1", 1), 262_144))
    assert captured_changes(halves, set()).torn == []
    assert captured_changes(halves[1:], set()).torn == [100_001]


def test_changes_of_a_row_in_another_order_are_a_failure(compared):
    figures, failures = compared([[c(1)], [u(1, amount="20.00")], [u(1, amount="30.00")]],
                                 "c 1 u1 10.00 +0\nu 1 u1 30.00 +0\nu 1 u1 20.00 +0")  # fmt: skip
    assert figures == {"lost": 0, "doubled": 0}
    assert "another order" in failures[0]


def test_an_unconfirmed_transaction_may_be_there_or_not(compared):
    assert compared([[c(1)]], "", outcome="unknown") == ({"lost": 0, "doubled": 0}, [])
    assert compared([[c(1)]], "c 1 u1 10.00 +0", outcome="unknown") == ({"lost": 0, "doubled": 0}, [])
    assert compared([[c(1)]], "c 1 u1 10.00 +0\ncopy 1", outcome="unknown")[0]["doubled"] == 1


def test_a_snapshot_row_stands_for_the_operations_before_it(compared):
    transactions = [[c(1)], [u(1, amount="20.00")], [u(1, amount="30.00")]]
    assert compared(transactions, "r 1 u1 20.00 +0\nu 1 u1 30.00 +0") == ({"lost": 0, "doubled": 0}, [])
    assert compared(transactions, "r 1 u1 20.00 +0\nu 1 u1 40.00 +0")[0] == {"lost": 1, "doubled": 1}


def test_null_nan_and_microseconds_compare_as_the_row_has_them(compared):
    transactions = [[c(1, amount="NaN"), c(2, amount=None), c(3, at=None), c(4, at="2026-03-01T12:00:00.000001")]]
    topic = "c 1 u1 NaN +0\nc 2 u1 null +0\nc 3 u1 10.00 null\nc 4 u1 10.00 +0.000001"
    assert compared(transactions, topic) == ({"lost": 0, "doubled": 0}, [])


def test_a_truncate_is_counted(compared):
    assert compared([[["t"]]], "t") == ({"lost": 0, "doubled": 0}, [])
    assert compared([[["t"]]], "")[0]["lost"] == 1


def test_committed_operations_are_counted_by_kind(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps({"outcome": "committed", "changes": [c(1), c(2), u(1), d(2)], "at": 1.0}) + "\n")
    assert read_ledger(path).counts == {"inserts": 2, "updates": 1, "deletes": 1}


def test_no_log_of_copies_means_none(tmp_path):
    assert read_copies(None) == read_copies(tmp_path / "none.jsonl") == set()
