"""Checksums of rows per range of ids, the same from PostgreSQL and from the mirror.

A row is written as one text, its MD5 is taken as two whole numbers of 64 bits, and these are summed over a range modulo
2^64. A sum does not depend on the order of the rows; a row that is changed, doubled or missing changes it, and changes
of two rows cancel each other only where two digests happen to (about 1 in 2^128).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fraudstream import lake

SIZE = 1000  # ids of a range
# Microseconds since 1970 that a timestamp column can show: years 1 to 9999.
FIRST_SHOWN, LAST_SHOWN = -62_135_596_800_000_000, 253_402_300_799_999_999
Row = tuple[int, int | None, str | None, int | None, int | None, int | None]
"""user id, cents, card type, merchant id, created_at in microseconds, and the same if a table can show it."""

# PostgreSQL's infinities are the ends of a 64-bit integer in the connector's messages.
_MICROS = """CASE created_at WHEN 'infinity' THEN 9223372036854775807 WHEN '-infinity' THEN -9223372036854775808
    ELSE (extract(epoch FROM created_at) * 1000000)::bigint END"""
POSTGRES_COLUMNS = f"""id, user_id, CASE WHEN amount <> 'NaN' THEN (amount * 100)::bigint END AS cents, card_type,
    merchant_id, {_MICROS} AS created_us"""
_POSTGRES = f"""
    SELECT id / {SIZE}, count(*), sum(('x' || substr(h, 1, 16))::bit(64)::bigint),
        sum(('x' || substr(h, 17, 16))::bit(64)::bigint)
    FROM (SELECT id, md5(id || '|' || user_id || '|' || coalesce(cents::text, '-') || '|'
            || coalesce(length(card_type) || ':' || card_type, '-') || '|' || coalesce(merchant_id::text, '-') || '|'
            || coalesce(created_us::text, '-') || '|'
            || coalesce(CASE WHEN created_us BETWEEN {FIRST_SHOWN} AND {LAST_SHOWN} THEN created_us::text END, '-')
        ) AS h
        FROM (SELECT {POSTGRES_COLUMNS} FROM public.transactions {{where}}) AS rows) AS hashed
    GROUP BY 1
"""
DELTA_COLUMNS = (
    "id, user_id, CAST(amount * 100 AS BIGINT) AS cents, card_type, merchant_id, created_us, "
    "CAST(created_at AS BIGINT) AS shown_us"
)
_DELTA = f"""
    SELECT id / {SIZE} AS range, md5(concat(CAST(id AS VARCHAR), '|', CAST(user_id AS VARCHAR), '|',
        coalesce(CAST(cents AS VARCHAR), '-'), '|',
        coalesce(CAST(char_length(card_type) AS VARCHAR) || ':' || card_type, '-'), '|',
        coalesce(CAST(merchant_id AS VARCHAR), '-'), '|', coalesce(CAST(created_us AS VARCHAR), '-'), '|',
        coalesce(CAST(shown_us AS VARCHAR), '-'))) AS h
    FROM (SELECT {DELTA_COLUMNS} FROM transactions WHERE NOT deleted{{where}})
"""


class Checksum(NamedTuple):
    """Of a range of ids: its rows, and the sums of the two halves of their digests modulo 2^64."""

    rows: int
    high: int
    low: int


Checksums = dict[int, Checksum]  # by the range's number: ids from number * SIZE


def row_text(number: int, row: Row) -> str:
    """The text of a row that is digested: no two different rows have the same."""
    user, cents, card, merchant, created, shown = row
    card_text = None if card is None else f"{len(card)}:{card}"
    fields = (number, user, cents, card_text, merchant, created, shown)
    return "|".join("-" if each is None else str(each) for each in fields)


def of_rows(rows: Iterable[tuple[int, Row]]) -> Checksums:
    """The checksums of rows, one by one: the definition."""
    found: Checksums = {}
    for number, row in rows:
        digest = hashlib.md5(row_text(number, row).encode(), usedforsecurity=False).digest()
        place = number // SIZE
        before = found.get(place, Checksum(0, 0, 0))
        halves = (int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big"))
        sums = [(old + new) % 2**64 for old, new in zip(before[1:], halves, strict=True)]
        found[place] = Checksum(before.rows + 1, *sums)
    return found


def of_postgres(cursor: Any, ids: tuple[int, int] | None) -> Checksums:
    """The checksums of public.transactions, computed by PostgreSQL."""
    cursor.execute(_POSTGRES.format(where="" if ids is None else "WHERE id BETWEEN %s AND %s"), ids)
    return {int(place): Checksum(rows, int(high) % 2**64, int(low) % 2**64) for place, rows, high, low in cursor}


def of_mirror(table: Any, ids: tuple[int, int] | None) -> Checksums:
    """The checksums of the rows of lake/transactions (deltalake's DeltaTable) that are not deleted."""
    sql = _DELTA.format(where="" if ids is None else f" AND id BETWEEN {ids[0]} AND {ids[1]}")
    digests = pa.table(lake.library().QueryBuilder().register("transactions", table).execute(sql))
    if not len(digests):
        return {}
    places = digests["range"].to_numpy()
    order = np.argsort(places, kind="stable")
    places = places[order]
    halves = np.frombuffer(bytes.fromhex("".join(digests["h"].to_pylist())), dtype=">u8").reshape(-1, 2)[order]
    starts = np.flatnonzero(np.append(True, places[1:] != places[:-1]))
    sums = np.add.reduceat(halves.astype(np.uint64), starts, axis=0)  # unsigned integers wrap at 2^64
    counts = np.diff(np.append(starts, len(places)))
    return {
        int(place): Checksum(int(rows), int(high), int(low))
        for place, rows, (high, low) in zip(places[starts], counts, sums, strict=True)
    }


def differing(left: Checksums, right: Checksums) -> list[int]:
    """The ranges whose checksums differ, ascending."""
    return sorted(place for place in left.keys() | right.keys() if left.get(place) != right.get(place))
