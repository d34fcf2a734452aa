"""The whole chain on the real components: what is committed is captured, judged, alerted and mirrored, exactly. Here is
what takes a pipeline of its own; the rest is in test_one_topic.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from fraudstream.check.corrected import judge_corrected
from fraudstream.check.oracle import arrivals
from fraudstream.check.settings import settings_for
from fraudstream.errors import GuardError
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack import connect
from fraudstream.stack.connect import delete_connector
from fraudstream.streams import progress, queries
from stack.world import EXERCISE, World, _execute, connection, rows, table_rows, world

pytestmark = pytest.mark.stack


@pytest.fixture
def make_world(stack, spark, tmp_path: Path, request: pytest.FixtureRequest):
    entered = []

    def make(**options) -> World:
        context = world(stack, spark, tmp_path, request.node.name.removeprefix("test_")[:40], **options)
        entered.append(context)
        return context.__enter__()

    yield make
    for context in entered:
        context.__exit__(None, None, None)


def test_a_slot_made_before_the_rows_and_a_snapshot_after_them_mirror_once(make_world):
    world = make_world()
    slot = world.connector["config"]["slot.name"]
    with connection(world.settings, "postgres") as database:
        database.autocommit = True
        database.cursor().execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
    world.sql(
        rows(1, "10", "10", "10", "600"),
        "update transactions set amount = 20 where id = 1",
        "delete from transactions where id = 2",
    )
    world.capture()
    world.wait_for_row(4, "r")  # the last one of the snapshot
    world.sql(rows(1, "700", start=1000))
    world.wait_for_row(5)
    world.judge()
    world.assert_exact()
    assert len(world.mirror()) == 4


def test_a_second_run_adds_only_what_is_new_and_a_truncate_empties_the_mirror_but_no_history(make_world):
    world = make_world()
    world.capture()
    world.sql(rows(1, *["10"] * 3, "600"), rows(2, "10", "10", "10"))
    world.wait_for_row(7)
    world.judge()
    assert len(world.mirror()) == 7
    world.sql(rows(1, "650", start=1000))  # over 3 x the mean of 10, 10, 10, 600
    with connection(world.settings, "postgres") as database:
        database.cursor().execute("truncate transactions")
        database.commit()
    world.sql(rows(2, "600"))  # over 3 x the mean of 10, 10, 10
    world.wait_for_row(9)
    world.judge()
    assert world.assert_exact()["anomaly"] == 3
    assert sorted(world.alerts_in_kafka()) == [("anomaly", 4), ("anomaly", 8), ("anomaly", 9)]
    assert list(world.mirror()) == [9]


@pytest.fixture
def every_table_captured(stack) -> Iterator[None]:
    """What the exercise's connector needs, which asks for every table: docs/operations.md, "The secure stack"."""
    _execute(stack, "create publication dbz_publication for all tables")
    _execute(stack, "grant pg_read_all_data to capture")
    yield
    _execute(stack, "revoke pg_read_all_data from capture")
    _execute(stack, "drop publication dbz_publication")


def test_the_exercises_connector_as_it_is_gives_the_same_alerts(every_table_captured, make_world):
    world = make_world(source=EXERCISE, renamed=False)
    world.capture()
    assert world.pipeline.kafka.transactions_topic == "dbserver1.public.transactions"
    world.sql(
        rows(1, "10", "10", "10", "600"),
        rows(2, *["4600.01"] * 6, apart=1),
        "update transactions set user_id = 2 where id = 1",
        "delete from transactions where id = 2",
        rows(3, "0.1", "0.2", "0.3", "500.01"),
    )
    world.wait_for_row(14)
    keys = {record.key for record in world.records()}
    assert b'{"id":1}' in keys or any(b'"id":1' in (key or b"") for key in keys)
    assert {record.partition for record in world.records()} == {0}
    world.judge()
    assert world.assert_exact() == {"anomaly": 2, "velocity": 1, "high_amount": 6}


def test_changes_amend_and_withdraw_the_alerts_of_a_rule_with_corrections(make_world, tmp_path: Path):
    world = make_world()
    world.capture()
    (tmp_path / "corrected.yaml").write_text("anomaly: {corrections: on}")
    corrected = load_rules(tmp_path / "corrected.yaml")
    world.sql(rows(1, "10", "10", "10", "600", "600"), rows(2, "10", "10"))  # 4 and 5 alert
    world.wait_for_row(7)
    world.judge(corrected)
    world.sql(
        "update transactions set amount = 700 where id = 4",
        "update transactions set user_id = 2 where id = 5",
        rows(2, "700"),  # 8: 10, 10 and the 600 that joined: 2100 > 1860
        "delete from transactions where id = 4",
        rows(1, "510"),  # 9: 10, 10, 10
    )
    world.wait_for_row(9)
    world.judge(corrected)
    alerts = table_rows(world.pipeline.table("alerts"))
    assert {row["transaction_id"]: (row["status"], row["revision"], row["amount"]) for row in alerts} == {
        4: ("withdrawn", 2, Decimal("700.00")), 5: ("withdrawn", 1, Decimal("600.00")),
        8: ("open", 0, Decimal("700.00")), 9: ("open", 0, Decimal("510.00")),
    }  # fmt: skip
    oracle = judge_corrected(arrivals(world.records(), 262_144), settings_for("anomaly", {}))
    assert sorted(world.alerts_in_kafka()) == sorted(("anomaly", alert.transaction_id) for alert in oracle.alerts)
    lines = list(progress.read_lines(world.pipeline.progress, "anomaly"))
    counted = {
        name: sum(line[name] for line in lines) for name in ("read", "judged", "history", "corrected", "ignored")
    }
    assert counted == {"read": 13, "judged": 9, "history": 1, "corrected": 3, "ignored": 0}


def test_a_topic_of_several_partitions_keyed_by_id_is_refused(make_world):
    world = make_world(message__key__columns="public.transactions:id")
    with pytest.raises(GuardError, match=r"message\.key\.columns"):
        world.capture()
    name, config = connect.read_connector(world.settings, world.connector)
    connect._call(world.settings, "PUT", f"/connectors/{name}/config", config)  # as whoever reaches Connect may
    connect.wait_running(world.settings, name)
    world.sql(rows(1, *["10"] * 20))
    world.wait_for_row(20)
    with pytest.raises(GuardError, match=r"message\.key\.columns"):
        queries.start_rules(world.session.newSession(), world.rules, world.pipeline, until_caught_up=True)


def test_a_mirror_whose_checkpoint_is_gone_is_refused_until_it_is_reset(make_world):
    world = make_world()
    world.capture()
    world.sql(rows(1, "10", "10"))
    world.wait_for_row(2)
    world.run_mirror()
    elsewhere = replace(world.pipeline, checkpoints=f"{world.pipeline.checkpoints}_lost")
    with pytest.raises(GuardError, match="append every change again"):
        queries.start_mirror(world.session, elsewhere)
    queries.reset(world.session, elsewhere, queries.MIRROR)
    queries.start_mirror(world.session, elsewhere, until_caught_up=True).awaitTermination()
    assert len(table_rows(world.pipeline.table("transaction_changes"))) == 2
    assert delete_connector(world.settings, world.connector["name"])
