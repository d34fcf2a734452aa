"""Up to where each query has come: taken once, before anything is read, so that a running pipeline can be audited."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from fraudstream.check.topic import consumer_settings, partitions_of
from fraudstream.clients import librdkafka
from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import Rule
from fraudstream.stack.kafka import quiet_logger, topic_ids
from fraudstream.streams import record
from fraudstream.streams.manifest import require_mask, require_topic
from fraudstream.streams.progress import batch_offsets, by_number, committed_batches

MIRROR, ARCHIVE, SHADOW_ARCHIVE = "mirror_transactions", "archive_alerts", "archive_shadow_alerts"
Offsets = Mapping[int, int]


@dataclass(frozen=True)
class Topic:
    """A topic when the audit began: its first offsets, those of --since, and those from which it is read."""

    name: str
    low: Offsets
    since: Offsets
    start: Offsets

    def covers(self, partition: int, offset: int) -> bool:
        """Whether the record is read."""
        return offset >= self.start.get(partition, 0)

    def is_recent(self, partition: int, offset: int) -> bool:
        """Whether the record is one of --since."""
        return offset >= self.since.get(partition, 0)

    @property
    def whole(self) -> bool:
        """Whether the topic is read from its very first record, and none has been deleted."""
        return not any(self.start.values())


@dataclass(frozen=True)
class Bounds:
    """`batches` are the last committed batch of each query that has begun, `positions` {partition: next offset} behind
    it; what lies behind them is in flight. `at` in epoch seconds."""

    at: float
    batches: Mapping[str, int]
    positions: Mapping[str, Offsets]
    transactions: Topic
    alerts: Mapping[str, Topic] = field(default_factory=dict)  # by the query that archives the topic

    def of(self, query: str) -> Offsets:
        """Where the query stands; nothing of a topic lies before it if it has not begun."""
        return self.positions.get(query, {})


def take_bounds(pipeline: Pipeline, rules: Sequence[Rule], since_s: float | None) -> Bounds:
    """The bounds now; with `since_s` the topics' records of the last so many seconds are compared.

    Raises StackError if there is no topic of transactions or no broker, GuardError if the pipeline masks user ids in
    another way than the queries did, or if a topic was deleted and made anew since: its offsets are of other records.
    """
    names = (MIRROR, ARCHIVE, SHADOW_ARCHIVE, *rule_names(pipeline, rules))
    committed = {name: committed_batches(pipeline.checkpoint(name)) for name in names}
    batches = {name: found[-1] for name, found in committed.items() if found}
    for name in batches:
        require_mask(pipeline.checkpoint(name), pipeline.mask)
    positions = {name: by_number(batch_offsets(pipeline.checkpoint(name), last)) for name, last in batches.items()}
    at, kafka = time.time(), pipeline.kafka
    since_ms = None if since_s is None else int((at - since_s) * 1000)
    settings = {**consumer_settings(kafka.bootstrap_servers, kafka.client_options), "group.id": "fraudstream-audit"}
    consumer = Consumer({**settings, "log_level": 0}, logger=quiet_logger())
    try:
        known = consumer.list_topics(timeout=10).topics
        transactions = _topic(consumer, kafka.transactions_topic, since_ms)
        topics = {ARCHIVE: kafka.alerts_topic, SHADOW_ARCHIVE: kafka.shadow_topic}
        alerts = {query: _topic(consumer, name, since_ms) for query, name in topics.items() if name in known}
    finally:
        consumer.close()
    _require_same_topics(pipeline, {name: topics.get(name, kafka.transactions_topic) for name in batches})
    return Bounds(at, batches, positions, read_from(transactions, positions.get(MIRROR, {})), alerts)


def _require_same_topics(pipeline: Pipeline, topics: Mapping[str, str]) -> None:
    """`topics`: by the query that has read it."""
    kafka = pipeline.kafka
    settings: dict[str, Any] = {**librdkafka(kafka.client_options), "bootstrap.servers": kafka.bootstrap_servers}
    client = AdminClient({**settings, "log_level": 0}, logger=quiet_logger())
    ids = topic_ids(client, {*topics.values()}) if topics else {}
    for query, topic in topics.items():
        if topic in ids:
            require_topic(pipeline.checkpoint(query), topic, ids[topic])


def read_from(topic: Topic, mirror: Offsets) -> Topic:
    """The topic, read from where the mirror stands if that is before --since: what it has not written yet is needed to
    tell rows in flight."""
    start = {number: min(offset, mirror.get(number, topic.low[number])) for number, offset in topic.since.items()}
    return replace(topic, start=start)


def rule_names(pipeline: Pipeline, rules: Sequence[Rule]) -> list[str]:
    """The rules that have judged: those of the record of versions, and those of the file that have a checkpoint."""
    recorded = {path.stem for path in Path(pipeline.lake, "rule_versions").glob("*.json")}
    started = {rule.name for rule in rules if committed_batches(pipeline.checkpoint(rule.name))}
    return sorted(recorded | started)


def lost_checkpoints(pipeline: Pipeline) -> list[str]:
    """Queries whose tables have rows or whose rule has a record, but which have no checkpoint: where they stand is
    unknown."""
    tables = {MIRROR: "transaction_changes", ARCHIVE: "alerts", SHADOW_ARCHIVE: "shadow_alerts"}
    written = {query: Path(pipeline.table(name), "_delta_log").exists() for query, name in tables.items()}
    written |= {name: bool(record.entries(pipeline.lake, name)) for name in rule_names(pipeline, ())}
    return [query for query, has in written.items() if has and not Path(pipeline.checkpoint(query)).exists()]


def _topic(consumer: Consumer, name: str, since_ms: int | None) -> Topic:
    low: dict[int, int] = {}
    start: dict[int, int] = {}
    for number in partitions_of(consumer, name):
        low[number], high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=30)
        start[number] = low[number]
        if since_ms is not None:
            (found,) = consumer.offsets_for_times([TopicPartition(name, number, since_ms)], timeout=30)
            start[number] = found.offset if found.offset >= 0 else high
    return Topic(name, low, start, start)


def seconds_of(text: str) -> float:
    """Seconds of a duration like 90s, 15m, 2h or 7d. Raises FraudstreamError for anything else."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdigit() or not int(number):
        raise FraudstreamError(f"--since is {text!r}; write it like 90s, 15m, 2h or 7d.")
    return int(number) * units[unit]
