"""Guards at the start of a rule: may the messages of this topic be judged at all?

A rule with state relies on one partition holding all changes of a user in order (docs/semantics.md, "Order"). A topic
that cannot give that is refused by a sample of its first and last records, with the setting to change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fraudstream.cdc import shape
from fraudstream.cdc.envelope import UnreadableMessage, read_change_event
from fraudstream.errors import GuardError


@dataclass(frozen=True, slots=True)
class Sample:
    """One record of the topic."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def check_samples(topic: str, partitions: int, samples: Iterable[Sample], key: str | None) -> None:
    """Raise GuardError if `samples` show that the topic of so many `partitions` cannot serve rules keyed by `key`."""
    # Truncates have no key, heartbeats that are routed to the topic one of their own: neither tells of the rows'.
    rows = [sample for sample in samples if _operation(topic, sample) not in ("t", "heartbeat")]
    keys = {key_columns(sample.key) for sample in rows if sample.key is not None}
    if len(keys) > 1:
        raise GuardError(
            f"{topic}: its messages are keyed in {len(keys)} ways ({'; '.join(sorted(map(_named, keys)))}), so two "
            "connectors, or one before and after a change of its key, write it. Delete one connector, or let one write "
            "a topic of its own (topic.prefix).",
            "topic-key",
        )
    if key is None or partitions == 1 or not rows or keys == {(key,)}:
        return
    found = _named(keys.pop()) if keys else "nothing"
    raise GuardError(
        f"{topic}: it has {partitions} partitions and its messages are keyed by {found}, so the changes of one {key} "
        f"lie in several partitions, without an order. Set the connector's message.key.columns to "
        f"<schema>.<table>:{key}, use a topic of one partition, or pause the rules whose key is {key}.",
        "topic-key",
    )


def key_columns(key: bytes) -> tuple[str, ...]:
    """The columns that a message key is made of; empty if it is no JSON object (of a JsonConverter), or too long."""
    if len(key) > shape.MAX_KEY:
        return ()
    try:
        found: Any = json.loads(key)
    except (ValueError, RecursionError):
        return ()
    if isinstance(found, dict) and found.keys() == {"schema", "payload"}:
        found = found["payload"]
    return tuple(sorted(found)) if isinstance(found, dict) else ()


def _named(columns: tuple[str, ...]) -> str:
    shown = [name if name.isprintable() else ascii(name) for name in columns[:10]]
    return ", ".join(shown) or "no column by name (key.converter must be the JsonConverter)"


def _operation(topic: str, sample: Sample) -> str | None:
    """What the message does, None if that cannot be read. Raises GuardError for a row without what rules need."""
    try:
        return read_change_event(sample.value, sample.headers).op
    except UnreadableMessage as unreadable:
        if unreadable.reason == shape.NOT_COMPLETE:
            raise GuardError(
                f"{topic}: its messages are flattened (ExtractNewRecordState) without what rules need. Set the "
                f"transform's add.fields={shape.ADD_FIELDS} and delete.tombstone.handling.mode=rewrite, or leave the "
                "transform out.",
                "topic-flattened",
            ) from None
        return None
