"""Batches of records as they come from a broker: whole, checked, committed; and what is in their records."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.batches import CODECS, TRANSACTIONAL, Message, batch, marker, records_of
from fraudstream.wire.batches import BadBatch, read_batches
from fraudstream.wire.records import Records, headers_in, read_records

FAR = 2**62  # ms from the batch's own time: its varint takes nine bytes


def contents(records: Records) -> list[tuple[int, bytes | None, list[tuple[str, bytes]]]]:
    """Offset, value and headers of each."""
    return [
        (int(offset), records.value(place), headers_in(records.header_bytes(place)))
        for place, offset in enumerate(records.offsets)
    ]


def messages_in(data: bytes, *aborted: tuple[int, int], start: int = 0, end: int = 1 << 40) -> list[bytes | None]:
    """The values of all records that count."""
    records = read_records(list(read_batches(memoryview(data), aborted)), start, end)
    return [records.value(place) for place in range(len(records))]


@pytest.mark.parametrize("codec", [*CODECS])
def test_every_codec_gives_the_records_back(codec):
    messages = [Message(b"%d" % number * number) for number in range(300)]
    found = contents(records_of(messages, codec))
    assert found == [(number, message.value, []) for number, message in enumerate(messages)]


def test_javas_framing_of_snappy_is_read():
    import struct

    import pyarrow as pa

    from fraudstream.wire.batches import _unsnapped

    parts = [pa.compress(text, codec="snappy", asbytes=True) for text in (b"a" * 100, b"b" * 50)]
    framed = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(p)) + p for p in parts)
    assert _unsnapped(framed, 0) == b"a" * 100 + b"b" * 50


_HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=200)), max_size=4)
_MESSAGES = st.builds(
    Message,
    st.none() | st.binary(max_size=300) | st.binary(max_size=3).map(lambda part: part * 3000),
    _HEADERS, st.none() | st.binary(max_size=200), st.sampled_from([0, 0, 1, -1, 70_000, -FAR, FAR]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(_MESSAGES, max_size=30), st.sampled_from([*CODECS]))
def test_every_record_is_found_with_its_value_and_headers(messages, codec):
    expected = [
        (offset, message.value, [(name, value or b"") for name, value in message.headers])
        for offset, message in enumerate(messages)
    ]
    assert contents(records_of(messages, codec)) == expected


def test_offsets_that_compaction_has_taken_out_are_passed_over():
    first = batch(10, [Message(b"a"), Message(b"b")], places=[1, 4], last=6)
    empty = batch(17, [], last=2)
    found = list(read_batches(memoryview(first + empty + batch(25, [Message(b"c")])), []))
    assert [(each.base, each.next, each.count) for each in found] == [(10, 17, 2), (17, 20, 0), (25, 26, 1)]
    assert [offset for offset, _, _ in contents(read_records(found, 0, 99))] == [11, 14, 25]
    assert [offset for offset, _, _ in contents(read_records(found, 12, 25))] == [14]


def test_records_of_aborted_transactions_do_not_count():
    data = b"".join(
        [
            batch(0, [Message(b"before")], producer=1, attributes=TRANSACTIONAL),
            marker(1, 1, commit=True),
            batch(2, [Message(b"aborted")], producer=1, attributes=TRANSACTIONAL),
            batch(3, [Message(b"another's")], producer=2, attributes=TRANSACTIONAL),
            batch(4, [Message(b"plain")]),
            batch(5, [Message(b"aborted too")], producer=1, attributes=TRANSACTIONAL),
            marker(6, 1, commit=False),
            batch(7, [Message(b"after")], producer=1, attributes=TRANSACTIONAL),
            marker(8, 1, commit=True),
            marker(9, 2, commit=True),
            batch(10, [Message(b"aborted again")], producer=2, attributes=TRANSACTIONAL),
            marker(11, 2, commit=False),
        ]
    )
    assert messages_in(data, (1, 2), (2, 10)) == [b"before", b"another's", b"plain", b"after"]
    assert messages_in(data, start=2, end=5) == [b"aborted", b"another's", b"plain"]  # read_uncommitted
    ends = [(each.next, each.count) for each in read_batches(memoryview(data), [(1, 2), (2, 10)])]
    assert ends[-1] == (12, 0)


def test_a_batch_that_the_limit_cut_off_is_left_for_the_next_fetch():
    data = batch(0, [Message(b"a")]) + batch(1, [Message(b"b" * 500)])
    for size in range(len(batch(0, [Message(b"a")])), len(data)):
        assert messages_in(data[:size]) == [b"a"]
    assert messages_in(data) == [b"a", b"b" * 500]


def test_a_changed_bit_is_seen():
    data = batch(0, [Message(b"a" * 50)], "lz4")
    for place in range(16, len(data)):
        spoiled = bytearray(data)
        spoiled[place] ^= 1
        with pytest.raises(BadBatch):
            messages_in(bytes(spoiled))


@pytest.mark.parametrize(
    "message",
    [Message(b"v", [("h", b"x")]), Message(None), Message(b"v", key=None), Message(b"v" * 9000)],
)
def test_a_record_that_is_not_as_long_as_it_says_is_refused(message):
    (sound,) = read_batches(memoryview(batch(5, [message, Message(b"next")])), [])
    for records in (sound.records[:-1], sound.records + b"\0", b"\xff" + sound.records[1:], b""):
        with pytest.raises(BadBatch):
            read_records([type(sound)(*astuple(sound)[:3], records)], 0, 99)


def test_a_format_of_before_kafka_0_11_is_refused():
    data = bytearray(batch(3, [Message(b"a")]))
    data[16] = 1
    with pytest.raises(BadBatch, match="message format 1"):
        messages_in(bytes(data))


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
def test_a_batch_that_would_fill_the_memory_is_refused(codec, monkeypatch):
    monkeypatch.setattr("fraudstream.wire.batches.MOST_UNPACKED", 1 << 20)
    assert messages_in(batch(0, [Message(bytes(1 << 19))], codec)) == [bytes(1 << 19)]
    with pytest.raises(BadBatch, match="more than 1 MiB unpacked; the built-in reader"):
        messages_in(batch(0, [Message(bytes(1 << 21))], codec))
