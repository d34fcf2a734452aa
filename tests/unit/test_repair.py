"""What a repair does about which finding, in which order, and how rows are asked for by signals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.lake import change, write_lake, write_table
from fraudstream.audit import history, judged, known
from fraudstream.audit.bounds import MIRROR, Bounds, Topic
from fraudstream.audit.finding import KINDS, REPAIR, Part
from fraudstream.audit.records import REPLAYED, Scan
from fraudstream.audit.run import Audit
from fraudstream.check.topic import Record
from fraudstream.config import load_pipeline
from fraudstream.errors import GuardError
from fraudstream.repair import catch_up as catching
from fraudstream.repair import publish as published
from fraudstream.repair import run, snapshot
from fraudstream.repair.publish import Outgoing, readable_again
from fraudstream.repair.snapshot import _FILTER, filter_of, groups
from fraudstream.rulebook.catalog import parse_rules
from fraudstream.rulebook.versions import Version
from fraudstream.streams import queries, replay
from fraudstream.streams.tables import QUARANTINE
from unit.audits import message

BOUNDS = Bounds(0.0, {MIRROR: 0}, {MIRROR: {0: 1000}}, Topic("t", {0: 0}, {0: 0}, {0: 0}))


@given(st.dictionaries(st.integers(1, 10**9), st.integers(1, 40), min_size=1, max_size=400))
def test_each_row_is_asked_for_once_and_no_snapshot_has_two_rows_of_a_user(users):
    found = list(groups(users))
    assert sorted(number for group in found for number in group) == sorted(users)
    assert all(len({users[number] for number in group}) == len(group) > 0 for group in found)
    assert all(len(filter_of(group)) <= _FILTER for group in found)


def test_what_has_come_of_the_rows_is_read_once(monkeypatch: pytest.MonkeyPatch):
    topic: list[Record] = []
    begins: list[dict[int, int]] = []

    def read_topic(bootstrap, name, options, start):
        begins.append(dict(start))
        return iter([record for record in topic if record.offset >= start[record.partition]])

    def signal(settings, ids):  # the snapshot's rows, and behind them one that others write
        for number in (*ids, 1000 + len(topic)):
            topic.append(message(50 + len(topic), number, "r"))

    monkeypatch.setattr(snapshot, "read_topic", read_topic)
    monkeypatch.setattr(snapshot, "_signal", signal)
    monkeypatch.setattr(snapshot, "_PAUSE_S", 0)
    snapshot.bring_rows(None, load_pipeline(), {3: 7, 4: 7}, {0: 50}, 5, lambda text: None)
    assert begins == [{0: 50}, {0: 52}]


def test_the_filter_of_a_signal_is_short():
    assert filter_of([1, 2, 3, 7, 9]) == "id BETWEEN 1 AND 3 OR id IN (7,9)"
    assert filter_of([5]) == "id IN (5)"
    assert list(groups({})) == []


def test_every_finding_that_names_the_repair_is_one_that_it_closes():
    closed = set(run._SAID)
    assert {kind for kind, each in KINDS.items() if each.remedy == REPAIR} - closed == set()
    assert closed <= KINDS.keys()


def test_rows_come_first_and_the_archive_last():
    part = Part("all")
    part.found("archived_missing", "lake/alerts", ids=["a"])
    part.found("batch_gap", "velocity", positions=[(0, 1)])
    part.found("alert_missing", "fraud.alerts velocity", ids=["a"], about=[])
    part.found("row_not_captured", "the topic", ids=[3, 4])
    steps = run.closable(Audit(0.0, BOUNDS, [part]))
    assert [run.said(each) for each in steps] == [
        "row_not_captured in the topic: bring 2 rows by an incremental snapshot",
        "alert_missing in fraud.alerts velocity: publish 1 alerts",
        "archived_missing in lake/alerts: archive 1 alerts anew from their topic",
    ]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch):
    """A workshop whose audits come from a list and that closes nothing."""
    pipeline = replace(load_pipeline(), lake=str(tmp_path / "lake"), checkpoints=str(tmp_path / "checkpoints"))
    made = run.Workshop(pipeline, [], None, lambda: None, lambda _: None)
    closed: list[str] = []
    monkeypatch.setattr(run, "_close", lambda shop, finding, found: closed.append(finding.kind))
    monkeypatch.setattr(run, "catch_up", lambda shop, kinds: None)

    def audits(*kinds: str | None) -> list[str]:
        found = []
        for kind in kinds:
            part = Part("all")
            if kind:
                part.found(kind, "lake/alerts", ids=["a"])
            found.append(Audit(0.0, BOUNDS, [part]))
        monkeypatch.setattr(run, "audit", lambda *_: found.pop(0))
        return closed

    return made, audits


def test_a_repair_audits_until_nothing_is_left_to_close(shop):
    made, audits = shop
    closed = audits("alert_extra", "archived_extra", None)
    done = run.repair(made, run.Options())
    assert closed == ["alert_extra", "archived_extra"]
    assert (len(done.done), done.after.findings) == (2, [])


def test_alerts_are_put_in_order_in_their_topic_before_the_archive_that_follows_it(shop, monkeypatch):
    made, _ = shop
    both, none = Part("all"), Part("all")
    both.found("archived_extra", "lake/alerts", ids=["a"])
    both.found("alert_missing", "fraud.alerts velocity", ids=["a"], about=[])
    found = [Audit(0.0, BOUNDS, [part]) for part in (both, none)]
    monkeypatch.setattr(run, "audit", lambda *_: found.pop(0))
    held = []
    monkeypatch.setattr("fraudstream.streams.replay.hold_archive", lambda *_: held.append("archive"))
    done = run.repair(made, run.Options())
    assert done.done == ["alert_missing in fraud.alerts velocity: publish 1 alerts"]
    assert (held, found) == ([], [])


def test_a_repair_that_does_not_help_ends_with_what_is_left(shop):
    made, audits = shop
    closed = audits(*["archived_extra"] * 4)
    done = run.repair(made, run.Options())
    assert (len(closed), len(done.after.findings)) == (run.ROUNDS, 1)


def test_a_dry_run_does_nothing_and_a_clean_audit_needs_nothing(shop):
    made, audits = shop
    closed = audits("archived_extra")
    done = run.repair(made, run.Options(), dry_run=True)
    assert (closed, done.after, len(done.done)) == ([], None, 1)
    assert done.done == ["to do: archived_extra in lake/alerts: archive 1 alerts anew from their topic"]
    audits(None)
    assert run.repair(made, run.Options()).done == []


def test_a_repair_of_a_table_is_refused_while_a_driver_writes_it(shop, monkeypatch):
    made, audits = shop
    closed = audits("archived_missing")

    def refuse(checkpoint: str) -> None:
        raise GuardError("held", "checkpoint-in-use")

    monkeypatch.setattr("fraudstream.streams.replay.hold_checkpoint", refuse)
    with pytest.raises(GuardError, match=r"archive_alerts is running.*nothing was repaired"):
        run.repair(made, run.Options())
    assert closed == []


def record(offset: int, value: bytes, headers=()) -> Record:
    return Record(0, offset, b"k", value, tuple(headers), 0)


def test_a_quarantined_record_is_put_back_once_with_its_bytes_and_its_origin(monkeypatch):
    good = json.dumps({"op": "t", "source": {"ts_ms": 1, "snapshot": "false"}, "ts_ms": 1}).encode()
    topic = [record(3, b"[]"), record(4, good, [("h", b"1")]), record(5, good)]
    origin = b"dbserver1.public.transactions-0-5"
    monkeypatch.setattr(published, "read_topic", lambda *_: [*topic, record(9, good, [(REPLAYED, origin)])])
    back = readable_again(load_pipeline(), {(0, 3): b"[]", (0, 4): good, (0, 5): good})
    name = "dbserver1.public.transactions"
    assert back == [Outgoing(name, b"k", good, 0, (("h", b"1"), (REPLAYED, f"{name}-0-4".encode())))]
    assert run._origin(back[0]) == (0, 4)


def test_a_quarantined_record_that_the_topic_has_no_more_is_counted_and_not_put_back(shop, monkeypatch):
    made, _ = shop
    good = json.dumps({"op": "t", "source": {"ts_ms": 1, "snapshot": "false"}, "ts_ms": 1}).encode()
    bad = {3: b"[]", 4: good, 5: good, 7: good, 20: good}  # 3 is unreadable still, 5 was put back, 20 is in the topic
    folder = Path(made.pipeline.lake)
    write_table(
        folder / "quarantine", QUARANTINE,
        [{"topic": "t", "partition": 0, "offset": offset, "value": value} for offset, value in bad.items()],
    )  # fmt: skip
    known.record(str(folder), known.Repair("quarantine", "lake/quarantine", "put back", positions=[(0, 5)]))
    monkeypatch.setattr(published, "read_topic", lambda *_: [])
    short = Audit(0.0, replace(BOUNDS, transactions=Topic("t", {0: 10}, {0: 10}, {0: 10})))
    monkeypatch.setattr(run, "audit", lambda *_: short)
    said = "not put back: 2 quarantined records that can be read now, but are not in the topic any more"
    assert run.repair(made, run.Options(), quarantine=True).done == [said]
    assert run.repair(made, run.Options(), quarantine=True, dry_run=True).done == [said]
    assert run.repair(made, run.Options()).done == []


(RULE,) = parse_rules(
    '{"velocity": {"severity": "high", "parameters": {"more_than": 1, "amount_over": 10}}}', "rules.yaml"
)


@pytest.mark.parametrize(("lost", "other"), [((0, 40), 0), ((0, 20), 1)])
def test_the_effect_of_a_message_is_what_would_be_otherwise_without_it(tmp_path, lost, other):
    rows = [change(1, "50", 0), change(2, "50", 1), change(1, "50", 0, offset=40), change(6, "50", 90)]
    folder = write_lake(tmp_path, rows, [])
    past, _ = history.history(folder, Scan({}), [], BOUNDS, 262_144)
    versions = [Version(RULE, {})]
    all_of_it = {"velocity": judged.Judged(judged.recompute(versions, past), {}, versions)}
    assert len(all_of_it["velocity"].alerts) == 1
    assert len(judged.effect(all_of_it, past, [lost])) == other


def test_the_record_of_repairs_is_added_to_and_read_in_order(tmp_path):
    for kind in ("row_ghost", "alert_extra"):
        known.record(str(tmp_path), known.Repair(kind, "w", "acknowledged", [1, "a"], [(0, 5)]))
    found = known.repairs(str(tmp_path))
    assert [(each["kind"], each["ids"], each["positions"]) for each in found] == [
        ("row_ghost", [1, "a"], [(0, 5)]), ("alert_extra", [1, "a"], [(0, 5)])
    ]  # fmt: skip
    assert known.acknowledged(str(tmp_path), "alert_extra") == {"w": {(0, 5)}}
    assert known.acknowledged(str(tmp_path / "none"), "alert_extra") == {}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"row_not_captured"}, ["start_mirror"]),
        ({"alert_missing", "archived_missing"}, ["start_archive", "start_shadow_archive"]),
        ({"alert_differs", "quarantine"}, ["start_mirror", "start_archive", "start_shadow_archive"]),
        ({"archived_extra", "message_doubled"}, []),
    ],
)
def test_what_was_put_into_a_topic_goes_on_into_its_tables_alerts_of_shadow_rules_too(
    tmp_path, monkeypatch, kinds, expected
):
    started: list[str] = []
    for name in ("start_mirror", "start_archive", "start_shadow_archive"):  # None: no shadow rule has alerted

        def start(*_, until_caught_up, name=name):
            assert until_caught_up
            started.append(name)

        monkeypatch.setattr(queries, name, start)
    pipeline = replace(load_pipeline(), lake=str(tmp_path / "lake"), checkpoints=str(tmp_path / "checkpoints"))
    catching.catch_up(run.Workshop(pipeline, [], None, lambda: None, lambda _: None), kinds)
    assert started == expected


def test_what_a_driver_archives_is_waited_for_and_the_other_archive_is_run(tmp_path, monkeypatch):
    waited: list[tuple[str, str]] = []
    started: list[str] = []

    def hold(pipeline, query, table):
        if query == "archive_alerts":
            raise GuardError("held", "checkpoint-in-use")

    monkeypatch.setattr(replay, "hold_archive", hold)
    monkeypatch.setattr(catching, "_wait_for", lambda _, query, topic: waited.append((query, topic)))
    monkeypatch.setattr(queries, "start_shadow_archive", lambda *_, **__: started.append("shadow"))
    catching.catch_up(run.Workshop(load_pipeline(), [], None, lambda: None, lambda _: None), {"alert_missing"})
    assert (waited, started) == ([("archive_alerts", "fraud.alerts")], ["shadow"])
