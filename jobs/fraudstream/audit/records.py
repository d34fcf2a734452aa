"""Every record of the topic is in lake/transaction_changes, in lake/quarantine or ignored by name, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraudstream import lake
from fraudstream.arrow import integers_of
from fraudstream.audit.bounds import MIRROR, Bounds
from fraudstream.audit.finding import Part, Position
from fraudstream.cdc.envelope import ChangeEvent, UnreadableMessage, read_change_event
from fraudstream.check.topic import Record
from fraudstream.masking import Mask

Ints = npt.NDArray[np.int64]
REPLAYED = "fraudstream.replay_of"  # header of a message that was put back: topic-partition-offset of its origin
CHANGES = ("c", "u", "d", "r", "t")
MOST_BEHIND = 300_000  # records that the mirror may be behind and rows in flight are still told apart
_AT_ONCE = 10_000
# What a copy repeats may stand in the topic long before what is compared, but has the copy's LSN.
_LOWEST = "SELECT min(lsn) AS lsn FROM transaction_changes WHERE op <> 'r' AND {compared}"
_COPIES = """
    SELECT DISTINCT "partition", "offset", change.lsn, change.tx_id, change.id, change.op, change.moved
    FROM transaction_changes AS change JOIN (
        SELECT lsn, tx_id, id, op, moved FROM transaction_changes WHERE op <> 'r' AND lsn >= {lowest}
        GROUP BY lsn, tx_id, id, op, moved HAVING count(*) > 1
    ) AS often ON change.lsn = often.lsn AND change.op = often.op AND change.moved = often.moved
        AND (change.tx_id IS NOT DISTINCT FROM often.tx_id) AND (change.id IS NOT DISTINCT FROM often.id)
    WHERE change.lsn >= {lowest}
    ORDER BY 1, 2
"""


@dataclass
class Scan:
    """The topic's records from where it is compared: their offsets; those that the mirror should have and that are not
    among its changes; and those behind it, the first MOST_BEHIND of them."""

    offsets: dict[int, Ints]
    unmirrored: list[Record] = field(default_factory=list)
    behind: list[Record] = field(default_factory=list)
    in_flight: int = 0
    highest_lsn: int = -1

    @property
    def read(self) -> int:
        """How many records."""
        return sum(map(len, self.offsets.values()))

    @property
    def far_behind(self) -> bool:
        """Whether there are records in flight that `behind` has not."""
        return self.in_flight > len(self.behind)

    def count(self, partition: int, first: int, end: int) -> int:
        """How many records have first <= offset < end."""
        found = self.offsets.get(partition, np.zeros(0, dtype=np.int64))
        return max(0, int(np.searchsorted(found, end) - np.searchsorted(found, first)))

    def positions(self, partition: int, first: int, end: int) -> list[Position]:
        """Their positions."""
        found = self.offsets.get(partition, np.zeros(0, dtype=np.int64))
        part = found[np.searchsorted(found, first) : np.searchsorted(found, end)]
        return [(partition, offset) for offset in part.tolist()]


def compared(bounds: Bounds) -> str:
    """Of the lake's rows, in SQL, those whose records are compared: from where the topic is read up to the mirror's
    position."""
    start, end = bounds.transactions.start, bounds.of(MIRROR)
    spans = [f'"partition" = {p} AND "offset" >= {start.get(p, 0)} AND "offset" < {end[p]}' for p in end]
    return f"({' OR '.join(spans) or 'false'})"


def positions_of(folder: str, table: str, topic: str, where: str = "true") -> dict[int, Ints]:
    """The offsets of a table's rows by partition, ascending; a row that stands there twice is there twice."""
    if lake.open_table(folder, table) is None:
        return {}
    own = f"topic = {lake.literal(topic)} AND {where}"
    found = lake.query(folder, table, f'SELECT "partition", "offset" FROM {table} WHERE {own}')
    partitions, offsets = integers_of(found["partition"]), integers_of(found["offset"])
    return {int(number): np.sort(offsets[partitions == number]) for number in np.unique(partitions)}


def quarantine_of(folder: str, topic: str, where: str = "true") -> pa.Table:
    """Partition, offset and value of the topic's rows of lake/quarantine."""
    if lake.open_table(folder, "quarantine") is None:
        return pa.table({"partition": pa.array([], pa.int32()), "offset": pa.array([], pa.int64()), "value": []})
    own = f"topic = {lake.literal(topic)} AND {where}"
    return lake.query(folder, "quarantine", f'SELECT "partition", "offset", value FROM quarantine WHERE {own}')


def scan(records: Iterable[Record], mirrored: dict[int, Ints], bounds: Bounds) -> Scan:
    """Sort the topic's records, which come by offset within each partition."""
    offsets: dict[int, list[Ints]] = {}
    found, position = Scan({}), bounds.of(MIRROR)
    for batch in _batches(records):
        for number in {each.partition for each in batch}:
            part = [each for each in batch if each.partition == number]
            numbers = np.fromiter((each.offset for each in part), dtype=np.int64)
            offsets.setdefault(number, []).append(numbers)
            end = position.get(number, 0)
            absent = ~np.isin(numbers, mirrored.get(number, np.zeros(0, dtype=np.int64)))
            found.unmirrored += [part[place] for place in np.flatnonzero(absent & (numbers < end))]
            behind = np.flatnonzero(numbers >= end)
            found.in_flight += len(behind)
            found.behind += [part[place] for place in behind[: MOST_BEHIND - len(found.behind)]]
    found.offsets = {number: np.concatenate(parts) for number, parts in offsets.items()}
    return found


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, _AT_ONCE)):
        yield batch


