"""Refuses to start capture where changes would be skipped without an error: slot, offset and log do not agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from fraudstream.errors import GuardError, Runbook
from fraudstream.stack import kafka, offsets, postgres
from fraudstream.stack.settings import StackSettings

_TRANSACTIONS = "public.transactions"
# What rules may be keyed by (fraudstream.rulebook.definition.KEYS).
_KEYS = ({"user_id"}, {"merchant_id"})


class Positions(NamedTuple):
    """Places in PostgreSQL's log: up to where it takes a slot's changes for received (None: there is no such slot, or
    it has lost its log), what the slot's connector has stored (None: nothing), and where the log ends."""

    slot: int | None
    stored: int | None
    end: int


def positions(settings: StackSettings, name: str, slot: str, database: str) -> Positions:
    """Those of connector `name` and its slot, running or not."""
    # In this order: the slot follows what is stored, and that the end of the log, so nothing is accused falsely.
    confirmed, stored = confirmed_lsn(settings, slot, database), offsets.stored_lsn(settings, name)
    return Positions(confirmed, stored, end_lsn(settings))


def require_slot(settings: StackSettings, name: str, config: Mapping[str, Any], *, may_begin: bool = True) -> None:
    """Raises GuardError when connector `name` has stored an offset and its slot is lost, or was moved past the offset,
    or the log ends before it: PostgreSQL would go on from the later place, and the changes up to it would be missing
    without an error; and when its offset is gone, but not what it has written. With neither offset nor slot it begins
    with a snapshot, if it `may_begin`; else that is refused, too, where it has written."""
    slot, database = slot_of(config)
    at = positions(settings, name, slot, database)
    if at.stored is None:
        if at.slot is not None or not may_begin:
            _require_new(settings, name, config, at.slot)
    elif at.stored > at.end:
        raise _refusal(
            name,
            f"PostgreSQL's log ends at {lsn_text(at.end)}, before the connector's stored offset {lsn_text(at.stored)}: "
            "its data are earlier ones, and every change up to that offset would be left out without an error. Put the "
            "newer data back; or `make up UP=--renew-slot` reads every row again, and `make repair` closes the rest.",
            "database-restored",
        )
    elif at.slot is None:
        raise _refusal(
            name,
            f"slot {slot} of database {database} is gone or has lost its log (max_slot_wal_keep_size), but the "
            f"connector has stored {lsn_text(at.stored)}, so changes are missing. `make up UP=--renew-slot` makes a "
            "new one and reads every row again; `make repair` closes the rest.",
            "slot-lost",
        )
    elif at.slot > at.stored:
        raise _refusal(
            name,
            f"slot {slot} stands at {lsn_text(at.slot)}, ahead of the connector's stored offset {lsn_text(at.stored)}, "
            "and the changes between them would be missing without an error. Find out who moved the slot; "
            "`make up UP=--accept-gap` goes on, and `make repair` brings what is missing.",
            "slot-ahead",
        )


def _require_new(settings: StackSettings, name: str, config: Mapping[str, Any], confirmed: int | None) -> None:
    """Raises GuardError when connector `name`, without a stored offset, has written its topics before: a snapshot would
    bring rows without the changes between. Records and offsets are committed together where delivery is exactly once;
    elsewhere a first start may have been killed between the two."""
    if config.get("exactly.once.support") != "required":
        return
    written = offsets.written_lsn(settings, f"{config.get('topic.prefix')}.")
    if written is None:
        return
    if confirmed is None:
        slot = "Its slot is gone, too"
    else:
        slot = f"Its slot stands at {lsn_text(confirmed)}" + (", behind that" if confirmed > written else "")
    raise _refusal(
        name,
        f"it has written changes up to {lsn_text(written)}, but its stored offset is gone (topic connect-offsets), and "
        f"a snapshot would bring rows without the changes since. {slot}: "
        + (
            "`make up UP=--from-slot` goes on there; what is delivered again is known by its position."
            if confirmed is not None and confirmed <= written
            else "`make up UP=--renew-slot` reads every row again, and `make repair` closes the rest."
        ),
        "offset-gone",
    )


def _refusal(name: str, why: str, runbook: Runbook) -> GuardError:
    return GuardError(f"Connector {name} is not started: {why}", runbook)


def move_offset(settings: StackSettings, name: str, config: Mapping[str, Any], runbook: Runbook) -> int | None:
    """Store the position of a connector's slot as its offset, where its start would be refused by this runbook: it goes
    on there. (Debezium would refuse its own offset once the log behind it is gone.) The connector must not run.

    Returns the position; None where there was nothing to do. Raises GuardError for another refusal, and when the slot
    has gone past what a connector without an offset has written."""
    try:
        require_slot(settings, name, config)
        return None
    except GuardError as refusal:
        if refusal.runbook != runbook or "--renew-slot" in str(refusal):
            raise
    confirmed = confirmed_lsn(settings, *slot_of(config))
    assert confirmed is not None
    offsets.store_lsn(settings, name, str(config["topic.prefix"]), confirmed)
    return confirmed


def slot_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """Name and database of a connector's replication slot."""
    return str(config.get("slot.name", "debezium")), str(config.get("database.dbname"))


