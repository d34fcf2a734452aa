"""Where the capture stands, and the producer's ledger against the topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from fraudstream.audit.finding import Part, Position
from fraudstream.check.capture import Captured, captured_changes, compare_capture, read_ledger
from fraudstream.check.oracle import arrivals
from fraudstream.check.topic import Record
from fraudstream.stack import guard, offsets
from fraudstream.stack.settings import StackSettings


def capture_position(settings: StackSettings, topic: str) -> Callable[[], int]:
    """A function that says up to where in the log everything committed is in the topic; -1 where that is unknown."""
    slots = [
        (str(config["slot.name"]), str(config["database.dbname"]))
        for config in offsets.stored_connectors(settings).values()
        if f"{config.get('topic.prefix')}.public.transactions" == topic and "slot.name" in config
    ]
    if len(slots) != 1:
        return lambda: -1
    slot, database = slots[0]
    return lambda: guard.confirmed_lsn(settings, slot, database) or -1


def captured_by(records: Iterable[Record], max_bytes: int, copies: set[Position]) -> Captured:
    """The changes of the topic, without the copies among them."""
    return captured_changes(arrivals(records, max_bytes), copies)


def compare_ledger(path: Path, before: Path | None, captured: Captured) -> Part:
    """The part of the audit. `before` is the ledger as it was when the audit began: what it has must be in the topic,
    and what is in the topic must be in the ledger as it is now."""
    part = Part("ledger")
    then, now = read_ledger(before or path), read_ledger(path)
    own = {
        number: each for number, each in captured.operations.items() if number in now.certain or number in now.uncertain
    }
    of_ledger = replace(captured, operations=own)
    lost, texts = compare_capture(then, of_ledger)
    doubled, _ = compare_capture(now, of_ledger)
    part.found("commit_lost", "the topic", count=lost["lost"])
    part.found("commit_doubled", "the topic", count=doubled["doubled"])
    part.notes += [text for text in texts if "not in the topic" in text] if lost["lost"] else []
    part.figures = {"committed": sum(then.counts.values()), "captured": sum(map(len, own.values()))}
    others = len(captured.operations) - len(own)
    if others:
        part.notes.append(f"{others:,} rows of the topic are not in the ledger, and were not compared with it")
    return part
