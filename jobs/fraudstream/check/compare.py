"""Comparisons of what a run left behind with what the oracle says. Pure functions: figures, and failures in words."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fraudstream.check.oracle import Judgement, Verdict

_EXAMPLES = 5
# Position of a judgement: transaction id, partition and offset of the change that was judged.
Position = tuple[int, int, int]


@dataclass(frozen=True)
class AlertMessage:
    """A record of fraud.alerts; `timestamp` in ms."""

    key: bytes | None
    value: bytes
    payload: Mapping[str, Any]
    offset: int
    timestamp: int

    @property
    def position(self) -> Position:
        """Which judgement it is."""
        return self.payload["transaction_id"], self.payload["partition"], self.payload["offset"]

    @property
    def status(self) -> str:
        """The alert's; without corrections it is open."""
        return str(self.payload.get("status", "open"))

    @property
    def revision(self) -> int:
        """The alert's; without corrections it is 0."""
        return int(self.payload.get("revision", 0))


@dataclass(frozen=True)
class ArchivedAlert:
    """A row of lake/alerts."""

    alert_id: str
    transaction_id: int
    payload: str
    status: str = "open"
    revision: int = 0


def compare_alerts(
    name: str,
    verdict: Verdict,
    messages: Sequence[AlertMessage],
    archived: Sequence[ArchivedAlert],
    wrong_fields: Callable[[Judgement, bytes], Mapping[str, Any]],
) -> tuple[dict[str, Any], list[str]]:
    """The report's figures for one rule, and its failures. `wrong_fields(judgement, value)` are the fields of the
    message that are wrong, with what they should be."""
    wanted = {alert.transaction_id for alert in verdict.alerts}
    in_kafka = {message.payload["transaction_id"] for message in messages}
    in_delta = {row.transaction_id for row in archived}
    judgements: dict[Position, list[AlertMessage]] = defaultdict(list)
    for message in messages:
        judgements[message.position].append(message)
    missing, extra = wanted - (in_kafka & in_delta), (in_kafka | in_delta) - wanted
    figures = {
        "oracle": len(wanted),
        "kafka": len(in_kafka),
        "kafka_copies": len(messages) - len(judgements),
        "delta": len(in_delta),
        "missing": len(missing),
        "extra": len(extra),
        "latency_ms": latency_ms(verdict, messages),
    }
    failures = [
        *_stated(missing, f"{name}: %d alerts of the oracle are not in Kafka and Delta"),
        *_stated(extra, f"{name}: %d alerts that the oracle does not have"),
        *_judgement_failures(name, verdict, judgements, wanted - missing),
        *_payload_failures(name, verdict, judgements, wrong_fields),
        *_archive_failures(name, messages, archived),
    ]
    return figures, failures


def _stated(ids: Collection[Any], text: str) -> list[str]:
    shown = ", ".join(map(str, sorted(ids)[:_EXAMPLES]))
    return [f"{text % len(ids)} (transactions {shown})"] if ids else []


def _judgement_failures(
    name: str, verdict: Verdict, judgements: Mapping[Position, Sequence[AlertMessage]], present: set[int]
) -> list[str]:
    wanted = {(alert.transaction_id, alert.arrival.partition, alert.arrival.offset) for alert in verdict.alerts}
    absent = {position for position in wanted - judgements.keys() if position[0] in present}
    surplus = {position for position in judgements.keys() - wanted if position[0] in present}
    unequal = {position[0] for position, copies in judgements.items() if len({copy.value for copy in copies}) > 1}
    return [
        *_stated(absent, f"{name}: %d judgements of the oracle have no message in Kafka"),
        *_stated(surplus, f"{name}: %d messages in Kafka are of changes that the oracle did not alert on"),
        *_stated(unequal, f"{name}: copies of %d alerts differ from one another"),
    ]


def _payload_failures(
    name: str,
    verdict: Verdict,
    judgements: Mapping[Position, Sequence[AlertMessage]],
    wrong_fields: Callable[[Judgement, bytes], Mapping[str, Any]],
) -> list[str]:
    wrong = {}
    for alert in verdict.alerts:
        copies = judgements.get((alert.transaction_id, alert.arrival.partition, alert.arrival.offset))
        if not copies:
            continue
        differences = dict(wrong_fields(alert, copies[0].value))
        if copies[0].key != str(copies[0].payload["alert_id"]).encode():
            differences["key"] = copies[0].payload["alert_id"]
        if differences:
            wrong[alert.transaction_id] = differences
    if not wrong:
        return []
    first = min(wrong)
    return [f"{name}: {len(wrong)} alerts have wrong fields (transaction {first} should have {wrong[first]})"]