def event_of(record: Record, max_bytes: int, mask: Mask | None = None) -> ChangeEvent | None:
    """The record's change event, as the lake has it; None for one that cannot be read."""
    try:
        return read_change_event(record.value, record.headers, max_bytes, mask)
    except UnreadableMessage:
        return None


def compare_records(
    found: Scan, changes: dict[int, Ints], quarantine: pa.Table, bounds: Bounds, max_bytes: int,
    mask: Mask | None = None,
) -> tuple[Part, list[tuple[Record, ChangeEvent]]]:  # fmt: skip
    """The part of the audit, and the changes that lake/transaction_changes lacks. `changes` are the offsets of its
    rows; `quarantine` has the columns partition, offset and value."""
    part = Part("records")
    quarantined = _quarantined(quarantine, bounds)
    missing: list[tuple[Record, ChangeEvent]] = []
    unreadable, other_bytes, ignored, readable = [], [], Counter[str](), 0
    for record in found.unmirrored:
        event, at = event_of(record, max_bytes, mask), (record.partition, record.offset)
        if at in quarantined:
            readable += event is not None
            if quarantined[at] != record.value:
                other_bytes.append(at)
        elif event is None:
            unreadable.append(at)
        elif event.op in CHANGES:
            missing.append((record, event))
        else:
            ignored[event.op] += 1
    twice, unknown, kept = _compared(changes, found, bounds)
    doubled = [at for at, count in Counter(_positions(quarantine, bounds)).items() if count > 1]
    absent = [at for at in quarantined if not found.count(at[0], at[1], at[1] + 1) or _has(changes, at)]
    part.found("change_missing", "lake/transaction_changes", positions=[(r.partition, r.offset) for r, _ in missing])
    part.found("change_doubled", "lake/transaction_changes", positions=twice)
    part.found("change_unknown", "lake/transaction_changes", positions=unknown)
    part.found("quarantine_missing", "lake/quarantine", positions=unreadable)
    part.found("quarantine_doubled", "lake/quarantine", positions=doubled)
    part.found("quarantine_unknown", "lake/quarantine", positions=sorted({*absent, *other_bytes}))
    processed = found.read - found.in_flight
    part.figures = {
        "topic": found.read, "processed": processed, "changes": kept, "quarantined": len(quarantined),
        "readable_now": readable, "ignored": dict(ignored), "in_flight": found.in_flight,
    }  # fmt: skip
    part.incomplete += _behind(found, bounds)
    return part, missing


def _behind(found: Scan, bounds: Bounds) -> list[str]:
    if found.read and not bounds.of(MIRROR):
        return ["the mirror has not begun: all records of the topic are in flight"]
    return [f"the mirror is {found.in_flight:,} records behind"] if found.far_behind else []


def _compared(rows: dict[int, Ints], found: Scan, bounds: Bounds) -> tuple[list[Position], list[Position], int]:
    """Of the rows whose records are compared: those that stand there twice, those that the topic has not, and how many
    records they are of."""
    twice: list[Position] = []
    unknown: list[Position] = []
    kept = 0
    for number, each in rows.items():
        first, end = bounds.transactions.start.get(number, 0), bounds.of(MIRROR).get(number, 0)
        offsets, counts = np.unique(each[(each >= first) & (each < end)], return_counts=True)
        kept += len(offsets)
        twice += [(number, int(offset)) for offset in offsets[counts > 1]]
        absent = ~np.isin(offsets, found.offsets.get(number, np.zeros(0, dtype=np.int64)))
        unknown += [(number, int(offset)) for offset in offsets[absent]]
    return twice, unknown, kept


def _positions(quarantine: pa.Table, bounds: Bounds) -> list[Position]:
    pairs = zip(quarantine["partition"].to_pylist(), quarantine["offset"].to_pylist(), strict=True)
    return [at for at in pairs if bounds.transactions.covers(*at) and at[1] < bounds.of(MIRROR).get(at[0], 0)]


def _quarantined(quarantine: pa.Table, bounds: Bounds) -> dict[Position, bytes | None]:
    compared = set(_positions(quarantine, bounds))
    rows = zip(*(quarantine[name].to_pylist() for name in ("partition", "offset", "value")), strict=True)
    return {(partition, offset): value for partition, offset, value in rows if (partition, offset) in compared}


def _has(rows: dict[int, Ints], at: Position) -> bool:
    offsets = rows.get(at[0], np.zeros(0, dtype=np.int64))
    place = int(np.searchsorted(offsets, at[1]))
    return place < len(offsets) and int(offsets[place]) == at[1]


def copies(folder: str, bounds: Bounds) -> list[tuple[Position, Any]]:
    """Position and change (LSN, transaction, id, operation) of every mirrored message that repeats an earlier one."""
    table = "transaction_changes"
    if lake.open_table(folder, table) is None:
        return []
    (lowest,) = lake.query(folder, table, _LOWEST.format(compared=compared(bounds)))["lsn"].to_pylist()
    if lowest is None:
        return []
    seen: set[Any] = set()
    found: list[tuple[Position, Any]] = []
    for row in lake.query(folder, table, _COPIES.format(lowest=lowest)).to_pylist():
        change = (row["lsn"], row["tx_id"], row["id"], row["op"], row["moved"])
        at = (row["partition"], row["offset"])
        if change in seen and bounds.transactions.covers(*at) and at[1] < bounds.of(MIRROR).get(at[0], 0):
            found.append((at, change))
        seen.add(change)
    return found
