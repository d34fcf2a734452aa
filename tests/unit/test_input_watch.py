"""Change events as a person reads them, from messages as the connector writes them."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass

import pytest

from fraudstream.cdc.generic import read_table_change, read_transaction_change
from fraudstream.errors import FraudstreamError
from fraudstream.input import watch as module
from fraudstream.input.describe import told
from fraudstream.input.watch import topic_of, watch

ROW = {
    "id": 7,
    "user_id": 1000,
    "amount": "12.34",
    "card_type": "VISA",
    "merchant_id": 3,
    "created_at": 1795419992266905,
}
WHOLE = "user_id 1000  amount 12.34  card_type VISA  merchant_id 3  created_at 2026-11-23 07:46:32.266905"


def envelope(op, before=None, after=None, snapshot="false"):
    source = {"ts_ms": 1795419992268, "snapshot": snapshot, "txId": 9, "lsn": 5}
    return json.dumps({"before": before, "after": after, "source": source, "op": op, "ts_ms": 1795419992300}).encode()


@dataclass
class Record:
    """A record as confluent-kafka gives it."""

    body: bytes | None
    named: str = "dbserver1.public.transactions"
    heads: list[tuple[str, bytes]] | None = None

    def topic(self):
        return self.named

    def partition(self):
        return 1

    def offset(self):
        return 42

    def value(self):
        return self.body

    def headers(self):
        return self.heads


def line(value, headers=None, read=read_transaction_change):
    return told(read(value, headers))


def test_an_insert_a_snapshot_row_and_a_delete_show_the_whole_row():
    assert line(envelope("c", after=ROW)) == f"07:46:32.268  insert    #7       {WHOLE}"
    assert line(envelope("r", after=ROW, snapshot="first")) == f"07:46:32.268  snapshot  #7       {WHOLE}"
    assert line(envelope("d", before=ROW)) == f"07:46:32.268  delete    #7       {WHOLE}"


def test_an_update_shows_what_changed_and_nothing_else():
    after = {**ROW, "amount": "15.00", "card_type": None}
    text = "07:46:32.268  update    #7       amount 12.34 -> 15.00  card_type VISA -> null"
    assert line(envelope("u", before=ROW, after=after)) == text
    assert line(envelope("u", before=ROW, after=ROW)).endswith("nothing changed")


def test_an_update_without_a_before_image_shows_the_row():
    assert line(envelope("u", after=ROW)) == f"07:46:32.268  update    #7       {WHOLE}"


def test_the_halves_of_a_change_of_the_key_read_as_one_update():
    left = line(envelope("d", before=ROW), [("__debezium.newkey", b'{"user_id":1001}')])
    assert left == "07:46:32.268  update    #7       moves to user_id 1001 (its other half follows under that key)"
    came = line(envelope("c", after=ROW), [("__debezium.oldkey", b'{"schema":{},"payload":{"user_id":999}}')])
    assert came == f"07:46:32.268  update    #7       moved from user_id 999: {WHOLE}"


def test_truncates_tombstones_and_heartbeats_have_their_names():
    assert line(envelope("t")) == "07:46:32.268  truncate"
    assert line(None).split() == ["tombstone"]
    assert line(b'{"ts_ms":1795419992268}').split() == ["heartbeat"]
    assert line(b'{"ts_ms":1795419992268}', read=read_table_change).split() == ["heartbeat"]


def test_amounts_read_the_same_in_every_decimal_form():
    for amount in ("12.34", 12.34, "BNI="):
        assert line(envelope("c", after={**ROW, "amount": amount})).endswith(WHOLE)
    assert "amount NaN" in line(envelope("c", after={**ROW, "amount": "NAN"}))


def test_another_tables_values_stay_as_they_are_but_times_are_readable():
    row = {
        "id": 1,
        "sensor_id": "sensor_1",
        "temperature": 22.5,
        "recorded_at": 1795419992266905,
        "seen_at": 17,
        "n": 10**15,
    }
    wrapped = json.dumps({"schema": {}, "payload": json.loads(envelope("c", after=row))}).encode()
    text = (
        "sensor_id sensor_1  temperature 22.5  recorded_at 2026-11-23 07:46:32.266905  seen_at 17  n 1000000000000000"
    )
    assert line(wrapped, read=read_table_change) == f"07:46:32.268  insert    #1       {text}"


@pytest.mark.parametrize("value", [b"", b"\xff", b"[1]", b'{"op":"c"}', b'{"op":1,"source":{}}', b"[" * 100_000])
def test_what_is_no_change_is_said_with_its_place_and_the_watch_goes_on(value):
    shown = []
    for topic in ("dbserver1.public.transactions", "office.public.temperature_readings"):
        count = watch([Record(value, topic), Record(envelope("t"))], shown.append, None, machine=False)
        assert count == 2
        assert shown[-2].startswith("unreadable: ")
        assert shown[-2].endswith("  [1@42]")
        assert shown[-1] == "07:46:32.268  truncate  [1@42]"


def test_a_limit_ends_the_watch():
    shown = []
    assert watch(iter([Record(envelope("t"))] * 5), shown.append, 3, machine=False) == 3
    assert len(shown) == 3


def test_for_machines_each_change_is_one_json_object_with_its_place():
    shown = []
    watch([Record(envelope("c", after=ROW)), Record(b"x")], shown.append, None, machine=True)
    change, broken = map(json.loads, shown)
    assert change["after"] == ROW
    assert (change["op"], change["topic"], change["partition"], change["offset"]) == (
        "c", "dbserver1.public.transactions", 1, 42,
    )  # fmt: skip
    assert broken["offset"] == 42
    assert "JSON" in broken["unreadable"]


def test_a_tables_topic_follows_from_the_connector_that_captures_it():
    assert topic_of("public.transactions") == "dbserver1.public.transactions"
    assert topic_of("public.temperature_readings") == "office.public.temperature_readings"
    with pytest.raises(FraudstreamError, match=r"'transactions'; .*public\.transactions"):
        topic_of("transactions")


def test_a_missing_package_gives_the_command_that_installs_it(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(FraudstreamError, match="-m pip install confluent-kafka"):
        module._confluent_kafka()


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [('[null,"32733464"]', None), ('["134002096","129212704"]', 134002096), ("[]", None), ("x", None), (None, None)],
)
def test_a_change_tells_where_the_transaction_before_its_own_was_committed(sequence, expected):
    envelope_ = json.loads(envelope("c", after={"id": 1}))
    envelope_["source"] |= {"sequence": sequence, "lsn": 129212704}
    change = read_table_change(json.dumps(envelope_).encode())
    assert (change.lsn, change.last_commit_lsn) == (129212704, expected)
