"""Blocks of records as columns: of every message what the plain reader says, whatever patterns were learned before."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import batches
from fixtures.expected import EXPECTED, captured
from fixtures.masks import key_file
from fixtures.mutations import spoiled
from fixtures.poison import GOOD, corpus, text
from fixtures.readers import Message, python_answer
from fraudstream.cdc.blocks import Patterns, read_block
from fraudstream.cdc.cards import Cards
from fraudstream.cdc.matching import ENTRIES
from fraudstream.cdc.shape import MAX_BYTES, MOVED_HEADERS
from fraudstream.masking import mask_of, masked_id
from fraudstream.rulebook.payload import NULL

FIELDS = ("id", "user_id", "cents", "merchant_id", "created_at", "lsn", "tx_id", "committed_ms", "captured_ms")
HEADERS = [("__debezium.context.connectorLogicalName", b"dbserver1"), ("__debezium.context.taskId", b"0")]


def envelope(number: int = 7, user: int = 1001, cents: int = 1234, card: Any = "VISA", **changes: Any) -> bytes:
    """An insert as the connector writes it, with all of its source."""
    source = {
        "version": "3.7.0.Final", "connector": "postgresql", "name": "dbserver1", "ts_ms": 1795420955575,
        "snapshot": None, "db": "mydb", "sequence": f'["{26687408 + number}","{26687592 + number}"]',
        "ts_us": 1795420955575863, "ts_ns": 1795420955575863000, "schema": "public", "table": "transactions",
        "txId": 800, "lsn": 26687592 + number, "xmin": None, "origin": None, "origin_lsn": None,
    }  # fmt: skip
    after = {
        "id": number, "user_id": user, "amount": f"{cents // 100}.{cents % 100:02}", "card_type": card,
        "merchant_id": 3, "created_at": 1795416111123456 + number,
    }  # fmt: skip
    event = {
        "before": None, "after": after, "source": source, "transaction": None, "op": "c",
        "ts_ms": 1795420956144, "ts_us": 1795420956144223, "ts_ns": 1795420956144223258,
    }  # fmt: skip
    return text({**event, **changes})


def said(messages: Sequence[Message], patterns: Patterns | None = None, max_bytes: int = MAX_BYTES) -> tuple[Any, Any]:
    """Counts and rows (offset -> judge, card, fields) of the block."""
    cards = Cards()
    records = batches.records_of([batches.Message(value, headers) for value, headers in messages])
    block = read_block(records, patterns or Patterns(), cards, max_bytes)
    columns = block.columns
    rows = zip(
        columns["offset"].tolist(), columns["judge"].tolist(), columns["card_type"].tolist(),
        *(columns[name].tolist() for name in FIELDS), strict=True,
    )  # fmt: skip
    return dict(block.counts), {offset: (judge, cards.texts[card], *row) for offset, judge, card, *row in rows}


def expected(messages: Sequence[Message], max_bytes: int = MAX_BYTES) -> tuple[Any, Any]:
    """The same by the plain reader."""
    counts = dict.fromkeys(ENTRIES, 0)
    rows = {}
    for offset, message in enumerate(messages):
        answer = python_answer(message, max_bytes)
        counts[answer["entry"]] += 1
        if answer["entry"] in ("judge", "history"):
            fields = (answer.get(name, NULL) for name in FIELDS)
            rows[offset] = (answer["entry"] == "judge", answer.get("card_type"), *fields)
    return counts, rows


def corpora() -> list[Message]:
    """Every captured and every poisonous message, and halves of key changes."""
    found: list[Message] = [(message.value, message.headers) for form in EXPECTED for message in captured(form)]
    found += [(poison.value, []) for poison in corpus()]
    found += [(value, [*HEADERS, (name, b"{}")]) for name in MOVED_HEADERS for value in (text(GOOD), envelope())]
    return found


def test_a_block_of_the_connectors_messages_is_read_by_one_pattern_but_for_its_first():
    messages: list[Message] = [
        (envelope(number, 1000 + number % 50, 10 ** (number % 8) * 7, ("VISA", "AMEX", "X")[number % 3]), HEADERS)
        for number in range(10, 99)
    ]
    patterns = Patterns()
    assert said(messages, patterns) == expected(messages)
    assert len(patterns.known) == 1
    assert said([*messages, *messages], patterns) == expected([*messages, *messages])
    assert len(patterns.known) == 1


@pytest.mark.parametrize("times", [1, 3])
def test_every_message_is_what_the_plain_reader_says(times):
    messages = [message for message in corpora() for _ in range(times)]
    assert said(messages) == expected(messages)


def test_patterns_of_other_messages_change_nothing():
    messages = corpora()
    mixed = messages * 2
    random.Random(1).shuffle(mixed)
    patterns = Patterns()
    for block in range(0, len(mixed), 50):
        part = mixed[block : block + 50]
        assert said(part, patterns) == expected(part)
    assert patterns.known


def test_spoiled_messages_are_what_the_plain_reader_says():
    patterns = learned()
    for number in range(2):
        messages = spoiled(2000, number)
        assert said(messages, patterns) == expected(messages)


def learned() -> Patterns:
    """Patterns of messages in the form that is spoiled below, and of captured ones."""
    patterns = Patterns()
    sound: list[Message] = [(envelope(number), HEADERS) for number in (7, 8)]
    sound += [(message.value, ()) for form in ("transactions", "flat") for message in captured(form) for _ in "12"]
    for start in range(0, len(sound), 6):
        said(sound[start : start + 6], patterns)
    assert len(patterns.known) > 2
    return patterns


def flawed(values: Sequence[bytes], count: int, number: int) -> Iterator[bytes]:
    """The values with a few bytes of JSON's own put in, taken out or changed."""
    chosen = random.Random(number)
    letters = b'0123456789.-eE"\\{}[],: nultrfas\x00\x7f\x80\xc3'
    for _ in range(count):
        spoilt = bytearray(chosen.choice(values))
        for _ in range(chosen.choice((1, 1, 1, 2, 3))):
            at = chosen.randrange(len(spoilt) + 1)
            spoilt[at : at + chosen.randrange(2)] = bytes(chosen.choices(letters, k=chosen.randrange(1, 3)))
        yield bytes(spoilt)


