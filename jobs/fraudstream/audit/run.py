"""One audit: what is read, in which order, and what is compared with what."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fraudstream.audit import archived, asked, judged, known, records, rows
from fraudstream.audit.batches import compare_batches
from fraudstream.audit.bounds import (
    ARCHIVE,
    MIRROR,
    SHADOW_ARCHIVE,
    Bounds,
    lost_checkpoints,
    rule_names,
    take_bounds,
)
from fraudstream.audit.capture import capture_position, captured_by, compare_ledger
from fraudstream.audit.finding import Finding, Part
from fraudstream.audit.history import history
from fraudstream.audit.standing import change_of
from fraudstream.backtest.source import History
from fraudstream.cdc.envelope import ChangeEvent
from fraudstream.check.topic import Record, read_topic
from fraudstream.config import Pipeline
from fraudstream.rulebook.catalog import Rule
from fraudstream.stack.settings import StackSettings
from fraudstream.streams.progress import by_number, read_lines, start_of

PARTS = ("rows", "records", "batches", "alerts")
RECOMPUTATIONS = ("rules", "oracle")
_TABLES = {ARCHIVE: "alerts", SHADOW_ARCHIVE: "shadow_alerts"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to compare: `ids` first and last of rows, the records of the last `since_s` seconds, the `parts`; how long
    to wait for the capture."""

    ids: tuple[int, int] | None = None
    since_s: float | None = None
    ledger: Path | None = None
    wait_s: float = 30
    parts: Sequence[str] = PARTS
    recompute: str = "rules"


@dataclass
class Audit:
    """What an audit found; `at` in epoch seconds."""

    at: float
    bounds: Bounds
    parts: list[Part] = field(default_factory=list)
    seconds: float = 0

    @property
    def findings(self) -> list[Finding]:
        """All of them, in the order of the parts."""
        return [finding for part in self.parts for finding in part.findings]

    @property
    def incomplete(self) -> list[str]:
        """The names of the parts that could not be compared in full."""
        return [part.name for part in self.parts if part.incomplete]


@dataclass
class _Read:
    """What the parts share."""

    scan: records.Scan
    changes: dict[int, Any]
    missing: list[tuple[Record, ChangeEvent]] = field(default_factory=list)


def audit(
    pipeline: Pipeline, rules: Sequence[Rule], settings: StackSettings, options: Options, say: Say = lambda _: None
) -> Audit:
    """Compare everything once. Nothing is written. Raises FraudstreamError where something cannot be read."""
    began = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        ledger = _copied(options.ledger, Path(scratch)) if options.ledger else None
        bounds = take_bounds(pipeline, rules, options.since_s)
        found = Audit(began, bounds)
        suspects = None
        if "rows" in options.parts:
            say("comparing PostgreSQL's rows with the mirror")
            suspects = rows.suspects(settings.dsn("batch"), pipeline.lake, options.ids, pipeline.mask)
            if ledger:
                _await_capture(settings, bounds, suspects, options)
        say("reading the topic")
        read = _read(pipeline, bounds)
        part, read.missing = _records(pipeline, bounds, read)
        if suspects is not None:
            compared = _rows(settings, pipeline, bounds, read, suspects)
            if {finding.kind for finding in compared.findings} & set(rows.NOT_CAPTURED):
                say(f"{sum(each.count for each in compared.findings):,} rows differ: waiting for the capture")
                uncaptured = _await_capture(settings, bounds, suspects, options)
                read = _read(pipeline, bounds)
                part, read.missing = _records(pipeline, bounds, read)
                compared = _rows(settings, pipeline, bounds, read, suspects, uncaptured)
            found.parts.append(compared)
        if options.ledger:
            say("comparing the ledger with the topic")
            found.parts.append(_ledger(pipeline, bounds, options.ledger, ledger))
        if "records" in options.parts:
            found.parts.append(part)
        if {"batches", "alerts"} & set(options.parts):
            say("reading the alerts")
            _alerts_and_batches(pipeline, rules, options, read, found, say)
    found.seconds = round(time.time() - began, 2)
    return found


def _await_capture(settings: StackSettings, bounds: Bounds, suspects: rows.Suspects, options: Options) -> str | None:
    position = capture_position(settings, bounds.transactions.name)
    return rows.wait_for_capture(suspects.lsn, position, options.wait_s)


