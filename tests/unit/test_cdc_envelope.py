"""The plain reader over messages captured from the real connector."""

from __future__ import annotations

import pytest

from fixtures.expected import EXPECTED, Captured, Said, captured
from fraudstream.cdc.envelope import UnreadableMessage, entry, read_change_event

CASES = [
    pytest.param(message, said, id=f"{form}-{number}")
    for form, expected in EXPECTED.items()
    for number, (message, said) in enumerate(zip(captured(form), expected, strict=True))
]


def _said(message: Captured) -> Said:
    try:
        event = read_change_event(message.value, message.headers)
    except UnreadableMessage as error:
        return Said("", "unreadable", reason=error.reason)
    row, before = event.row, event.before
    fields = (row.id, row.user_id, row.cents, row.card_type, row.merchant_id, row.created_at) if row else None
    old = (before.id, before.user_id) if before else None
    return Said(event.op, entry(event), fields, old, event.moved, event.snapshot)


@pytest.mark.parametrize(("message", "said"), CASES)
def test_a_captured_message_says_what_its_sql_did(message, said):
    assert _said(message) == said


@pytest.mark.parametrize("form", ["transactions", "exercise", "precise_schema", "flat"])
def test_changes_carry_their_place_and_times(form):
    events = [read_change_event(message.value, message.headers) for message in captured(form)]
    changes = [event for event in events if event.op in "crudt" and event.snapshot != "incremental"]
    assert all(event.lsn > 0 and event.tx_id > 0 for event in changes)
    assert all(0 < event.committed_ms <= event.captured_ms for event in changes)
    streamed = [event.lsn for event in changes if event.op != "r"]
    assert streamed == sorted(streamed)


def test_rows_of_a_copy_share_their_transaction():
    events = [read_change_event(m.value, m.headers) for m in captured("transactions") if m.sql.startswith("COPY")]
    assert [event.row.id for event in events] == [12, 13]
    assert len({event.tx_id for event in events}) == 1


def test_an_update_shows_the_row_before_it():
    (event,) = [
        read_change_event(m.value, m.headers)
        for m in captured("transactions")
        if m.sql.startswith("UPDATE") and b"-0.01" in m.value
    ]
    assert (event.before.cents, event.row.cents) == (123410, -1)


def test_a_flattened_change_is_captured_when_it_was_committed():
    event = read_change_event(captured("flat")[1].value)
    assert event.captured_ms == event.committed_ms