@pytest.mark.parametrize("number", range(4))
def test_a_flaw_anywhere_in_a_message_of_a_known_pattern_is_seen(number):
    sound = [envelope(7), envelope(123456, 99, 5), *(m.value for m in captured("flat") if m.value)]
    messages: list[Message] = [(value, HEADERS) for value in flawed(sound, 4000, number)]
    assert said(messages, learned()) == expected(messages)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            envelope, st.integers(0, 10**17), st.integers(-1, 2**63), st.integers(-10, 10**16),
            st.none() | st.text(max_size=20) | st.from_regex(r"\A[A-Z][A-Z ]{0,20}\Z"),
        ),
        max_size=20,
    ),
    st.integers(600, 700),
)  # fmt: skip
def test_values_of_every_length_and_range_are_exact(values, max_bytes):
    messages: list[Message] = [(value, HEADERS) for value in values]
    assert said(messages, learned(), max_bytes) == expected(messages, max_bytes)


@pytest.mark.parametrize(
    "changes",
    [
        {"ts_ms": 1795416111123 - 86_400_000 - 1}, {"ts_ms": 1795416111123 - 86_400_000}, {"ts_ms": None},
        {"ts_ms": 999_999_999_999_999}, {"op": "r"}, {"op": "u"}, {"op": "d"}, {"op": "t"}, {"payload": None},
        {"schema": {}}, {"id": 5}, {"__op": "c"},
    ],
)  # fmt: skip
def test_what_else_a_message_holds_is_not_overlooked(changes):
    messages: list[Message] = [(envelope(number, **changes), HEADERS) for number in range(10, 20)]
    messages += [(envelope(number), HEADERS) for number in range(10, 20)]
    assert said(messages, learned()) == expected(messages)


def test_a_time_is_judged_until_a_day_after_its_capture_and_no_longer():
    captured_ms = 1795420956144
    last = (captured_ms + 86_400_000) * 1000
    messages: list[Message] = []
    for created_at in (*range(last - 5, last + 5), last - 10**12):
        event = json.loads(envelope(ts_ms=captured_ms))
        event["after"]["created_at"] = created_at
        messages.append((text(event), HEADERS))
    counts, rows = said(messages, learned())
    assert (counts, rows) == expected(messages)
    assert counts["unjudged"] == 4


@pytest.mark.parametrize("digits", range(1, 18))
def test_a_time_is_in_the_unit_that_its_length_tells(digits):
    messages: list[Message] = []
    for number in range(4):
        event = json.loads(envelope())
        event["after"]["created_at"] = 10 ** (digits - 1) + number
        messages.append((text(event), HEADERS))
    assert said(messages) == expected(messages)


