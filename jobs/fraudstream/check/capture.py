"""What the producer committed against the changes in the topic: captured changes lost or doubled."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from fraudstream import canary
from fraudstream.cdc.envelope import ChangeEvent, Row
from fraudstream.check.oracle import Arrival
from fraudstream.input import ledger as ledger_file

# An operation on a row: ("c" or "u", user, cents, card type, merchant, created_at in microseconds) or ("d",).
Operation = tuple[Any, ...]
_KINDS = {"c": "inserts", "u": "updates", "d": "deletes", "t": "truncates"}
_EXAMPLES = 5


@dataclass
class Ledger:
    """Committed operations per row id in their order, and those of transactions whose commit was not confirmed."""

    certain: dict[int, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    uncertain: dict[int, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Captured:
    """Changes of the topic per row id in their order; `snapshot` ids came (also) as snapshot rows; `torn`: ids with an
    odd half of a key change."""

    operations: dict[int, list[Operation]]
    snapshot: set[int]
    torn: list[int]
    truncates: int


def read_ledger(path: Path) -> Ledger:
    """The producer's ledger. Raises FraudstreamError if it cannot be read."""
    ledger = Ledger()
    for transaction in ledger_file.read_ledger(path):
        certain = transaction.outcome == "committed"
        for kind, *change in transaction.changes:
            if certain:
                ledger.counts[_KINDS[kind]] += 1
            if kind != "t":
                row_id, operation = _operation(kind, change)
                (ledger.certain if certain else ledger.uncertain)[row_id].append(operation)
    return ledger


def read_copies(path: Path | None) -> set[tuple[int, int]]:
    """(partition, offset) of the copies that the check itself put into the topic."""
    if path is None or not path.exists():
        return set()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(line["partition"], line["offset"]) for line in lines}


def _operation(kind: str, change: Sequence[Any]) -> tuple[int, Operation]:
    if kind == "d":
        return change[0], ("d",)
    row_id, user, amount, card, merchant, created_at = change
    return row_id, (kind, user, _cents(amount), card, merchant, _micros(created_at))


def _cents(amount: str | None) -> int | None:
    number = Decimal("NaN") if amount is None else Decimal(amount)
    return int(number * 100) if number.is_finite() else None


def _micros(text: str | None) -> int | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def captured_changes(topic: Iterable[Arrival], copies: set[tuple[int, int]]) -> Captured:
    """The distinct changes of the topic without injected `copies`, and without the canary's, which no ledger has. The
    two halves of a key change are one update; changes of one row wait for each other's commits, so across partitions
    the LSN orders them."""
    changes: dict[int, list[tuple[int, int, Operation]]] = defaultdict(list)
    snapshot: set[int] = set()
    halves: dict[int, int] = defaultdict(int)
    truncates = 0
    for arrival in topic:
        event = arrival.event
        if event is None or (arrival.partition, arrival.offset) in copies:
            continue
        if event.op == "t":
            truncates += 1
        if event.row is None or event.row.user_id == canary.USER:
            continue
        if event.op == "r":
            snapshot.add(event.row.id)
            continue
        if event.moved:
            halves[event.row.id] += 1 if event.op == "d" else -1
        if not (event.moved and event.op == "d"):
            changes[event.row.id].append((event.lsn or 0, arrival.offset, _captured_operation(event, event.row)))
    ordered = {row_id: [change[2] for change in sorted(each, key=lambda c: c[:2])] for row_id, each in changes.items()}
    return Captured(ordered, snapshot, sorted(row_id for row_id, odd in halves.items() if odd), truncates)


def _captured_operation(event: ChangeEvent, row: Row) -> Operation:
    if event.op == "d":
        return ("d",)
    kind = "u" if event.moved else event.op
    return (kind, row.user_id, row.cents, row.card_type, row.merchant_id, row.created_at)


def compare_capture(ledger: Ledger, captured: Captured) -> tuple[dict[str, int], list[str]]:
    """{lost, doubled} and the failures in words."""
    lost: dict[int, int] = {}
    doubled: dict[int, int] = {}
    disordered = []
    for row_id in ledger.certain.keys() | ledger.uncertain.keys() | captured.operations.keys():
        found = captured.operations.get(row_id, [])
        certain = ledger.certain.get(row_id, [])
        uncertain = ledger.uncertain.get(row_id, [])
        if found == certain and not uncertain:
            continue
        if row_id in captured.snapshot:  # the snapshot stands for the operations before the streamed ones
            certain = certain[len(certain) - len(found) :] if len(found) < len(certain) else certain
        missing = (Counter(certain) - Counter(found)).total()
        surplus = (Counter(found) - Counter(certain) - Counter(uncertain)).total()
        if missing:
            lost[row_id] = missing
        if surplus:
            doubled[row_id] = surplus
        if not (missing or surplus or uncertain) and found != certain:
            disordered.append(row_id)
    truncates = ledger.counts["truncates"] - captured.truncates
    figures = {
        "lost": sum(lost.values()) + max(0, truncates),
        "doubled": sum(doubled.values()) + max(0, -truncates),
    }
    return figures, _failures(lost, doubled, disordered, captured.torn, truncates)


def _failures(
    lost: Mapping[int, int], doubled: Mapping[int, int], disordered: list[int], torn: list[int], truncates: int
) -> list[str]:
    stated = (
        (lost, "committed changes are not in the topic"),
        (doubled, "changes in the topic were not committed, or not that often"),
        (disordered, "rows have their changes in another order than they were committed"),
        (torn, "rows have one half of a change of user_id without the other"),
    )
    failures = []
    for ids, text in stated:
        if ids:
            count = sum(ids.values()) if isinstance(ids, Mapping) else len(ids)
            failures.append(f"capture: {count} {text} (ids {', '.join(map(str, sorted(ids)[:_EXAMPLES]))})")
    if truncates:
        failures.append(f"capture: truncates committed less those in the topic: {truncates}")
    return failures