def _copied(path: Path, folder: Path) -> Path:
    """The ledger as it is now: it grows while it is compared."""
    copy = folder / "ledger"
    if path.exists():
        shutil.copyfile(path, copy)
    return copy if path.exists() else path


def _read(pipeline: Pipeline, bounds: Bounds) -> _Read:
    kafka, topic = pipeline.kafka, bounds.transactions
    changes = records.positions_of(pipeline.lake, "transaction_changes", topic.name, records.compared(bounds))
    found = read_topic(kafka.bootstrap_servers, topic.name, kafka.client_options, topic.start)
    return _Read(records.scan(found, changes, bounds), changes)


def _records(pipeline: Pipeline, bounds: Bounds, read: _Read) -> tuple[Part, list[tuple[Record, ChangeEvent]]]:
    quarantine = records.quarantine_of(pipeline.lake, bounds.transactions.name, records.compared(bounds))
    part, missing = records.compare_records(
        read.scan, read.changes, quarantine, bounds, pipeline.max_message_bytes, pipeline.mask
    )
    copies = records.copies(pipeline.lake, bounds)
    acknowledged = known.acknowledged(pipeline.lake, "message_doubled").get(bounds.transactions.name, set())
    fresh = [(at, change) for at, change in copies if at not in acknowledged]
    part.found("message_doubled", bounds.transactions.name, positions=[at for at, _ in fresh], about=fresh)
    part.figures |= {"acknowledged": len(copies) - len(fresh)}
    for query in lost_checkpoints(pipeline):
        part.found("checkpoint_gone", query, count=1)
    return part, missing


def _rows(
    settings: StackSettings,
    pipeline: Pipeline,
    bounds: Bounds,
    read: _Read,
    found: rows.Suspects,
    uncaptured: str | None = None,
) -> Part:
    ids = found.ids
    if not ids:
        return rows.part_of(found, {}, [])
    if read.scan.far_behind:
        part = rows.part_of(found, {}, [])
        part.incomplete.append(f"{len(ids):,} rows that differ: the mirror is {read.scan.in_flight:,} records behind")
        return part
    mirrored, truncated = rows.changes_of(pipeline.lake, ids, bounds.transactions.name)
    wanted = set(ids)
    behind: dict[int, list[Any]] = {}
    absent: dict[int, list[Any]] = {}
    events = [
        (record, records.event_of(record, pipeline.max_message_bytes, pipeline.mask)) for record in read.scan.behind
    ]
    for source, into in ((events, behind), (read.missing, absent)):
        for record, event in source:
            if event is not None and event.op == "t":
                truncated = max(truncated or -1, event.lsn or -1)
            elif event is not None and event.row is not None and event.row.id in wanted:
                into.setdefault(event.row.id, []).append(change_of(event, record.partition, record.offset))
    for number, each in absent.items():
        mirrored.setdefault(number, []).extend(each)
    topic = rows.Topic(mirrored, behind, truncated)
    kinds, in_flight = rows.classify(found, topic, rows.stored_rows(settings.dsn("batch"), ids, pipeline.mask))
    return rows.part_of(found, kinds, in_flight, uncaptured)


def _ledger(pipeline: Pipeline, bounds: Bounds, path: Path, before: Path | None) -> Part:
    kafka = pipeline.kafka
    # The ledger is compared with the whole topic, whatever --since says.
    whole = replace(bounds, transactions=replace(bounds.transactions, start={}))
    copies = {at for at, _ in records.copies(pipeline.lake, whole)}
    found = captured_by(
        read_topic(kafka.bootstrap_servers, kafka.transactions_topic, kafka.client_options),
        pipeline.max_message_bytes,
        copies,
    )
    return compare_ledger(path, before, found)