@pytest.mark.parametrize("path", ["ts_ms", "source"])
def test_a_clock_beyond_year_9999_is_no_time(path):
    def at(millis: int) -> bytes:
        event = json.loads(envelope())
        (event if path == "ts_ms" else event["source"])["ts_ms"] = millis
        return text(event)

    last = 253_402_300_799_999
    messages: list[Message] = [(at(millis), HEADERS) for millis in (last - 2, last - 1, last, last + 1, 10**15 - 1)]
    counts, rows = said(messages)
    assert (counts, rows) == expected(messages)
    assert counts["unreadable"] == 2


def spoken(value: bytes, **columns: Any) -> bytes:
    """The envelope with other columns in its row."""
    event = json.loads(value)
    event["after"].update(columns)
    return text(event)


def test_a_time_that_is_a_text_is_no_digits_that_may_vary():
    times = [f"2026-11-23T06:41:51.{micros:06}Z" for micros in (123456, 123457, 999999)]
    messages: list[Message] = [(spoken(envelope(), created_at=time), HEADERS) for time in times * 2]
    assert said(messages) == expected(messages)


def test_of_a_column_that_stands_twice_the_last_one_counts():
    once = envelope()
    for last in (b"null", b"5", b'"x"'):
        value = once.replace(b'"merchant_id":3', b'"merchant_id":3,"merchant_id":' + last)
        assert value != once
        assert said([(value, HEADERS)] * 3) == expected([(value, HEADERS)] * 3)


def test_a_message_in_a_wrapper_is_no_row_of_its_own():
    values = [text({"schema": None, "payload": json.loads(envelope(number))}) for number in (10, 11, 12)]
    values += [text({"payload": json.loads(envelope(number))}) for number in (10, 11, 12)]
    assert said([(value, HEADERS) for value in values * 2]) == expected([(value, HEADERS) for value in values * 2])


def test_a_message_of_a_known_pattern_is_not_too_large_only_up_to_the_limit():
    messages: list[Message] = [(envelope(number), HEADERS) for number in (5, 10, 15, 999_999)]
    sizes = [len(value or b"") for value, _ in messages]
    for limit in range(min(sizes) - 1, max(sizes) + 1):
        assert said(messages, learned(), limit) == expected(messages, limit)


def test_an_amount_in_parts_is_no_number_that_may_vary():
    def struct(scale: int, value: str) -> bytes:
        event = json.loads(envelope())
        event["after"]["amount"] = {"scale": scale, "value": value}
        return text(event)

    messages: list[Message] = [(struct(scale, "MDU="), ()) for scale in (2, 1, 2, 3, 0)]
    assert said(messages) == expected(messages)


@pytest.mark.parametrize("first", [0, 1])
def test_half_a_key_change_is_told_by_its_own_headers(first):
    moved = [*HEADERS, ("__debezium.oldkey", b'{"user_id":5}')]
    almost = [*HEADERS, ("__debezium.oldkez", b'{"user_id":5}')]
    chosen = (moved, almost, HEADERS, almost)
    messages: list[Message] = [(envelope(number), chosen[(number + first) % 4]) for number in range(20, 60)]
    counts, rows = said(messages)
    assert (counts, rows) == expected(messages)
    assert counts["ignored"] == 10


def test_ids_are_masked_and_patterns_are_learned_of_the_plain_ones(tmp_path: Path):
    mask = mask_of(str(key_file(tmp_path)))
    assert mask is not None
    records = batches.records_of([batches.Message(envelope(number, 40 + number)) for number in range(10, 30)])
    for patterns in (Patterns(), learned()):
        block = read_block(records, patterns, Cards(), MAX_BYTES, mask)
        assert block.columns["user_id"].tolist() == [masked_id(40 + number, mask) for number in range(10, 30)]


@pytest.mark.parametrize("flat", [False, True])
def test_an_amount_that_is_a_whole_number_is_no_number_of_cents(flat: bool):
    def numbered(amount: int) -> bytes:
        event = json.loads(envelope())
        event["after"]["amount"] = amount
        return text({**event["after"], "__op": "c", "__source_lsn": 5, "__source_ts_ms": event["source"]["ts_ms"],
                     "__source_txId": 1, "__source_snapshot": "false"} if flat else event)  # fmt: skip

    messages: list[Message] = [(numbered(amount), ()) for amount in range(510, 516)]
    assert said(messages) == expected(messages)
    if not flat:
        place = 2 + FIELDS.index("cents")
        assert [row[place] for row in said(messages)[1].values()] == [amount * 100 for amount in range(510, 516)]
