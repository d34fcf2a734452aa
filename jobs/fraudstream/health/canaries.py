"""Canaries: rows that rules must alert on, sent to see whether and how soon the alerts come."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from confluent_kafka import Consumer, KafkaError, TopicPartition

from fraudstream import canary
from fraudstream.check.topic import consumer_settings, partitions_of
from fraudstream.config import Pipeline
from fraudstream.errors import ConfigError, StackError
from fraudstream.health.facts import CANARY_FILE, noted
from fraudstream.rulebook.catalog import Rule
from fraudstream.stack.kafka import quiet_logger

RULES = ("anomaly", "velocity", "high_amount")
"""The rule files that alert, with their usual parameters, on a canary: five small amounts and a very large one."""
_AMOUNTS = (*["1.00"] * 5, "999999.99")
_INSERT = """
    INSERT INTO public.transactions (user_id, amount, card_type)
    SELECT %s, amount::numeric, 'CANARY' FROM unnest(%s) AS amount RETURNING id
"""


@dataclass(frozen=True)
class Sent:
    """A canary: the transaction to alert on, seconds from its commit to the alert of each rule, and the rules whose
    alert did not come within the bound."""

    transaction_id: int
    seconds: dict[str, float]
    late: list[str]


def expected_rules(rules: Iterable[Rule], names: Sequence[str] = ()) -> list[str]:
    """The live rules to wait for: those of `names`, else all whose file is known to alert. Raises ConfigError if there
    is none, or one of the names is not live."""
    live = {rule.name: rule for rule in rules if rule.status == "live"}
    for name in names:
        if name not in live:
            raise ConfigError(f"--rules: {name!r} is not live; live are {', '.join(live) or 'none'}.")
    found = list(names) or [name for name, rule in live.items() if rule.rule in RULES]
    if not found:
        raise ConfigError(
            f"none of the rules that alert on a canary is live ({', '.join(RULES)}); name some by --rules."
        )
    return found


def send(dsn: str, pipeline: Pipeline, rules: Collection[str], within: float) -> Sent:
    """Write a canary as the application and wait for its alerts, `within` seconds of its commit at most. Raises
    StackError when Kafka does not answer, psycopg2.Error when PostgreSQL does not."""
    topic, kafka = pipeline.kafka.alerts_topic, pipeline.kafka
    settings = {**consumer_settings(kafka.bootstrap_servers, kafka.client_options), "log_level": 0}
    consumer = Consumer(settings, logger=quiet_logger())
    try:
        places = [TopicPartition(topic, number) for number in partitions_of(consumer, topic)]
        for place in places:  # a seek to "the end" would take place after the insert
            place.offset = consumer.get_watermark_offsets(place, timeout=10)[1]
        consumer.assign(places)
        transaction_id = _insert(dsn)
        committed = time.monotonic()
        seconds = _awaited(consumer, transaction_id, rules, committed, within)
    finally:
        consumer.close()
    return Sent(transaction_id, seconds, [rule for rule in rules if rule not in seconds])


def _insert(dsn: str) -> int:
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_INSERT, (canary.USER, list(_AMOUNTS)))
            return int(cursor.fetchall()[-1][0])
    finally:
        connection.close()


def _awaited(
    consumer: Consumer, transaction_id: int, rules: Collection[str], committed: float, within: float
) -> dict[str, float]:
    seconds: dict[str, float] = {}
    while len(seconds) < len(rules) and (left := committed + within - time.monotonic()) > 0:
        for message in consumer.consume(1000, timeout=min(left, 0.1)):
            error: Any = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF and not error.retriable():
                raise StackError(f"topic {message.topic()}: {error.str()}; see the broker's log.")
            rule = _rule_of(message.value(), transaction_id) if error is None else None
            if rule in rules and rule not in seconds:
                seconds[str(rule)] = time.monotonic() - committed
    return seconds


def _rule_of(value: bytes | None, transaction_id: int) -> str | None:
    """The rule of an alert on that transaction."""
    try:
        alert = json.loads(value or b"")
        return str(alert["rule"]) if alert["transaction_id"] == transaction_id else None
    except (ValueError, KeyError, TypeError):
        return None


def note(pipeline: Pipeline, sent: Sent | None, at: float, every: float | None = None) -> None:
    """Write down how the canary of now fared (None: it could not be sent), for the facts: at, transaction_id,
    latency_s (of the slowest rule), late (rules), arrived_at (when one last came out in time, None: never), every_s
    (seconds until the next one, None: none is to come)."""
    in_time = sent is not None and not sent.late
    _write(
        pipeline,
        {
            "at": at,
            "transaction_id": sent.transaction_id if sent else None,
            "latency_s": max(sent.seconds.values(), default=None) if sent else None,
            "late": sent.late if sent else None,
            "arrived_at": at if in_time else (noted(pipeline) or {}).get("arrived_at"),
            "every_s": every,
        },
    )


def note_end(pipeline: Pipeline) -> None:
    """Write down that no canary is to come."""
    found = noted(pipeline)
    if found is not None:
        _write(pipeline, {**found, "every_s": None})


def _write(pipeline: Pipeline, line: dict[str, Any]) -> None:
    path = Path(pipeline.progress, CANARY_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(json.dumps(line), encoding="utf-8")
    written.replace(path)
