"""What each query has told of its committed batches, against each other and against the topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fraudstream.audit.bounds import Offsets
from fraudstream.audit.finding import Part
from fraudstream.audit.records import Scan
from fraudstream.streams.progress import PARTS, by_number

_PARTS = (*PARTS, "corrected")
_WITHOUT_OFFSETS = (
    "what it read is not compared with the topic: its reports do not say from where to where, and the topic is not "
    "read from its first record"
)


def compare_batches(
    part: Part,
    query: str,
    lines: Iterable[Mapping[str, Any]],
    position: Offsets,
    begin: Offsets,
    scan: Scan,
    first: Offsets,
) -> None:
    """Add a query's figures and findings to the part. `lines` are those of its committed batches in order, `begin` is
    where it began ({}: at the topic's beginning), `position` where it stands; the topic was scanned from `first` on."""
    known = list(lines)
    judges = [line for line in known if "judged" in line]
    unbalanced = [
        int(line["batch_id"]) for line in judges if line["read"] != sum(line.get(name) or 0 for name in _PARTS)
    ]
    part.found("batch_unbalanced", query, count=len(unbalanced), about=unbalanced)
    ranged = [line for line in known if "end" in line]
    unreported = 0
    if ranged:
        unreported = _compare_ranges(part, query, ranged, position, begin, scan, first)
    elif not any(first.values()):
        read = sum(line["read"] for line in known)
        there = sum(scan.count(number, 0, end) for number, end in position.items())
        part.found("batch_count", query, count=abs(read - there))
    elif known:
        part.notes.append(f"{query}: {_WITHOUT_OFFSETS}")
    totals = {name: sum(line.get(name) or 0 for line in known) for name in ("read", *_PARTS)}
    shown = {name: count for name, count in totals.items() if judges or name == "read"}
    if not shown.get("corrected"):
        shown.pop("corrected", None)
    part.figures[query] = {"batches": len(known), **shown, **({"unreported": unreported} if unreported else {})}


def _compare_ranges(
    part: Part,
    query: str,
    lines: Sequence[Mapping[str, Any]],
    position: Offsets,
    begin: Offsets,
    scan: Scan,
    first: Offsets,
) -> int:
    """Records between the last line and the query's position: their report has not been written yet."""
    gaps: list[tuple[int, int]] = []
    overlaps: list[tuple[int, int]] = []
    miscounted = 0
    before = dict(begin)
    for line in lines:
        start, end = by_number(line["start"] or {}), by_number(line["end"])
        there, is_scanned = 0, True
        for number, last in end.items():
            come, gone = start.get(number, 0), before.get(number, 0)
            is_scanned = is_scanned and come >= first.get(number, 0)
            there += scan.count(number, come, last)
            gaps += scan.positions(number, gone, come)
            overlaps += scan.positions(number, come, gone)
            before[number] = last
        miscounted += abs(line["read"] - there) if is_scanned else 0
    part.found("batch_gap", query, positions=gaps)
    part.found("batch_overlap", query, positions=overlaps)
    part.found("batch_count", query, count=miscounted)
    return sum(scan.count(number, before.get(number, 0), end) for number, end in position.items())