def _alerts_and_batches(
    pipeline: Pipeline, rules: Sequence[Rule], options: Options, read: _Read, found: Audit, say: Say
) -> None:
    bounds, kafka = found.bounds, pipeline.kafka
    # Before the topics: what a running archive adds meanwhile would be rows of no message.
    archives = bounds.alerts if "alerts" in options.parts else ()
    rows_of = {query: archived.archived_rows(pipeline.lake, _TABLES[query]) for query in archives}
    messages: dict[str, list[judged.Message]] = {}
    scans = {MIRROR: read.scan}
    for query, topic in bounds.alerts.items():
        read_now = read_topic(kafka.bootstrap_servers, topic.name, kafka.client_options, topic.start)
        messages[query] = [judged.read_message(each, query == SHADOW_ARCHIVE) for each in read_now]
        offsets: dict[int, list[int]] = {number: [] for number in topic.start}
        for message in messages[query]:
            offsets.setdefault(message.at[0], []).append(message.at[1])
        scans[query] = records.Scan({number: np.array(each, dtype=np.int64) for number, each in offsets.items()})
    names = rule_names(pipeline, rules)
    if "batches" in options.parts:
        found.parts.append(_batches(pipeline, bounds, scans, names))
    if "alerts" in options.parts:
        say("judging the topic again")
        found.parts += _alerts(pipeline, rules, names, read, found, messages, rows_of, options)


def _batches(pipeline: Pipeline, bounds: Bounds, scans: dict[str, records.Scan], names: Sequence[str]) -> Part:
    part = Part("batches")
    for query in (MIRROR, *names, ARCHIVE, SHADOW_ARCHIVE):
        if query not in bounds.positions:
            continue
        checkpoint = pipeline.checkpoint(query)
        lines = [line for line in read_lines(pipeline.progress, query) if line["batch_id"] <= bounds.batches[query]]
        topic = bounds.alerts.get(query, bounds.transactions)
        scan = scans.get(query, scans[MIRROR])
        begin = by_number(start_of(checkpoint))
        compare_batches(part, query, lines, bounds.of(query), begin, scan, topic.start)
    return part


def _alerts(
    pipeline: Pipeline, rules: Sequence[Rule], names: Sequence[str], read: _Read, found: Audit,
    messages: dict[str, list[judged.Message]], rows_of: dict[str, list[archived.Archived]], options: Options,
) -> list[Part]:  # fmt: skip
    bounds = found.bounds
    past, end = history(pipeline.lake, read.scan, read.missing, bounds, pipeline.max_message_bytes, pipeline.mask)
    again = judged.judge_all(pipeline, names, rules, bounds, past, end)
    extra = known.acknowledged(pipeline.lake, "alert_extra")
    acknowledged = {query: extra.get(topic.name, set()) for query, topic in bounds.alerts.items()}
    # Of those whose messages lie before the ones that were read.
    old = {
        row.payload
        for query, each in rows_of.items()
        for row in each
        if not archived.is_compared(row, bounds.alerts[query])
    }
    part = judged.compare_alerts(
        again,
        (message for each in messages.values() for message in each),
        bounds,
        {(query == SHADOW_ARCHIVE, at) for query, each in acknowledged.items() for at in each},
        lambda alert: alert.value in old,
    )
    part.notes += _without_repeats(again, past, found)
    part.incomplete += _ahead(again, read.scan, bounds)
    parts = [part]
    if options.recompute == "oracle":
        parts.append(asked.ask(pipeline, bounds, again, [each for some in messages.values() for each in some]))
    for query, topic in bounds.alerts.items():
        of_query = (rows_of[query], messages[query], topic, bounds.of(query), acknowledged[query])
        parts.append(archived.compare_archive(_TABLES[query], *of_query))
    return parts


def _without_repeats(again: dict[str, judged.Judged], past: History, found: Audit) -> list[str]:
    repeats = [at for each in found.findings if each.kind == "message_doubled" for at in each.positions]
    if not repeats:
        return []
    changed = judged.effect(again, past, repeats)
    shown = f"{len(changed):,} other alerts ({', '.join(changed[:5])})" if changed else "the same alerts"
    return [f"judged without the {len(repeats):,} messages that repeat others: {shown}"]


def _ahead(again: dict[str, judged.Judged], scan: records.Scan, bounds: Bounds) -> list[str]:
    """History ends with the mirror where what lies behind it is too much to be kept."""
    ahead = [name for name, each in again.items() if each.until != bounds.of(name)]
    if not ahead or not scan.far_behind:
        return []
    return [f"{', '.join(ahead)}: ahead of the mirror, which is {scan.in_flight:,} records behind"]
