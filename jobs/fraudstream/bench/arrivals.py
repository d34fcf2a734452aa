"""What has come into a topic: how fast, by the times that the broker gave the records, and whether it is all. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from fraudstream.bench.dataset import Ints
from fraudstream.bench.figures import spread
from fraudstream.bench.tables import Table
from fraudstream.check.topic import Record

# Before, the JVM compiles; after, the last rows trickle in.
_STEADY = (0.2, 0.9)
_SPREADS = ("events_per_s", "total_per_s", "seconds", "written_per_s")
# An insert has no row before, so the first id is the row's; a JSON parser takes ten times as long, for millions of
# messages.
_ID = re.compile(rb'"id":(\d+)')
_OP = re.compile(rb'"(?:__)?op":"(\w)"')


@dataclass(frozen=True)
class Records:
    """The committed records of a topic, one place each in every sequence."""

    ids: Ints
    at_ms: Ints
    """When the broker took them."""
    ops: Mapping[str, int]
    """How many records have which op; "" where it cannot be read."""
    bytes: int
    """Of all keys and values, as they are before compression."""


def gathered(records: Iterable[Record]) -> Records:
    """All of a topic's records."""
    ids, at, ops, size = [], [], Counter[str](), 0
    for record in records:
        value = record.value or b""
        number, op = identified(value)
        ids.append(number)
        at.append(record.timestamp)
        ops[op] += 1
        size += len(value) + len(record.key or b"")
    return Records(np.array(ids, np.int64), np.array(at, np.int64), dict(ops), size)


def identified(value: bytes) -> tuple[int, str]:
    """Row id and op of the message of an insert or of a snapshot's row, in an envelope or flattened; -1 and "" of what
    is none."""
    number, op = _ID.search(value), _OP.search(value)
    return int(number[1]) if number else -1, op[1].decode() if op else ""


def arrivals(records: Records, ids: Ints, op: str) -> dict[str, Any]:
    """Of one run: events_per_s (between 20 and 90 % of the records; None where that took no time), total_per_s and
    seconds from the first record to the last, message_bytes (the mean, uncompressed), lost, doubled, and failures in
    words: of the rows `ids` each must be there once, by `op`."""
    at = np.sort(records.at_ms)
    seconds = float(at[-1] - at[0]) / 1000 if len(at) else 0.0
    unique = np.unique(records.ids)
    lost = len(np.setdiff1d(ids, unique, assume_unique=True))
    unknown = len(np.setdiff1d(unique, ids, assume_unique=True))
    doubled = len(records.ids) - len(unique)
    others = {name: count for name, count in records.ops.items() if name != op}
    wrong = {"rows are lost": lost, "records are doubled": doubled, "records are of no row": unknown,
             f"records have another op than {op}": sum(others.values())}  # fmt: skip
    return {
        "events_per_s": steady(at), "total_per_s": round(len(at) / seconds, 1) if seconds else None,
        "seconds": round(seconds, 2), "message_bytes": round(records.bytes / max(len(at), 1), 1),
        "lost": lost, "doubled": doubled,
        "failures": [f"{count:,} {what}" for what, count in wrong.items() if count],
    }  # fmt: skip


def steady(at_ms: Ints) -> float | None:
    """Records per second between 20 and 90 % of them, of their times in order."""
    low, high = (round(share * (len(at_ms) - 1)) for share in _STEADY)
    took = float(at_ms[high] - at_ms[low]) / 1000 if len(at_ms) else 0.0
    return round((high - low) / took, 1) if took else None


def summary(runs: Sequence[Mapping[str, Any]], rows: int, broken: Sequence[str]) -> dict[str, Any]:
    """Of a step: events_per_s, total_per_s, seconds and written_per_s (rows into PostgreSQL, before the connector was
    there) as {median, min, max} of its runs (None of none), medians of cpu_s_per_million by component, message_bytes
    and bytes_per_event (on the broker's disk), lost and doubled of all runs together, and failures: those of each run,
    and why a run was `broken` off."""
    found = {name: spread(run[name] for run in runs) for name in _SPREADS}
    sizes = {name: _median([run[name] for run in runs]) for name in ("message_bytes", "bytes_per_event")}
    parts = runs[0]["cpu_s"] if runs else {}
    return {
        "rows": rows, "runs": len(runs), **found,
        "cpu_s_per_million": {part: _median([run["cpu_s"][part] / rows * 1e6 for run in runs]) for part in parts},
        **sizes,
        **{name: sum(run[name] for run in runs) for name in ("lost", "doubled")},
        "failures": [
            *(f"run {number}: {failure}" for number, run in enumerate(runs, 1) for failure in run["failures"]), *broken,
        ],
    }  # fmt: skip


def _median(values: Sequence[float]) -> float | None:
    return round(median(values), 1) if values else None


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The steps for a reader; None where there is no figure."""
    header = ["step", "rows", "written/s", "steady/s", "min", "max", "total/s", "Connect CPU s/M", "PostgreSQL",
              "Kafka", "B/event", "B/message", "lost", "doubled"]  # fmt: skip
    caption = (
        "Rows that were written before (so many a second, by COPY over one connection), brought into the topic by the "
        "connector: the median and the spread of the runs; steady between 20 and 90 % of the records, by the broker's "
        "times. CPU seconds are for a million rows; bytes of an event are those on the broker's disk, of a message "
        "those before compression."
    )
    rows = [
        [
            step, each["rows"], _whole(each["written_per_s"], "median"),
            *(_whole(each["events_per_s"], name) for name in ("median", "min", "max")),
            _whole(each["total_per_s"], "median"),
            *(each["cpu_s_per_million"].get(name) for name in ("connect", "postgres", "kafka")),
            each["bytes_per_event"], each["message_bytes"], each["lost"], each["doubled"],
        ]
        for step, each in found.items()
    ]  # fmt: skip
    return Table("Capture", header, rows, caption)


def _whole(spread: Mapping[str, float] | None, name: str) -> int | None:
    return round(spread[name]) if spread else None
