"""PostgreSQL's rows against lake/transactions: checksums of ranges of ids, then the rows of ranges that differ.

The database goes on while it is compared. A row that differs is one of: in flight (its change is in the topic behind
the mirror, or it was written meanwhile), not mirrored (the topic's changes leave another row than the mirror has), not
captured (the row has not changed since before the capture's position, and the topic has it otherwise) or a ghost (the
same for a row that PostgreSQL has not). The last two are unknown while the capture has not come that far.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg2
import pyarrow as pa

from fraudstream import lake
from fraudstream.arrow import cents_of, micros_of
from fraudstream.audit import checksums
from fraudstream.audit.checksums import SIZE, Row
from fraudstream.audit.finding import Part, ids_text, ranges
from fraudstream.audit.standing import Change, row_of, standing
from fraudstream.errors import FraudstreamError
from fraudstream.masking import Mask, masked_id
from fraudstream.rulebook.exact import NULL
from fraudstream.stack.guard import lsn_text

Ids = tuple[int, int]
NOT_CAPTURED = ("row_not_captured", "row_ghost")  # kinds that the capture may take back when it has come further
_PAUSE_S = 0.5
_LONGER = 10  # a capture that moves on is waited for so many times as long as one that stands still
_POSITION = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
_ROWS = f"SELECT {checksums.POSTGRES_COLUMNS}, xmin::text FROM public.transactions WHERE id BETWEEN %s AND %s"
_COLUMNS = 'id, user_id, amount, card_type, merchant_id, created_us, "partition", "offset", lsn, op, committed_at'


class Stored(NamedTuple):
    """A row of PostgreSQL; `written_by` is the transaction that wrote it last."""

    row: Row
    written_by: str


@dataclass
class Suspects:
    """Rows that differ, of the ids in `ranges`: as PostgreSQL and as the mirror has them (deleted ones too). `lsn` is
    the end of the log when PostgreSQL was read."""

    lsn: int
    compared: int = 0
    mirrored_rows: int = 0
    ranges: int = 0
    postgres: dict[int, Stored] = field(default_factory=dict)
    mirror: dict[int, list[Change]] = field(default_factory=dict)

    @property
    def ids(self) -> list[int]:
        """Their ids, ascending."""
        return sorted(self.postgres.keys() | self.mirror.keys())


@contextmanager
def reading(dsn: str) -> Iterator[Any]:
    """A cursor in a transaction that sees the database as it is now and writes nothing. Raises FraudstreamError."""
    try:
        connection = psycopg2.connect(dsn)
    except psycopg2.Error as error:
        text = " ".join(str(error).split())
        raise FraudstreamError(f"PostgreSQL: {text}; check that the stack is up (make status).") from None
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def suspects(dsn: str, folder: str, ids: Ids | None, mask: Mask | None = None) -> Suspects:
    """The rows that differ between PostgreSQL, its users masked by `mask`, and the mirror; both are read once."""
    table = lake.open_table(folder, "transactions")
    with reading(dsn) as cursor:
        left = _masked_checksums(cursor, ids, mask) if mask else checksums.of_postgres(cursor, ids)
        cursor.execute(_POSITION)  # after the snapshot that the first query took: all that it sees lies before
        ((position,),) = cursor.fetchall()
        right = checksums.of_mirror(table, ids) if table else {}
        places = checksums.differing(left, right)
        found = Suspects(int(position), sum(each.rows for each in left.values()))
        found.mirrored_rows, found.ranges = sum(each.rows for each in right.values()), len(left.keys() | right.keys())
        for first, last in ranges(places):
            span = (first * SIZE, last * SIZE + SIZE - 1)
            span = span if ids is None else (max(span[0], ids[0]), min(span[1], ids[1]))
            stored, mirrored = _stored(cursor, span, mask), _mirrored(table, span) if table else {}
            for number in stored.keys() | mirrored.keys():
                ours, is_once = _row(standing(mirrored.get(number, ()))), len(mirrored.get(number, ())) <= 1
                if is_once and ours == (stored[number].row if number in stored else None):
                    continue
                if number in stored:
                    found.postgres[number] = stored[number]
                if number in mirrored:
                    found.mirror[number] = mirrored[number]
    return found


def _masked_checksums(cursor: Any, ids: Ids | None, mask: Mask) -> checksums.Checksums:
    """Those of PostgreSQL's rows with masked users. It must not get the key, so its rows are digested here."""
    where = "" if ids is None else "WHERE id BETWEEN %s AND %s"
    with cursor.connection.cursor("rows") as found:  # a cursor with a name fetches a part at a time
        found.itersize = 10_000
        found.execute(f"SELECT {checksums.POSTGRES_COLUMNS} FROM public.transactions {where}", ids)
        return checksums.of_rows((number, row_of(masked_id(user, mask), *row)) for number, user, *row in found)


def stored_rows(dsn: str, ids: Sequence[int], mask: Mask | None = None) -> dict[int, Stored]:
    """The rows of PostgreSQL with these ids, as they are now; users masked by `mask`."""
    found: dict[int, Stored] = {}
    with reading(dsn) as cursor:
        for first, last in ranges(ids):
            found |= _stored(cursor, (first, last), mask)
    return found


def _stored(cursor: Any, span: Ids, mask: Mask | None) -> dict[int, Stored]:
    cursor.execute(_ROWS, span)
    return {
        number: Stored(row_of(masked_id(user, mask) if mask else user, *row), xmin)
        for number, user, *row, xmin in cursor
    }


