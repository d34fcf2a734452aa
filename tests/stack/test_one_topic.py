"""All that a topic can have at once, on the real components: captured, judged, alerted and mirrored, exactly. What each
test is about has users of its own, and one run of the rules, the mirror and the archive is for all of them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from fraudstream.errors import StackError
from fraudstream.stack import kafka
from fraudstream.stack.connect import put_connector
from stack.world import NOON, ROW, World, connection, rows, table_rows, topic_values, world

pytestmark = pytest.mark.stack
# The ids that each part of the input gets, in the order in which it is written.
SNAPSHOT, CHANGED, AFTER_SNAPSHOT, INTERLEAVED = range(1, 5), range(5, 21), range(21, 27), range(27, 34)
COPIED, AMID_POISON, REDELIVERED = range(34, 270), range(270, 274), range(274, 279)
COPYING_USERS = range(101, 160)
DEEP, LONG = b"[" * 2000 + b"]" * 2000, b'{"a": "' + b"x" * 900_000 + b'"}'
POISON = [b"\xff\xfe", b"{}", b"[]", b'{"op": "c"', DEEP, LONG]


@pytest.fixture(scope="module")
def judged(stack, spark, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(stack, spark, tmp_path_factory.mktemp("one_topic"), "one_topic") as made:
        made.sql(rows(61, "10", "10", "10", "9000"))
        made.capture()
        change(made)
        made.sql(rows(61, "1", "5000", start=1000))  # not over 3 x the mean of 10, 10, 10, 9000 and 1: 5418.6
        made.sql(rows(62, "10", "10", "10", "600"))
        interleave(made)
        copy(made)
        spoil(made)
        redeliver(made)
        made.judge()
        yield made


def change(made: World) -> None:
    """Inserts, updates, deletes and a row that moves to another user."""
    made.sql(
        rows(1, "10", "10", "10", "600"),  # anomaly: 600 > 3 x 10
        rows(2, *["4600"] * 6, apart=1),  # high_amount six times, velocity at the sixth
        "update transactions set amount = 11 where id = 5",
        "update transactions set user_id = 3 where id = 6",
        "delete from transactions where id = 7",
        rows(3, "10", "10", "600"),  # the moved row joined no history: two amounts before, no anomaly
        f"{ROW} (4, 'NaN', 'VISA', 7, {NOON}), (4, 5000, 'VISA', 7, timestamp '2999-01-01')",  # no rule sees them
        rows(9, "1"),
    )


def interleave(made: World) -> None:
    """Two transactions, of which the one that began first is committed last."""
    with connection(made.settings) as first, connection(made.settings) as second:
        first.cursor().execute(rows(31, "10", "10", "10"))
        second.cursor().execute(rows(31, "600", "600", "600"))
        second.commit()
        first.commit()
    made.sql(rows(31, "700"))


def copy(made: World) -> None:
    """Four rows of each of many users by one COPY."""
    lines = "".join(f"{user}\t{amount}\tVISA\t7\n" for user in COPYING_USERS for amount in (10, 10, 10, 600))
    with connection(made.settings) as database:
        database.cursor().copy_expert(
            "copy transactions (user_id, amount, card_type, merchant_id) from stdin", io.StringIO(lines)
        )
        database.commit()


def spoil(made: World) -> None:
    """Unreadable messages between the rows of a user."""
    made.sql(rows(71, "10", "10", "10"))
    made.wait_for_row(AMID_POISON[2])
    producer = Producer({**kafka.client(made.settings), "message.max.bytes": 2_000_000})
    for value in POISON:
        producer.produce(made.pipeline.kafka.transactions_topic, value, key=b'{"user_id":71}')
    assert producer.flush(30) == 0
    made.sql(rows(71, "600"))


def redeliver(made: World) -> None:
    """A user's changes, and all of them once more."""
    made.sql(rows(41, "10", "10", "10", "600", "2000"))
    made.wait_for_row(REDELIVERED[-1])
    producer = Producer(kafka.client(made.settings))
    own = [record for record in made.records() if record.value and b'"user_id":41,' in record.value]
    assert len(own) == len(REDELIVERED)
    for record in own:
        producer.produce(
            made.pipeline.kafka.transactions_topic, record.value, record.key, record.partition,
            headers=list(record.headers),
        )  # fmt: skip
    assert producer.flush(30) == 0


