"""The connectors of the capture benchmark: docker/connect/transactions.json without this or with that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fraudstream.cdc.shape import ADD_FIELDS

TUNING: Mapping[str, tuple[str, ...]] = {
    "batch and queue": ("max.batch.size", "max.queue.size", "max.queue.size.in.bytes"),
    "poll interval": ("poll.interval.ms",),
    "producer batches": ("producer.override.linger.ms", "producer.override.batch.size"),
    "compression": ("producer.override.compression.type",),
}
"""Settings that change nothing but the speed, by what they are about."""
USUAL_JAVA = "-Xms256M -Xmx2G -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
"""Heap and collector of Connect as Kafka's own connect-distributed.sh starts it."""
PUBLICATIONS: Mapping[str, str] = {"bench_even": "user_id % 2 = 0", "bench_odd": "user_id % 2 <> 0"}
"""Of two connectors, with the rows of each; a user's changes stay together."""

_COMPACT = {
    "transforms": "unwrap",
    "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
    "transforms.unwrap.add.fields": ADD_FIELDS,
    "transforms.unwrap.delete.tombstone.handling.mode": "rewrite",
}


@dataclass(frozen=True)
class Setup:
    """What a step's connectors differ in from the project's own."""

    without: tuple[str, ...] = ()
    """Settings left to their defaults."""
    more: Mapping[str, str] = field(default_factory=dict)
    halves: bool = False
    """Two connectors, each with one of PUBLICATIONS."""
    usual_java: bool = False
    """Connect has USUAL_JAVA."""
    snapshot: bool = False
    """The rows are there before the connector: it reads them in a snapshot."""


_TUNED = tuple(name for names in TUNING.values() for name in names)
STEPS: Mapping[str, Setup] = {
    "defaults": Setup(_TUNED, usual_java=True),
    "the connector's defaults": Setup(_TUNED),
    "tuned": Setup(),
    "tuned without heap and collector": Setup(usual_java=True),
    **{f"tuned without {group}": Setup(names) for group, names in TUNING.items()},
    "compact": Setup(more=_COMPACT),
    "two connectors": Setup(halves=True),
    "snapshot": Setup(snapshot=True),
}


def connectors_of(setup: Setup, name: str, ours: Mapping[str, str]) -> list[dict[str, Any]]:
    """The connectors {"name", "config"} of a step, made from the configuration `ours`. All write the topic
    NAME.public.transactions; each has a slot of its own."""
    config = {key: value for key, value in ours.items() if key not in setup.without}
    config |= setup.more
    if not setup.halves:
        return [_named(config, name, ours["publication.name"])]
    # Debezium names topics by the prefix, and two connectors may not share it.
    route = {
        "transforms": "route",
        "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.route.regex": r".*\.public\.transactions",
        "transforms.route.replacement": f"{name}.public.transactions",
    }
    return [_named(config | route, f"{name}_{each.removeprefix('bench_')}", each) for each in PUBLICATIONS]


def _named(config: Mapping[str, str], name: str, publication: str) -> dict[str, Any]:
    own = {"topic.prefix": name, "slot.name": name, "publication.name": publication}
    return {"name": name, "config": {**config, **own}}
