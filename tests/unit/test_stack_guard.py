"""Starts of capture that would leave out changes: what is refused by which name, and what each way to go on does."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import KafkaError

from fraudstream.errors import GuardError, Runbook
from fraudstream.stack import __main__ as command
from fraudstream.stack import connect, guard, lifecycle, offsets
from fraudstream.stack.settings import free_ports, load_settings


@pytest.fixture
def settings(tmp_path):
    return load_settings(tmp_path / "home", free_ports())


CONFIG = {
    "slot.name": "s", "database.dbname": "mydb", "topic.prefix": "shop", "exactly.once.support": "required",
}  # fmt: skip


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch):
    """A function that sets the slot's position, the stored, the written one and the log's end; what is stored later is
    in `moved`."""
    moved: list[tuple[str, str, int]] = []

    def known(
        confirmed: int | None, offset: int | None, written: int | None = None, end: int = 2**40
    ) -> list[tuple[str, str, int]]:
        monkeypatch.setattr(guard, "end_lsn", lambda _: end)
        monkeypatch.setattr(guard, "confirmed_lsn", lambda *_: confirmed)
        monkeypatch.setattr(offsets, "stored_lsn", lambda *_: offset)
        monkeypatch.setattr(offsets, "written_lsn", lambda *_: written)
        monkeypatch.setattr(offsets, "store_lsn", lambda _, *what: moved.append(what))
        return moved

    return known


def test_a_slot_ahead_of_the_stored_offset_is_refused_by_name(settings, stored):
    stored(0x1_0000_0002, 0x1_0000_0001)
    with pytest.raises(GuardError, match="slot s stands at 1/2, ahead of the connector's stored offset 1/1"):
        guard.require_slot(settings, "transactions", CONFIG)


@pytest.mark.parametrize(("confirmed", "offset"), [(None, None), (5, None), (5, 5), (4, 5)])
def test_a_slot_at_or_behind_the_stored_offset_or_none_passes(settings, stored, confirmed, offset):
    stored(confirmed, offset)
    guard.require_slot(settings, "transactions", CONFIG)


def test_a_lost_slot_of_a_connector_that_has_stored_an_offset_is_refused_by_name(settings, stored):
    stored(None, 0x1_0000_0001)
    with pytest.raises(GuardError, match=r"slot s of database mydb is gone .* stored 1/1.*--renew-slot") as refusal:
        guard.require_slot(settings, "transactions", CONFIG)
    assert refusal.value.runbook == "slot-lost"


@pytest.mark.parametrize("slot", [0x1_0000_0000, None], ids=["its slot came back with it", "without slot"])
def test_a_database_whose_log_ends_a_gibibyte_before_the_stored_offset_was_restored(settings, stored, slot):
    moved = stored(slot, 0x1_4000_0001, end=0x1_0000_0001)
    said = r"log ends at 1/1, before .* stored offset 1/40000001: .*--renew-slot"
    with pytest.raises(GuardError, match=said) as refusal:
        guard.require_slot(settings, "transactions", CONFIG)
    assert refusal.value.runbook == "database-restored"
    for runbook in ("slot-ahead", "offset-gone"):
        with pytest.raises(GuardError, match="database-restored"):
            guard.move_offset(settings, "transactions", CONFIG, runbook)
    assert moved == []


def test_an_offset_at_the_very_end_of_the_log_is_no_sign_of_a_restored_database(settings, stored):
    stored(4, 5, end=5)
    guard.require_slot(settings, "transactions", CONFIG)


def test_where_a_gap_is_accepted_the_slots_position_becomes_the_offset(settings, stored):
    moved = stored(9, 5)
    assert guard.move_offset(settings, "transactions", CONFIG, "slot-ahead") == 9
    assert moved == [("transactions", "shop", 9)]
    with pytest.raises(GuardError, match="slot-ahead"):
        guard.move_offset(settings, "transactions", CONFIG, "offset-gone")


def test_a_connector_that_has_written_and_lost_its_offset_is_refused_and_goes_on_from_its_slot(settings, stored):
    moved = stored(7, None, 8)
    with pytest.raises(GuardError, match=r"written changes up to 0/8, .* stands at 0/7: .*--from-slot") as refusal:
        guard.require_slot(settings, "transactions", CONFIG)
    assert refusal.value.runbook == "offset-gone"
    assert guard.move_offset(settings, "transactions", CONFIG, "offset-gone") == 7
    assert moved == [("transactions", "shop", 7)]


def test_a_slot_past_all_that_was_written_cannot_take_the_place_of_an_offset(settings, stored):
    moved = stored(9, None, 8)
    with pytest.raises(GuardError, match=r"behind that: .*--renew-slot"):
        guard.move_offset(settings, "transactions", CONFIG, "offset-gone")
    assert moved == []


@pytest.mark.parametrize(("confirmed", "written"), [(7, None), (None, 8)], ids=["nothing-written", "no-slot"])
def test_a_connector_that_begins_needs_no_offset(settings, stored, confirmed, written):
    stored(confirmed, None, written)
    guard.require_slot(settings, "transactions", CONFIG)


def test_a_connector_that_has_written_and_has_neither_offset_nor_slot_is_not_taken_for_a_new_one(settings, stored):
    stored(None, None, 8)
    with pytest.raises(GuardError, match=r"changes up to 0/8, .* Its slot is gone, too: .*--renew-slot") as refusal:
        guard.require_slot(settings, "transactions", CONFIG, may_begin=False)
    assert refusal.value.runbook == "offset-gone"
    stored(None, None, None)
    guard.require_slot(settings, "transactions", CONFIG, may_begin=False)


def test_before_connect_starts_a_connector_with_neither_offset_nor_slot_is_refused_unless_it_is_to_begin_anew(
    settings, stored, monkeypatch
):
    stored(None, None, 8)
    monkeypatch.setattr(offsets, "stored_connectors", lambda _: {"transactions": CONFIG})
    for gap in ("refuse", "from-slot", "accept"):
        with pytest.raises(GuardError, match="offset-gone"):
            lifecycle._close_gaps(settings, gap, lambda *_: pytest.fail("it began anew"))
    begun = []
    lifecycle._close_gaps(settings, "renew", lambda _, name, config: begun.append(name))
    assert begun == ["transactions"]


def test_a_first_start_that_was_killed_is_told_from_a_lost_offset_only_where_delivery_is_exactly_once(settings, stored):
    stored(7, None, 8)
    guard.require_slot(settings, "transactions", {**CONFIG, "exactly.once.support": "requested"})


def test_the_stored_position_is_the_furthest_of_the_newest_offset(settings, monkeypatch):
    records = [
        (["transactions", {"server": "a"}], {"lsn": 10, "lsn_proc": 12, "lsn_commit": 11}),
        (["other", {"server": "b"}], None),
        (["other", {"server": "b"}], {"lsn": 500}),
        (["transactions", {"server": "a"}], {"lsn": 90, "lsn_commit": 99}),
    ]
    monkeypatch.setattr(offsets, "_newest_first", lambda *_: iter(records))
    assert offsets.stored_lsn(settings, "transactions") == 12
    assert offsets.stored_lsn(settings, "other") is None
    assert offsets.stored_lsn(settings, "unknown") is None


SLOTS = {
    "slot-lost": "is gone", "offset-gone": "its offset is gone", "slot-ahead": "is ahead",
    "database-restored": "has an earlier database",
}  # fmt: skip


@pytest.fixture
def gaps(monkeypatch) -> dict[str, Runbook | None]:
    """Connectors by name, and what a start of each is refused for."""
    found: dict[str, Runbook | None] = {}

    def require_slot(_, name, config, **options):
        if found[name]:
            raise GuardError(f"{name} {SLOTS[found[name]]}", found[name])

    monkeypatch.setattr(offsets, "stored_connectors", lambda _: {name: {"name": name} for name in found})
    monkeypatch.setattr(guard, "require_slot", require_slot)
    return found


def test_a_new_slot_is_for_connectors_whose_start_is_refused_alone(settings, gaps):
    gaps |= {"sound": None, "without slot": "slot-lost", "without offset": "offset-gone"}
    gaps |= {"of an earlier database": "database-restored"}
    begun = []
    lifecycle._close_gaps(settings, "renew", lambda _, name, config: begun.append((name, config)))
    assert begun == [(name, {"name": name}) for name in ("without slot", "without offset", "of an earlier database")]


def test_a_connector_that_begins_anew_in_a_running_connect_has_stored_an_offset_when_its_start_is_judged_next(
    settings, monkeypatch
):
    done, found = [], iter([None, None, 7])
    monkeypatch.setattr(connect, "renew_slot", lambda _, name, config: done.append(f"new slot of {name}"))
    monkeypatch.setattr(offsets, "stored_lsn", lambda *_: done.append("asked") or next(found))
    monkeypatch.setattr(lifecycle.time, "sleep", lambda _: None)
    lifecycle._renew(settings, "c", {})
    assert done == ["new slot of c", "asked", "asked", "asked"]


@pytest.mark.parametrize(
    ("gap", "runbook"), [("renew", "slot-ahead"), ("refuse", "slot-lost"), ("refuse", "slot-ahead")]
)
def test_a_slot_that_is_ahead_is_never_renewed_and_nothing_is_unasked(settings, gaps, gap, runbook):
    gaps["moved"] = runbook
    with pytest.raises(GuardError) as refusal:
        lifecycle._close_gaps(settings, gap, lambda *_: pytest.fail("it began anew"))
    assert refusal.value.runbook == runbook


@pytest.mark.parametrize(
    ("options", "gap"),
    [([], "refuse"), (["--accept-gap"], "accept"), (["--renew-slot"], "renew"), (["--from-slot"], "from-slot")],
)
def test_each_way_to_close_a_gap_has_its_option(monkeypatch, options, gap):
    asked = []
    monkeypatch.setattr(lifecycle, "up", lambda _, connector, wanted: asked.append((connector.stem, wanted)) or 1.0)
    assert command.main(["up", *options]) == 0
    assert asked == [("transactions", gap)]


class Event:
    """What a consumer gives: a record, or without a value the end of the partition."""

    def __init__(self, offset: int, key: str = "", value: object = None):
        self.place, self.text, self.content = offset, key, value

    def error(self):
        return KafkaError(KafkaError._PARTITION_EOF) if not self.text else None

    def offset(self):
        return self.place

    def key(self):
        return self.text.encode()

    def value(self):
        return json.dumps(self.content).encode()


class Consumer:
    """Of one partition whose records stand at some of the offsets from 0 to `end`; the others were compacted, or are
    markers. `asked` are the offsets that it was told to go to."""

    def __init__(self, records: dict[int, tuple[str, object]], end: int):
        self.records, self.end, self.asked, self.at = records, end, [], 0

    def list_topics(self, timeout):
        return type("Cluster", (), {"topics": {offsets.OFFSETS: None}})

    def get_watermark_offsets(self, part, timeout):
        return 0, self.end

    def assign(self, parts):
        self.at = parts[0].offset
        self.asked.append(self.at)

    def poll(self, seconds):
        later = [offset for offset in sorted(self.records) if offset >= self.at]
        if not later:
            return Event(self.end)
        self.at = later[0] + 1
        return Event(later[0], *self.records[later[0]])

    def close(self):
        pass


def test_a_stored_offset_is_had_from_the_end_of_its_topic_and_a_missing_one_by_reading_it_once(settings, monkeypatch):
    busy, idle = '["busy",{"server":"a"}]', '["idle",{"server":"b"}]'
    records = {3: (idle, {"lsn": 1}), 4: (idle, {"lsn": 2}), 1490: (idle, {"lsn": 3}), 1500: (busy, {"lsn": 8})}
    records |= {9990: (busy, {"lsn": 9}), 9998: (busy, {"lsn": 11})}
    for name, found, asked in (
        ("busy", 11, [9500]),
        ("idle", 3, [9500, 8500, 6500, 2500, 0]),
        ("none", None, [9500, 8500, 6500, 2500, 0]),
    ):
        consumer = Consumer(records, end=10_000)
        monkeypatch.setattr(offsets, "_consumer", lambda _, made=consumer: made)
        assert (offsets.stored_lsn(settings, name), consumer.asked) == (found, asked)