def alerts(made: World, ids: range) -> dict[str, list[int]]:
    """The rows of these ids that each rule has alerted on, as often as it did."""
    found: dict[str, list[int]] = {}
    for rule, number in sorted(made.alerts_in_kafka()):
        if number in ids:
            found.setdefault(rule, []).append(number)
    return found


def envelopes(made: World, users: range) -> list[dict[str, Any]]:
    """The users' changes, in the order of the topic."""
    found = topic_values(made.settings, made.pipeline.kafka.transactions_topic)
    return [each for each in found if (each.get("after") or {}).get("user_id") in users]


def test_oracle_kafka_delta_and_database_agree_on_all_of_it(judged: World):
    anomalies = 1 + 1 + len(COPYING_USERS) + 1 + 2
    assert judged.assert_exact() == {"anomaly": anomalies, "velocity": 1, "high_amount": 7}


def test_inserts_updates_deletes_and_a_moved_row_end_exact_everywhere(judged: World):
    assert alerts(judged, CHANGED) == {"anomaly": [8], "high_amount": [*range(9, 15)], "velocity": [14]}
    assert judged.mirror()[6][0] == 3
    assert 7 not in judged.mirror()
    assert judged.parts("anomaly")["unjudged"] == 2
    changes = table_rows(judged.pipeline.table("transaction_changes"))
    ops = Counter(row["op"] for row in changes if row["id"] in CHANGED)
    assert ops == {"c": 17, "u": 1, "d": 2}  # the move is a delete and an insert


def test_a_snapshot_joins_the_history_and_is_not_judged(judged: World):
    assert alerts(judged, SNAPSHOT) == {}
    assert alerts(judged, AFTER_SNAPSHOT) == {"anomaly": [26], "high_amount": [22]}
    assert judged.parts("anomaly")["history"] == len(SNAPSHOT)


def test_interleaved_transactions_are_judged_in_the_order_of_their_commits(judged: World):
    lsns = [each["source"]["lsn"] for each in envelopes(judged, range(31, 32))]
    assert len(lsns) == len(INTERLEAVED)
    assert lsns != sorted(lsns), "the transactions were not interleaved"
    assert alerts(judged, INTERLEAVED) == {}  # 700 is not over 3 x the mean of 600, 600, 600, 10, 10, 10


def test_rows_of_a_copy_share_an_lsn_and_are_all_judged(judged: World):
    lsns = Counter(each["source"]["lsn"] for each in envelopes(judged, COPYING_USERS))
    assert max(lsns.values()) > 1, "no two rows share an LSN"
    assert alerts(judged, COPIED) == {"anomaly": [*COPIED[3::4]]}


def test_unreadable_messages_are_quarantined_with_their_bytes_and_the_stream_goes_on(judged: World):
    assert alerts(judged, AMID_POISON) == {"anomaly": [AMID_POISON[-1]]}
    kept = table_rows(judged.pipeline.table("quarantine"))
    assert sorted(row["value"] for row in kept) == sorted(POISON)
    assert all(row["reason"] for row in kept)
    assert judged.parts("velocity")["unreadable"] == len(POISON)


def test_a_redelivered_change_is_judged_once(judged: World):
    assert alerts(judged, REDELIVERED) == {"anomaly": [277, 278]}
    inserts = sum(map(len, (CHANGED, AFTER_SNAPSHOT, INTERLEAVED, COPIED, AMID_POISON, REDELIVERED)))
    assert judged.parts("anomaly")["judged"] == inserts - 2
    # The copies; and an update, a delete and the two halves of a move.
    assert judged.parts("anomaly")["ignored"] == len(REDELIVERED) + 4


def test_two_connectors_on_one_topic_are_refused(judged: World):
    second = {**judged.connector, "name": "second", "config": {**judged.connector["config"], "slot.name": "second"}}
    with pytest.raises(StackError, match="every change would stand there twice"):
        put_connector(judged.settings, second)