def require_replica_identity(settings: StackSettings, name: str, config: Mapping[str, Any]) -> None:
    """Raises GuardError when a table that connector `name` is to capture has no replica identity that serves: without
    one its updates and deletes fail in the application, and a message key beside the primary key needs whole rows."""
    tables = [table.strip() for table in str(config.get("table.include.list", "")).split(",")]
    with postgres.cursor(settings, slot_of(config)[1]) as cursor:
        cursor.execute(
            "SELECT n.nspname || '.' || c.relname, c.relreplident,"
            " ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
            " AND a.attnum = ANY (i.indkey) WHERE i.indrelid = c.oid AND i.indisprimary)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname || '.' || c.relname = ANY (%s) ORDER BY 1",
            (tables,),
        )
        found = cursor.fetchall()
    for table, identity, primary in found:
        beside = not _key(config, table) <= set(primary)
        if identity == "n" or (identity == "d" and not primary) or (identity != "f" and beside):
            needs = "its message key is not of its primary key" if beside else "it has no primary key, or NOTHING"
            raise GuardError(
                f"Connector {name} is not started: {table} has no replica identity that serves ({needs}), so updates "
                f"and deletes would fail or lack the row they change. As its owner: ALTER TABLE {table} REPLICA "
                "IDENTITY FULL.",
                "replica-identity",
            )


def require_key(
    settings: StackSettings, name: str, config: Mapping[str, Any], before: Mapping[str, Any] | None
) -> None:
    """Raises GuardError when connector `name` would spread the changes of one user over several partitions, where they
    have no order: its topic of transactions has more than one, or would be made with more, and its messages are not
    keyed as a rule is; or are, but were keyed otherwise by its configuration `before`, and are there."""
    if not _captures(config, _TRANSACTIONS):
        return
    topic, key = f"{config.get('topic.prefix')}.{_TRANSACTIONS}", _key(config, _TRANSACTIONS)
    partitions = _partitions(settings, topic, config)
    if partitions == 1:
        return
    if key not in _KEYS:
        raise _refusal(
            name,
            f"topic {topic} has, or would be made with, {partitions} partitions, and its messages would be keyed by "
            f"{_named(key)}, so the changes of one user would lie in several, without an order. Set "
            f"message.key.columns to {_TRANSACTIONS}:user_id (or :merchant_id for rules of that key), or use a topic "
            "of one partition.",
            "topic-key",
        )
    keyed = key if before is None else _key(before, _TRANSACTIONS)
    if keyed != key and offsets.written_lsn(settings, topic) is not None:
        raise _refusal(
            name,
            f"the messages of topic {topic} are keyed by {_named(keyed)}, and from now on would be by {_named(key)}: "
            f"the changes of one user would lie in several of its {partitions} partitions, without an order. Keep "
            "message.key.columns, or set another topic.prefix.",
            "topic-key",
        )


def _key(config: Mapping[str, Any], table: str) -> set[str]:
    """The columns that message.key.columns names for a table; none where the messages are keyed by its primary key."""
    parts = (part.partition(":") for part in str(config.get("message.key.columns", "")).split(";"))
    found = (columns for tables, _, columns in parts if re.fullmatch(tables.strip(), table))
    return {column.strip() for column in next(found, "").split(",") if column.strip()}


def _named(key: set[str]) -> str:
    return ", ".join(sorted(key)) or "the primary key"


def _captures(config: Mapping[str, Any], table: str) -> bool:
    """Whether a connector's lists of schemas and tables leave a table in."""
    for kind, name in (("schema", table.partition(".")[0]), ("table", table)):
        included, excluded = (str(config.get(f"{kind}.{which}.list", "")) for which in ("include", "exclude"))
        if (included and not _lists(included, name)) or _lists(excluded, name):
            return False
    return True


def _lists(expressions: str, name: str) -> bool:
    return any(re.fullmatch(each.strip(), name, re.IGNORECASE) for each in expressions.split(","))


def _partitions(settings: StackSettings, topic: str, config: Mapping[str, Any]) -> int:
    """How many a topic has; if it is not there, with how many Connect would make it, or else the broker: with one."""
    topics = kafka.admin(settings).list_topics(timeout=10).topics
    asked = str(config.get("topic.creation.default.partitions", "1"))
    return len(topics[topic].partitions) if topic in topics else int(asked) if asked.isdecimal() else 1


def confirmed_lsn(settings: StackSettings, slot: str, database: str) -> int | None:
    """The position up to which PostgreSQL takes a slot's changes for received; None without such a slot, or if it has
    lost the log it needs."""
    with postgres.cursor(settings, "postgres") as cursor:
        cursor.execute(
            "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots"
            " WHERE slot_name = %s AND database = %s AND wal_status <> 'lost'",
            (slot, database),
        )
        row = cursor.fetchone()
    return None if row is None or row[0] is None else int(row[0])


def end_lsn(settings: StackSettings) -> int:
    """Where PostgreSQL's log ends. What was sent from it is on the disk (fsync), so a crash does not set it back."""
    with postgres.cursor(settings, "postgres") as cursor:
        cursor.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
        return int(cursor.fetchall()[0][0])


def lsn_text(lsn: int) -> str:
    """A log position as PostgreSQL writes it: 4294967297 -> "1/1"."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