def _archive_failures(name: str, messages: Sequence[AlertMessage], archived: Sequence[ArchivedAlert]) -> list[str]:
    shown: dict[str, bytes] = {}
    newest: dict[str, tuple[str, int]] = {}
    # The highest revision that stands decides what is shown; of copies the first.
    for message in sorted(messages, key=lambda each: (each.status == "withdrawn", -each.revision, each.offset)):
        shown.setdefault(message.payload["alert_id"], message.value)
    for message in sorted(messages, key=lambda each: (-each.revision, each.offset)):
        newest.setdefault(message.payload["alert_id"], (message.status, message.revision))
    rows = Counter(row.alert_id for row in archived)
    doubled = {row.transaction_id for row in archived if rows[row.alert_id] > 1}
    altered = {row.transaction_id for row in archived if shown.get(row.alert_id, b"") != row.payload.encode()}
    behind = {
        row.transaction_id
        for row in archived
        if newest.get(row.alert_id, (row.status, row.revision)) != (row.status, row.revision)
    }
    return [
        *_stated(doubled, f"{name}: %d alerts stand more than once in lake/alerts"),
        *_stated(altered, f"{name}: %d alerts in lake/alerts are not the first message of their alert_id in Kafka"),
        *_stated(behind, f"{name}: %d alerts in lake/alerts have not the status of their newest message in Kafka"),
    ]


def latency_ms(verdict: Verdict, messages: Sequence[AlertMessage]) -> dict[str, int | None]:
    """p50, p95 and p99 from the commit in PostgreSQL to the alert's first record in Kafka."""
    committed: dict[int, int | None] = {}
    for alert in verdict.alerts:
        event = alert.arrival.event
        committed.setdefault(alert.transaction_id, event.committed_ms if event else None)
    first: dict[int, int] = {}
    for message in sorted(messages, key=lambda message: message.offset):
        first.setdefault(message.payload["transaction_id"], message.timestamp)
    waits = sorted(first[row] - at for row, at in committed.items() if row in first and at is not None)
    return {f"p{share}": percentile(waits, share) for share in (50, 95, 99)}


def percentile(ordered: Sequence[int], share: int) -> int | None:
    """The smallest value that `share` percent of the values do not exceed; None of nothing."""
    return ordered[math.ceil(len(ordered) * share / 100) - 1] if ordered else None


def compare_counts(
    query: str, parts: Mapping[str, int], ignored: int, lines: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, int], list[str]]:
    """The query's parts of the conservation law summed over its committed batches, and where they differ from the
    oracle's."""
    names = ("read", *parts, "ignored")
    found = dict.fromkeys(names, 0)
    torn = 0
    for line in lines:
        torn += line["read"] != sum(line[name] for name in names[1:])
        for name in names:
            found[name] += line[name]
    wanted = {"read": sum(parts.values()) + ignored, **parts, "ignored": ignored}
    failures = [
        f"{query}: {found[name]} messages counted as {name}, the oracle counts {wanted[name]}"
        for name in names
        if found[name] != wanted[name]
    ]
    if torn:
        failures.append(f"{query}: in {torn} batches the parts do not add up to what was read")
    return found, failures


def compare_rows(
    postgres: Iterable[tuple[Any, ...]], delta: Iterable[tuple[Any, ...]]
) -> tuple[dict[str, int], list[str]]:
    """The mirror's figures. Rows are tuples whose first field is the id."""
    left, right = _by_id(postgres), _by_id(delta)
    different = sorted(row_id for row_id in left.keys() | right.keys() if left.get(row_id) != right.get(row_id))
    figures = {
        "postgres_rows": sum(map(len, left.values())),
        "delta_rows": sum(map(len, right.values())),
        "different": len(different),
    }
    if not different:
        return figures, []
    first = different[0]
    return figures, [
        f"mirror: {len(different)} rows differ (id {first}: PostgreSQL {left.get(first)}, Delta {right.get(first)})"
    ]


def _by_id(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    by_id: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        by_id[row[0]].append(row)
    return dict(by_id)


def compare_quarantine(
    unreadable: Mapping[tuple[int, int], bytes | None], rows: Sequence[tuple[int, int, bytes | None]]
) -> list[str]:
    """Failures of lake/quarantine, whose rows are (partition, offset, value), against the unreadable messages."""
    found = Counter((partition, offset) for partition, offset, _ in rows)
    doubled = [position for position, count in found.items() if count > 1]
    altered = [(p, o) for p, o, value in rows if (p, o) in unreadable and unreadable[p, o] != value]
    stated = (
        (sorted(unreadable.keys() - found.keys()), "unreadable messages are not in lake/quarantine"),
        (sorted(found.keys() - unreadable.keys()), "messages in lake/quarantine are readable"),
        (sorted(doubled), "messages stand more than once in lake/quarantine"),
        (sorted(altered), "messages in lake/quarantine have other bytes than in the topic"),
    )
    return [
        f"quarantine: {len(positions)} {text} (partition, offset: {', '.join(map(str, positions[:_EXAMPLES]))})"
        for positions, text in stated
        if positions
    ]


def precision_recall(alerts: Mapping[str, set[int]], frauds: Mapping[int, str]) -> dict[str, Any]:
    """Per rule its precision over all frauds, and its recall per kind of fraud ("all" for all); None of nothing."""
    kinds: dict[str, set[int]] = defaultdict(set)
    for transaction, kind in frauds.items():
        kinds[kind].add(transaction)
    kinds["all"] = set(frauds)
    alerts = {**alerts, "any": set().union(*alerts.values())}
    return {
        rule: {
            "alerts": len(found),
            "precision": _share(len(found & kinds["all"]), len(found)),
            "recall": {kind: _share(len(found & members), len(members)) for kind, members in sorted(kinds.items())},
        }
        for rule, found in alerts.items()
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
