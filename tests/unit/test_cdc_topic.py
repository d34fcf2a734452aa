"""The guard at the start of a rule, over samples of captured topics."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fixtures.expected import captured
from fraudstream.cdc.topic import Sample, check_samples, key_columns
from fraudstream.errors import GuardError


def samples(form: str, *, heartbeats: bool = False, truncates: bool = True) -> list[Sample]:
    """What the rows' topic of a form holds; with `heartbeats` also what lay in the topic of heartbeats."""
    return [
        Sample(number % 3, message.key, message.value, message.headers)
        for number, message in enumerate(captured(form))
        if (heartbeats or message.sql != "heartbeat") and (truncates or not message.sql.startswith("TRUNCATE"))
    ]


@pytest.mark.parametrize("form", ["transactions", "precise_schema", "flat"])
def test_a_topic_keyed_by_the_rules_key_serves_on_many_partitions(form):
    check_samples("t", 3, samples(form), "user_id")


def test_a_topic_keyed_by_id_is_refused_on_several_partitions_with_the_setting_to_change():
    with pytest.raises(GuardError) as refusal:
        check_samples("cdc.rows", 3, samples("exercise"), "user_id")
    said = str(refusal.value)
    assert said.startswith("cdc.rows: it has 3 partitions and its messages are keyed by id,")
    assert "message.key.columns to <schema>.<table>:user_id" in said


def test_a_topic_keyed_by_id_serves_on_one_partition():
    check_samples("t", 1, samples("exercise"), "user_id")


def test_a_topic_of_any_key_serves_rules_without_state():
    check_samples("t", 3, samples("exercise"), None)


def test_a_topic_keyed_by_another_column_of_the_rows_is_refused():
    with pytest.raises(GuardError, match=r"keyed by user_id, .* message\.key\.columns to <schema>.<table>:merchant_id"):
        check_samples("t", 2, samples("transactions"), "merchant_id")


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("key", ["user_id", None])
def test_two_kinds_of_keys_are_refused(partitions, key):
    with pytest.raises(GuardError, match=r"t: its messages are keyed in 2 ways \(id; user_id\)"):
        check_samples("t", partitions, [*samples("transactions"), *samples("exercise")], key)


def test_keys_with_and_without_a_schema_are_of_one_kind():
    check_samples("t", 3, [*samples("transactions"), *samples("precise_schema")], "user_id")


@pytest.mark.parametrize("form", ["flat_bare", "flat_not_rewritten"])
@pytest.mark.parametrize("key", ["user_id", None])
def test_flattened_rows_without_the_added_fields_are_refused(form, key):
    with pytest.raises(GuardError) as refusal:
        check_samples("t", 1, samples(form), key)
    assert "add.fields=op,source.lsn,source.txId,source.ts_ms,source.snapshot" in str(refusal.value)
    assert "delete.tombstone.handling.mode=rewrite" in str(refusal.value)


def test_truncates_say_nothing_of_the_key():
    truncates = [sample for sample in samples("transactions") if sample.key is None]
    assert len(truncates) == 1
    check_samples("t", 3, truncates, "user_id")
    with pytest.raises(GuardError, match="keyed by id"):
        check_samples("t", 3, [*truncates, *samples("exercise")], "user_id")


@pytest.mark.parametrize("form", ["transactions", "precise_schema", "flat"])
def test_heartbeats_on_the_topic_say_nothing_of_the_key(form):
    mixed = samples(form, heartbeats=True)
    assert {key_columns(sample.key) for sample in mixed if sample.key} == {("user_id",), ("serverName",)}
    check_samples("t", 3, mixed, "user_id")
    beats = [sample for sample in mixed if sample.key and key_columns(sample.key) == ("serverName",)]
    check_samples("t", 3, beats, "user_id")


def test_an_empty_topic_serves():
    check_samples("t", 3, [], "user_id")


def test_rows_without_a_key_are_refused_on_several_partitions():
    keyless = [Sample(0, None, sample.value, sample.headers) for sample in samples("transactions", truncates=False)]
    with pytest.raises(GuardError, match="keyed by nothing"):
        check_samples("t", 3, keyless, "user_id")
    check_samples("t", 1, keyless, "user_id")


def test_messages_that_cannot_be_read_are_no_reason_but_their_keys_count():
    unreadable = Sample(0, b'{"user_id":1}', b"no JSON")
    check_samples("t", 3, [unreadable, *samples("transactions")], "user_id")
    with pytest.raises(GuardError, match="2 ways"):
        check_samples("t", 3, [unreadable, *samples("exercise")], "user_id")


def test_keys_that_are_no_objects_are_named_by_their_converter():
    with pytest.raises(GuardError, match="must be the JsonConverter"):
        check_samples("t", 3, [Sample(0, b"\x00\x00\x02", samples("transactions")[0].value)], "user_id")


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        (b'{"user_id":1}', ("user_id",)),
        (b'{"user_id":1,"id":2}', ("id", "user_id")),
        (b'{"schema":{"type":"struct"},"payload":{"id":1}}', ("id",)),
        (b'{"schema":{},"payload":null}', ()),
        (b"17", ()),
        (b"Struct{user_id=1}", ()),
        (b"\xff", ()),
        (b"[" * 100_000, ()),
    ],
)
def test_the_columns_of_a_key_are_told_from_its_json(key, columns):
    assert key_columns(key) == columns


def test_a_key_that_is_too_long_or_too_deep_names_no_column_and_one_of_many_is_not_told_whole():
    assert key_columns(b'{"id":"' + b"x" * 16_375 + b'"}') == ("id",)
    assert key_columns(b'{"id":"' + b"x" * 16_376 + b'"}') == ()
    assert key_columns(b"[" * 16_000) == ()
    assert key_columns(b'{"a":' * 3_000) == ()
    many = [f"c{number:02}" for number in range(30)]
    hostile = json.dumps({"\x1b[2J": 1} | dict.fromkeys(many, 1)).encode()
    sample = next(each for each in samples("exercise") if each.key is not None)
    with pytest.raises(GuardError) as refusal:
        check_samples("t", 3, [replace(sample, key=hostile)], "user_id")
    assert r"keyed by '\x1b[2J', c00, c01, c02, c03, c04, c05, c06, c07, c08, so the" in str(refusal.value)
