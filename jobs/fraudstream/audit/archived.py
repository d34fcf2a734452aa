"""lake/alerts against fraud.alerts: an alert_id once, as the topic's messages leave it."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from fraudstream import lake
from fraudstream.audit.bounds import Offsets, Topic
from fraudstream.audit.finding import Part, Position
from fraudstream.audit.judged import Message

_COPIED = ("rule", "rule_version", "severity", "user_id", "transaction_id", "reason", "partition", "offset")
_COLUMNS = (
    "alert_id", *_COPIED, "amount", "payload", "status", "revision", "changed_by", "alert_partition", "alert_offset",
)  # fmt: skip
_AT_ONCE = 10_000


class Archived(NamedTuple):
    """A row of the archive, and whether its columns say what its payload does."""

    alert_id: str
    payload: str
    status: str
    revision: int
    changed_by: str | None
    alert_partition: int | None
    alert_offset: int | None
    agrees: bool


class Standing(NamedTuple):
    """What an alert's row has to have: the payload of its highest revision that stands, and the newest revision."""

    payload: str
    status: str
    revision: int
    changed_by: str | None


def archived_rows(folder: str, table: str) -> list[Archived]:
    """The rows of lake/alerts or lake/shadow_alerts; those of an earlier version of the table are revision 0."""
    if lake.open_table(folder, table) is None:
        return []
    present = lake.columns(folder, table)
    named = ", ".join(f'"{name}"' for name in _COLUMNS if name in present)
    stored = lake.query(folder, table, f"SELECT {named} FROM {table}")
    return [archived(row) for batch in stored.to_batches(_AT_ONCE) for row in batch.to_pylist()]


def archived(row: Mapping[str, Any]) -> Archived:
    """A row of the table; columns may be missing."""
    return Archived(
        sys.intern(row["alert_id"]), sys.intern(row["payload"]), row.get("status") or "open", row.get("revision") or 0,
        row.get("changed_by"), row.get("alert_partition"), row.get("alert_offset"), _columns_agree(row),
    )  # fmt: skip


def standing(messages: Iterable[Message]) -> dict[str, Standing]:
    """What the messages leave of each alert_id."""
    by_id: dict[str, list[tuple[int, int, Standing]]] = defaultdict(list)
    for message in messages:
        if message.alert is not None:
            payload = json.loads(message.alert.value)
            revision = int(payload.get("revision") or 0)
            status = sys.intern(str(payload.get("status", "open")))
            said = Standing(message.alert.value, status, revision, payload.get("changed_by"))
            by_id[sys.intern(payload["alert_id"])].append((-revision, message.at[1], said))
    found = {}
    for alert_id, each in by_id.items():
        ordered = [said for _, _, said in sorted(each, key=lambda one: one[:2])]
        shown = next((said for said in ordered if said.status != "withdrawn"), ordered[0])
        found[alert_id] = ordered[0]._replace(payload=shown.payload)
    return found


def compare_archive(
    name: str, rows: Sequence[Archived], messages: Sequence[Message], topic: Topic, end: Offsets,
    known: Collection[Position],
) -> Part:  # fmt: skip
    """The part of the audit. `end` is where the archiving query stands, `known` are acknowledged messages, which the
    table must not have."""
    part = Part("archive" if name == "alerts" else f"archive of {name}")
    where = f"lake/{name}"
    kept = [each for each in messages if each.at not in known]
    done = [each for each in kept if each.at[1] < end.get(each.at[0], 0)]
    waiting = {each.alert.key for each in kept if each.alert and each.at[1] >= end.get(each.at[0], 0)}
    wanted = {key: each for key, each in standing(done).items() if key not in waiting}
    counted = Counter(row.alert_id for row in rows)
    by_id = {row.alert_id: row for row in rows}
    ours = {key: row for key, row in by_id.items() if is_compared(row, topic)}
    part.found("archived_missing", where, ids=sorted(wanted.keys() - by_id.keys()))
    part.found("archived_doubled", where, ids=sorted(key for key, count in counted.items() if count > 1))
    part.found("archived_extra", where, ids=sorted(ours.keys() - wanted.keys() - waiting))
    wrong = [key for key in wanted.keys() & by_id.keys() if not _is_right(by_id[key], wanted[key], topic)]
    part.found("archived_differs", where, ids=sorted(wrong))
    part.figures = {"topic": len(wanted), "delta": len(rows), "in_flight": len(waiting)}
    return part


def is_compared(row: Archived, topic: Topic) -> bool:
    """Whether the row's message, if it is known, is among those of the topic that were read."""
    partition, offset = row.alert_partition, row.alert_offset
    return partition is None or offset is None or topic.covers(partition, offset)


def _is_right(row: Archived, wanted: Standing, topic: Topic) -> bool:
    if (row.status, row.revision, row.changed_by) != (wanted.status, wanted.revision, wanted.changed_by):
        return False
    # What an older message says is beyond the part of the topic that was read.
    return not is_compared(row, topic) or (row.payload == wanted.payload and row.agrees)


def _columns_agree(row: Mapping[str, Any]) -> bool:
    try:
        payload = json.loads(row["payload"])
        amount = None if payload["amount"] is None else Decimal(payload["amount"])
        return row["amount"] == amount and all(row[name] == payload[name] for name in ("alert_id", *_COPIED))
    except (ValueError, KeyError, TypeError, ArithmeticError):
        return False
