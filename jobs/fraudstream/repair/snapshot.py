"""Rows that the topic never had, brought by incremental snapshots through the connector's signal table.

The connector tells rows of one snapshot apart by the message key. With message.key.columns=user_id two rows of a user
would be one to it, and only the last would come: so a snapshot takes one row of each user, and there are as many
snapshots as the user with the most rows needs.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import psycopg2

from fraudstream.audit.finding import ranges
from fraudstream.cdc.envelope import UnreadableMessage, read_change_event
from fraudstream.check.topic import read_topic
from fraudstream.config import Pipeline
from fraudstream.errors import StackError
from fraudstream.stack.settings import StackSettings

_TABLE = "public.transactions"
_FILTER = 1500  # characters of a signal's filter; dbz.signal has room for 2048 in all
_TRIES = 3
_PAUSE_S = 0.3


def bring_rows(
    settings: StackSettings, pipeline: Pipeline, users: Mapping[int, int], start: Mapping[int, int], seconds: float,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Have the rows (id -> user) sent to the topic, and wait until they are there. `start` are the topic's ends before.

    Raises StackError for rows that did not come within so many seconds of each snapshot.
    """
    waiting, come, position = dict(users), set[int](), dict(start)
    for _ in range(_TRIES):
        for ids in groups(waiting):
            _signal(settings, ids)
            say(f"asked the connector for {len(ids):,} of {len(waiting):,} rows")
            limit = time.monotonic() + seconds
            while not set(ids) <= come and time.monotonic() < limit:
                time.sleep(_PAUSE_S)
                come |= set(_read_on(pipeline, position))
            waiting = {number: user for number, user in waiting.items() if number not in come}
        if not waiting:
            return
    raise StackError(
        f"{len(waiting):,} rows (ids {', '.join(map(str, sorted(waiting)[:5]))}) did not come within {seconds:.0f} s "
        "of the signal; see that the connector runs (make status) and has signal.data.collection=dbz.signal, and "
        "repair again."
    )


def groups(users: Mapping[int, int]) -> Iterator[list[int]]:
    """The ids, in groups with one row of each user, and filters that fit into a signal."""
    by_user: dict[int, list[int]] = defaultdict(list)
    for number in sorted(users):
        by_user[users[number]].append(number)
    for place in range(max(map(len, by_user.values()), default=0)):
        group: list[int] = []
        for number in sorted(each[place] for each in by_user.values() if len(each) > place):
            if len(filter_of([*group, number])) > _FILTER:
                yield group
                group = []
            group.append(number)
        yield group


def filter_of(ids: Sequence[int]) -> str:
    """A condition of SQL for the ids."""
    spans = ranges(ids)
    between = [f"id BETWEEN {first} AND {last}" for first, last in spans if first != last]
    single = [str(first) for first, last in spans if first == last]
    return " OR ".join([*between, *([f"id IN ({','.join(single)})"] if single else [])])


def _signal(settings: StackSettings, ids: Sequence[int]) -> None:
    condition = {"data-collection": _TABLE, "filter": filter_of(ids)}
    data = {"data-collections": [_TABLE], "type": "incremental", "additional-conditions": [condition]}
    connection = psycopg2.connect(settings.dsn("capture"))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO dbz.signal (id, type, data) VALUES (%s, 'execute-snapshot', %s)",
                (str(uuid.uuid4()), json.dumps(data)),
            )
    finally:
        connection.close()


def _read_on(pipeline: Pipeline, position: dict[int, int]) -> Iterator[int]:
    """The ids of the rows from a position in the topic on, which moves behind them."""
    kafka = pipeline.kafka
    for record in read_topic(kafka.bootstrap_servers, kafka.transactions_topic, kafka.client_options, position):
        position[record.partition] = record.offset + 1
        try:
            event = read_change_event(record.value, record.headers, pipeline.max_message_bytes)
        except UnreadableMessage:
            continue
        if event.row is not None:
            yield event.row.id