def _mirrored(table: Any, span: Ids) -> dict[int, list[Change]]:
    sql = f"SELECT {_COLUMNS}, deleted FROM transactions WHERE id BETWEEN {span[0]} AND {span[1]}"
    rows = pa.table(lake.library().QueryBuilder().register("transactions", table).execute(sql))
    found: dict[int, list[Change]] = defaultdict(list)
    for (number, change), deleted in zip(_changes(rows), rows["deleted"].to_pylist(), strict=True):
        found[number].append(change._replace(row=None if deleted else change.row))
    return dict(found)


def changes_of(folder: str, ids: Sequence[int], topic: str) -> tuple[dict[int, list[Change]], int | None]:
    """What lake/transaction_changes has of these ids, and the LSN of its last truncate."""
    table = "transaction_changes"
    if not ids or lake.open_table(folder, table) is None:
        return {}, None
    spans = " OR ".join(f"id BETWEEN {first} AND {last}" for first, last in _wide(ranges(ids)))
    own = f"topic = {lake.literal(topic)}"
    rows = lake.query(folder, table, f"SELECT {_COLUMNS} FROM {table} WHERE ({spans}) AND {own}")
    wanted, found = set(ids), defaultdict(list)
    for number, change in _changes(rows):
        if number in wanted:
            found[number].append(change)
    truncates = lake.query(folder, table, f"SELECT max(lsn) AS lsn FROM {table} WHERE op = 't' AND {own}")
    return dict(found), truncates["lsn"].to_pylist()[0]


def _wide(spans: list[list[int]], most: int = 200) -> list[list[int]]:
    """The spans, joined to one where they are many."""
    return spans if len(spans) <= most else [[spans[0][0], spans[-1][1]]]


def _changes(rows: pa.Table) -> Iterator[tuple[int, Change]]:
    cents = [None if each == NULL else int(each) for each in cents_of(rows["amount"])]
    committed = [None if each == NULL else int(each) // 1000 for each in micros_of(rows["committed_at"])]
    names = ("id", "user_id", "card_type", "merchant_id", "created_us", "partition", "offset", "lsn", "op")
    columns = [rows[name].to_pylist() for name in names]
    for place, each in enumerate(zip(*columns, strict=True)):
        number, user, card, merchant, created, partition, offset, lsn, op = each
        row = None if op in ("d", "t") else row_of(user, cents[place], card, merchant, created)
        yield number, Change(partition, offset, op, lsn, committed[place], row)


def wait_for_capture(lsn: int, position: Callable[[], int], seconds: float) -> str | None:
    """Wait until `position()` (-1: unknown) has passed `lsn`. Why it has not: it stood still for so many seconds, or
    moved on for ten times as long."""
    began = moved = time.monotonic()
    last = position()
    while last < lsn:
        now = time.monotonic()
        if now - moved >= seconds or now - began >= _LONGER * seconds:
            return _why(last, lsn, now - began)
        time.sleep(_PAUSE_S)
        found = position()
        if found > last:
            moved = time.monotonic()
        last = found
    return None


def _why(last: int, lsn: int, seconds: float) -> str:
    if last < 0:
        return "where the capture stands is unknown: no connector of the topic, several, or its slot is gone or lost"
    return (
        f"after {seconds:.0f} s the capture is at {lsn_text(last)} and has not passed {lsn_text(lsn)}, the end of the "
        "log (make status; a longer --wait)"
    )


@dataclass(frozen=True)
class Topic:
    """What the topic has of the suspects: `mirrored` up to where the mirror stands, `behind` after that; truncates by
    their LSN."""

    mirrored: Mapping[int, Iterable[Change]]
    behind: Mapping[int, Iterable[Change]]
    truncated: int | None


def classify(found: Suspects, topic: Topic, now: Mapping[int, Stored]) -> tuple[dict[str, list[int]], list[int]]:
    """The suspects' ids by the kind of finding, and those in flight. `now` are PostgreSQL's rows read again."""
    kinds: dict[str, list[int]] = {"row_not_captured": [], "row_not_mirrored": [], "row_ghost": []}
    in_flight: list[int] = []
    for number in found.ids:
        before, after = found.postgres.get(number), now.get(number)
        row = before.row if before else None
        behind = list(topic.behind.get(number, ()))
        by_topic = _row(standing([*topic.mirrored.get(number, ()), *behind], topic.truncated))
        with_flight = _row(standing([*found.mirror.get(number, ()), *behind], topic.truncated))
        if by_topic == row:
            # A mirror that has this row twice is not right even where the newer one is.
            is_late = with_flight == row and len(found.mirror.get(number, ())) <= 1
            (in_flight if is_late else kinds["row_not_mirrored"]).append(number)
        elif before != after:
            in_flight.append(number)
        else:
            kinds["row_ghost" if row is None else "row_not_captured"].append(number)
    return kinds, in_flight


def _row(change: Change | None) -> Row | None:
    return change.row if change else None


def part_of(
    found: Suspects, kinds: Mapping[str, list[int]], in_flight: Sequence[int], uncaptured: str | None = None
) -> Part:
    """The part of the audit. `uncaptured` says why the capture has not passed the log's end as the suspects saw it:
    what the topic lacks may then be lost or on its way."""
    part = Part("rows")
    where = {"row_not_captured": "the topic", "row_not_mirrored": "lake/transactions", "row_ghost": "lake/transactions"}
    unknown: list[int] = []
    for kind, ids in kinds.items():
        if uncaptured and kind in NOT_CAPTURED:
            unknown += ids
        else:
            part.found(kind, where[kind], ids=ids)
    part.figures = {
        "postgres": found.compared, "mirror": found.mirrored_rows, "ranges": found.ranges, "in_flight": len(in_flight)
    }  # fmt: skip
    if unknown:
        part.incomplete.append(
            f"{len(unknown):,} rows ({ids_text(unknown)}) whose state the topic lacks, lost or on its way: {uncaptured}"
        )
    return part
