"""Faults put in by hand, one of each kind: the audit names each, the repair closes each, and a second one has nothing
to do. Without a capture the audit says that it cannot tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable, write_deltalake

import audit_pipeline
from fraudstream.audit import known
from fraudstream.audit.report import as_json
from fraudstream.audit.run import Options
from fraudstream.check.topic import Record
from fraudstream.config import load_pipeline, write_variant
from fraudstream.repair.run import Repair, Workshop, repair
from fraudstream.stack import kafka
from fraudstream.stack.connect import delete_connector
from stack.world import World, _execute, committed, table_rows, world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
# 400 rows of 97 users, every 41st large; row 7 with every column that can be null null.
ROWS = """
insert into transactions (user_id, amount, card_type, merchant_id, created_at)
select 1 + n % 97, case when n % 41 = 0 then 4700 else 20 + n % 13 end, 'VISA', n % 7,
       timestamp '2026-03-01 12:00:00.000001' + interval '1 second' * n from generate_series(0, 399) as n
"""
ODD = (
    "update transactions set card_type = null, merchant_id = null where id = 7",
    "update transactions set amount = 'NaN', card_type = 'Karte | ä-' where id = 8",
    "update transactions set created_at = 'infinity' where id = 9",
    "update transactions set user_id = 3 where id = 10",
    "delete from transactions where id = 11",
)
# While the table is not published: two rows of one user, an update and a delete that the topic never sees.
UNSEEN = (
    "insert into transactions (user_id, amount, card_type) values (50, 11, 'VISA'), (50, 12, 'VISA')",
    "update transactions set amount = 99.99 where id = 20",
    "delete from transactions where id = 30",
)


@pytest.fixture
def a_world(stack, spark, tmp_path: Path) -> Iterator[World]:
    with world(stack, spark, tmp_path, "audited", heartbeat__interval__ms="500") as made:
        small = replace(made.pipeline, max_message_bytes=2048)
        made.capture()
        yield replace(made, pipeline=small)


def audited(world: World, *options: str) -> tuple[int, dict[str, Any]]:
    """Run audit_pipeline; its exit code and the report that it leaves."""
    ours, folder = world.pipeline, Path(world.pipeline.lake).parent
    topics = {name: getattr(ours.kafka, name) for name in ("transactions_topic", "alerts_topic")}
    places = {name: getattr(ours, name) for name in ("lake", "checkpoints", "progress", "max_message_bytes")}
    write_variant(folder / "pipeline.yaml", {**{f"kafka.{name}": topic for name, topic in topics.items()}, **places})
    files = ("--config", str(folder / "pipeline.yaml"), "--rules-file", str(folder / "rules.yaml"))
    code = audit_pipeline.main([*files, *options])
    return code, json.loads((world.settings.home / "audit" / "report.json").read_text(encoding="utf-8"))


def repaired(world: World, **more: bool) -> Repair:
    kafka = replace(world.pipeline.kafka, client_properties=load_pipeline(principal="admin").kafka.client_properties)
    pipeline = replace(world.pipeline, kafka=kafka)
    shop = Workshop(pipeline, world.rules, world.settings, lambda: world.session, lambda _: None)
    return repair(shop, Options(), **more)


def kinds(told: dict[str, Any]) -> dict[str, Any]:
    """What each kind of finding is about: ids, or offsets by partition."""
    findings = [finding for part in told["parts"] for finding in part["findings"]]
    return {each["kind"]: each["ids"] or each["offsets"] for each in findings}


def figures(told: dict[str, Any]) -> dict[str, Any]:
    return {part["part"]: part["figures"] for part in told["parts"]}


def at(place: tuple[int, int]) -> dict[str, list[list[int]]]:
    return {str(place[0]): [[place[1], place[1]]]}


def produce(world: World, record: Record, to: str | None = None, **changes: Any) -> tuple[int, int]:
    """Send a record again, with other bytes if there are changes, to the topic of transactions unless it is said.
    Returns its position."""
    value = record.value if not changes else json.dumps({**json.loads(record.value or b""), **changes}).encode()
    places: list[tuple[int, int]] = []
    producer = Producer(kafka.client(world.settings))
    producer.produce(
        to or world.pipeline.kafka.transactions_topic,
        value, record.key, record.partition, headers=list(record.headers),
        on_delivery=lambda error, message: places.append((message.partition(), message.offset())),
    )  # fmt: skip
    assert producer.flush(30) == 0
    return places[0]


def row_of(world: World, table: str, **where: Any) -> dict[str, Any]:
    """The first row of a table of the lake with these values."""
    return next(row for row in table_rows(world.pipeline.table(table)) if where.items() <= row.items())


def add(world: World, table: str, row: dict[str, Any]) -> None:
    """Add a row to a table of the lake."""
    path = world.pipeline.table(table)
    schema = DeltaTable(path).to_pyarrow_table().schema
    write_deltalake(path, pa.Table.from_pylist([row], schema=schema), mode="append")


def spoil_changes(world: World, copy: tuple[int, int]) -> dict[str, Any]:
    """A change doubled by hand, and one added that the topic has not: its offset is that of a transaction's marker,
    which lies before `copy`. The kinds of finding that they are, and what each is about."""
    taken = {record.offset for record in world.records() if record.partition == copy[0]}
    marker = next(offset for offset in range(copy[1]) if offset not in taken)
    twice, other = (row_of(world, "transaction_changes", id=number) for number in (12, 13))
    add(world, "transaction_changes", twice)
    stranger = {"partition": copy[0], "offset": marker, "id": 999_999, "entry": "unjudged"}
    add(world, "transaction_changes", other | stranger)
    place = (twice["partition"], twice["offset"])
    return {"change_doubled": at(place), "change_unknown": at((copy[0], marker))}


def spoil_quarantine(world: World, once: tuple[int, int], none: tuple[int, int], other: tuple[int, int]):
    """One unreadable message doubled by hand, one deleted, one with other bytes; as spoil_changes."""
    path, rows = world.pipeline.table("quarantine"), {}
    for place in (once, none, other):
        rows[place] = row_of(world, "quarantine", partition=place[0], offset=place[1])
    add(world, "quarantine", rows[once])
    for partition, offset in (none, other):
        DeltaTable(path).delete(f'"partition" = {partition} and "offset" = {offset}')
    add(world, "quarantine", rows[other] | {"value": b"other bytes"})
    return {"quarantine_doubled": at(once), "quarantine_missing": at(none), "quarantine_unknown": at(other)}


def spoil_alerts(world: World, twice: str, changed: str) -> dict[str, Any]:
    """An archived alert doubled by hand, and one with another payload; as spoil_changes."""
    add(world, "alerts", row_of(world, "alerts", alert_id=twice))
    archive = DeltaTable(world.pipeline.table("alerts"))
    archive.update({"payload": "'{}'"}, predicate=f"alert_id = '{changed}'")
    return {"archived_doubled": [twice], "archived_differs": [changed]}


def lose(world: World) -> None:
    """Changes that the capture does not see."""
    _execute(world.settings, "alter publication fraud_publication drop table public.transactions")
    try:
        world.sql(*UNSEEN)
    finally:
        _execute(world.settings, "alter publication fraud_publication add table public.transactions")


def test_each_fault_is_named_and_closed_once(a_world: World):
    a_world.sql(ROWS, *ODD)
    a_world.wait_for_row(11, "d")
    a_world.judge()
    code, healthy = audited(a_world)
    assert (code, kinds(healthy)) == (0, {})
    found = figures(healthy)
    assert (found["rows"]["postgres"], found["rows"]["mirror"], found["rows"]["in_flight"]) == (399, 399, 0)
    assert (found["records"]["topic"], found["records"]["changes"]) == (406, 406)  # the change of user_id is two
    assert found["alerts"]["high_amount"]["recomputed"] == found["alerts"]["high_amount"]["kafka"] == 10
    assert found["batches"]["anomaly"]["read"] == found["batches"]["mirror_transactions"]["read"] == 406

    # What the capture loses, a message that comes twice, one that is too large to be read, three that nobody can read
    # ever, and an alert that no rule made.
    lose(a_world)
    by_id = {
        json.loads(each.value)["after"]["id"]: each for each in a_world.records() if b'"after":{' in (each.value or b"")
    }
    copy = produce(a_world, by_id[42])
    padded = produce(a_world, by_id[43], op="u", padding="x" * 3000)
    unreadable = [produce(a_world, by_id[number]._replace(value=b"{")) for number in (44, 45, 46)]
    alerts_topic = a_world.pipeline.kafka.alerts_topic
    made = next(each for each in committed(a_world.settings, alerts_topic) if b'"high_amount"' in (each.value or b""))
    produce(a_world, made._replace(key=b"made_up"), alerts_topic, alert_id="made_up")
    a_world.sql("update transactions set amount = 21 where id = 2")
    a_world.wait_for_row(2, "u")
    a_world.judge()
    # What somebody deletes or writes by hand.
    alerts = sorted(row["alert_id"] for row in table_rows(a_world.pipeline.table("alerts")))
    DeltaTable(a_world.pipeline.table("alerts")).delete(f"alert_id = '{alerts[0]}'")
    DeltaTable(a_world.pipeline.table("transactions")).delete("id = 5")
    changed = next(row for row in table_rows(a_world.pipeline.table("transaction_changes")) if row["id"] == 6)
    place = (changed["partition"], changed["offset"])
    DeltaTable(a_world.pipeline.table("transaction_changes")).delete("id = 6")
    spoilt = spoil_changes(a_world, copy) | spoil_quarantine(a_world, *unreadable)
    spoilt |= spoil_alerts(a_world, alerts[1], alerts[2])

    code, broken = audited(a_world)
    assert code == 1
    assert kinds(broken) == {
        "row_not_captured": [[20, 20], [401, 402]], "row_ghost": [[30, 30]], "row_not_mirrored": [[5, 5]],
        "change_missing": at(place), "message_doubled": at(copy), "archived_missing": [alerts[0]],
        "alert_extra": ["made_up"], **spoilt,
    }  # fmt: skip
    assert (
        broken["parts"][0]["findings"][0]["text"]
        == "the topic: 3 rows of PostgreSQL whose present state never came into the topic (ids 20, 401-402)"
    )

    mended = replace(a_world, pipeline=replace(a_world.pipeline, max_message_bytes=262_144))
    planned = repaired(mended, dry_run=True, quarantine=True)
    assert len(planned.done) == 15
    done = repaired(mended, quarantine=True)
    assert done.after is not None
    assert kinds(as_json(done.after)) == {}
    # The archive follows its topic, so it comes second; the row of the alert that no rule made is one too many by then.
    assert done.done[12:] == [
        f"archived_{kind} in lake/alerts: archive 1 alerts anew from their topic"
        for kind in ("missing", "doubled", "extra", "differs")
    ]
    for window in ((), ("--since", "1h", "--parts", "records,batches,alerts")):
        code, clean = audited(mended, *window)
        assert (code, kinds(clean), clean["passed"]) == (0, {}, True)
    found = figures(as_json(done.after))
    assert (found["rows"]["postgres"], found["rows"]["mirror"], found["records"]["acknowledged"]) == (400, 400, 1)
    assert mended.mirror() == mended.postgres()
    origins = [value for each in mended.records() for name, value in each.headers if name == "fraudstream.replay_of"]
    assert origins == [f"{mended.pipeline.kafka.transactions_topic}-{padded[0]}-{padded[1]}".encode()]

    recorded = len(known.repairs(mended.pipeline.lake))
    again = repaired(mended, quarantine=True)
    assert (again.done, kinds(as_json(again.before))) == ([], {})
    assert len(known.repairs(mended.pipeline.lake)) == recorded == 16

    # Nobody captures any more: what the topic lacks may be lost, or come yet.
    delete_connector(mended.settings, mended.connector["name"])
    lose(mended)
    code, blind = audited(mended, "--parts", "rows", "--wait", "1")
    assert (code, kinds(blind), blind["passed"], blind["incomplete"]) == (2, {}, False, ["rows"])
    (reason,) = blind["parts"][0]["incomplete"]
    assert reason.startswith("2 rows (ids 403-404) whose state the topic lacks, lost or on its way: where the capture")
