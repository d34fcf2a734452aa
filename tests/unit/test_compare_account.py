"""What readers saw against the ledger, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fraudstream.compare import cell, database
from fraudstream.compare.account import Seen, account, cents, changes_of
from fraudstream.compare.grid import BASE
from fraudstream.compare.outage import recovery
from fraudstream.compare.sightings import Sightings, read_sightings
from fraudstream.input.ledger import LedgerTransaction


def row(op: str, number: int, amount: str) -> list[object]:
    return [op, number, 1000, amount, "VISA", 1, "2026-01-01T00:00:00.000000"]


# Row 2's transaction took its id before row 3's and was committed after it; row 1 changes twice, row 3 goes.
LEDGER = [
    LedgerTransaction("committed", [row("c", 1, "1.00")], 10.0),
    LedgerTransaction("committed", [row("c", 3, "3.00")], 11.0),
    LedgerTransaction("committed", [row("c", 2, "2.00")], 12.0),
    LedgerTransaction("committed", [row("u", 1, "1.01")], 13.0),
    LedgerTransaction("committed", [row("u", 1, "1.02")], 14.0),
    LedgerTransaction("committed", [["d", 3]], 15.0),
]
ALL = [
    Seen(10.1, "c", 1, 100), Seen(11.1, "c", 3, 300), Seen(12.1, "c", 2, 200), Seen(13.1, "u", 1, 101),
    Seen(14.1, "u", 1, 102), Seen(15.1, "d", 3, None),
]  # fmt: skip


def test_changes_are_told_apart_by_kind_order_and_whether_they_last():
    found = changes_of(LEDGER)
    assert [(change.kind, change.id, change.value, change.final) for change in found] == [
        ("insert", 1, 100, False),
        ("insert", 3, 300, False),
        ("insert_out_of_order", 2, 200, True),
        ("update", 1, 101, False),
        ("update", 1, 102, True),
        ("delete", 3, None, True),
    ]


def test_rows_of_one_transaction_are_in_order_whatever_their_ids():
    found = changes_of([LedgerTransaction("committed", [row("c", 8, "1.00"), row("c", 7, "2.00")], 1.0)])
    assert [change.kind for change in found] == ["insert", "insert"]


def test_who_saw_every_change_missed_nothing_and_has_the_table():
    found = account(changes_of(LEDGER), ALL, late_after_s=1.0)
    assert (found.missed_in_all, found.wrong_rows, found.late, found.repeated, found.unknown) == (0, 0, 0, 0, 0)
    assert found.freshness_s == pytest.approx([0.1] * 6)
    assert found.committed == {"insert": 2, "insert_out_of_order": 1, "update": 2, "delete": 1}


def test_a_poller_by_id_misses_late_ids_updates_and_deletes():
    # Polls at 11.5 (rows 1 and 3) and 16 (nothing has an id above 3).
    found = account(changes_of(LEDGER), [Seen(11.5, "s", 1, 100), Seen(11.5, "s", 3, 300)], late_after_s=1.0)
    assert found.missed == {"insert": 0, "insert_out_of_order": 1, "update": 2, "delete": 1}
    assert found.missed_intermediate == 1  # 1.01; 1.02 stays, and 2.00 was not overwritten
    assert found.late == 1  # row 1, after 1.5 s
    assert found.freshness_s == pytest.approx([1.5, 0.5])
    assert (found.lacking_rows, found.stale_rows, found.ghost_rows) == (1, 1, 1)


def test_a_poller_by_time_that_comes_at_the_end_sees_the_last_states_alone():
    found = account(changes_of(LEDGER), [Seen(16.0, "s", 2, 200), Seen(16.0, "s", 1, 102)], late_after_s=10.0)
    assert found.missed == {"insert": 2, "insert_out_of_order": 0, "update": 1, "delete": 1}
    assert found.missed_intermediate == 3  # 1.00, 3.00 and 1.01
    assert found.wrong_rows == 0  # it never had row 3


def test_a_row_that_was_there_before_is_stale_or_a_ghost_when_its_change_is_not_seen():
    ledger = [
        LedgerTransaction("committed", [row("u", 1, "9.00")], 1.0),
        LedgerTransaction("committed", [["d", 2]], 2.0),
        LedgerTransaction("committed", [["d", 3]], 3.0),
    ]
    found = account(changes_of(ledger), [Seen(3.1, "d", 3, None)], late_after_s=1.0)
    assert (found.lacking_rows, found.stale_rows, found.ghost_rows) == (0, 1, 1)


def test_what_comes_twice_is_repeated_and_what_was_never_committed_is_unknown():
    found = account(changes_of(LEDGER), [*ALL, ALL[0]._replace(at=20.0), Seen(16.0, "c", 99, 1)], late_after_s=1.0)
    assert (found.repeated, found.unknown, found.missed_in_all) == (1, 1, 0)
    assert found.freshness_s == pytest.approx([0.1] * 6)  # the first sighting counts


@pytest.mark.parametrize(("text", "expected"), [("12.34", 1234), ("0.29", 29), ("99999999.99", 9999999999)])
def test_cents_are_exact(text, expected):
    assert cents(text) == expected


def test_recovery_counts_from_the_new_start_and_leaves_out_what_is_never_seen():
    changes = changes_of(LEDGER)
    seen = [ALL[0], Seen(14.5, "c", 2, 200), Seen(15.5, "u", 1, 101), Seen(17.0, "d", 3, None)]
    # New start at 14.2: rows 2 (seen 0.3 s later) and 1 (1.3 s) were committed before it, the delete after it.
    assert recovery(changes, seen, 14.2) == {"first_s": pytest.approx(0.3), "catch_up_s": pytest.approx(1.3)}
    assert recovery(changes, [ALL[0]], 14.2) == {"first_s": None, "catch_up_s": None}


def test_sightings_come_back_from_their_file(tmp_path):
    kept = Sightings()
    kept.add(1.5, "c", 7, 1234)
    kept.add(2.25, "d", 7, None)
    kept.write(tmp_path / "seen.csv")
    assert read_sightings(tmp_path / "seen.csv") == [Seen(1.5, "c", 7, 1234), Seen(2.25, "d", 7, None)]


@pytest.mark.parametrize(
    ("table", "seen", "said"),
    [
        ({1: 102, 2: 200, 4: 5}, ALL, []),
        ({1: 101, 2: 200, 4: 5}, ALL, ["the ledger and PostgreSQL differ in 1 rows"]),
        ({1: 102, 2: 200, 3: 300, 4: 5}, ALL, ["the ledger and PostgreSQL differ in 1 rows"]),
        ({1: 102, 2: 200, 9: 1, 4: 5}, ALL, ["the ledger and PostgreSQL differ in 1 rows"]),
        ({1: 102, 2: 200, 4: 5}, ALL[:-1], ["cdc missed 1 changes", "cdc's copy of the table is wrong in 1 rows"]),
        (
            {1: 102, 2: 200, 4: 5},
            [*ALL, Seen(1.0, "c", 1, 7)],
            ["cdc saw 1 changes that were never committed", "cdc's copy of the table is wrong in 1 rows"],
        ),
    ],
)
def test_what_must_be_equal_is_compared_row_by_row(monkeypatch, table, seen, said):
    # Rows 4 and below were there before; row 4 is never touched.
    monkeypatch.setattr(database, "table_values", lambda settings, name: table)
    changes = changes_of(LEDGER)
    accounts = {"poll_id": [account(changes, [], 1.0)], "cdc": [account(changes, seen, 1.0)]}
    found = cell._unequal(None, replace(BASE, table_rows=4), "t", changes, accounts)
    assert found == said
