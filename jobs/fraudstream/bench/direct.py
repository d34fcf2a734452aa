"""From record to alert in real time with a plain producer in front of the topic: the connector writes in transactions,
and before their commit nobody may read what the log already has."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Producer

from fraudstream.bench.broker import broker, own_settings
from fraudstream.bench.dataset import CARD_TYPES, Columns, key
from fraudstream.bench.latency import RATE
from fraudstream.bench.messages import HEADERS, values
from fraudstream.bench.ours import write_pipeline, write_rules
from fraudstream.check.children import job
from fraudstream.check.latency import STAGES, Latencies, since_record
from fraudstream.check.observe import Observer
from fraudstream.check.stages import make_topics
from fraudstream.check.timeline import percentiles
from fraudstream.check.watch import stop_leftover, wait_for_queries
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.stack import kafka, lifecycle
from fraudstream.stack.access import ALERTS
from fraudstream.stack.settings import StackSettings

RULE = "high_amount"
# Between two real-time batches nothing is judged for half a second: where a batch has 20 s, as in conf/, that is one
# alert in forty, and p99.
_PLAIN = f"{RULE} alone, plain producer"
STEPS: Mapping[str, Mapping[str, Any]] = {
    _PLAIN: {},
    f"{_PLAIN}, batches of two minutes": {"triggers.real_time": "2 minutes"},
}
"""What each has over conf/pipeline.yaml."""
_OVER = 4500_00  # of the rule in conf/rules.yaml, in cents
_TOPIC = "dbserver1.public.transactions"
# The last two minutes have a whole number of pauses of either. By then the planner is warm.
_SECONDS, _MEASURED_S = 360, 120.0
_TOGETHER = 20  # rows: 10 ms
_PATIENCE_S = 30.0
_FIRST_USER, _USERS = 1000, 9000


def measure(home: Path, changes: Mapping[str, Any], seconds: int = _SECONDS) -> dict[str, Any]:
    """As latency.measured, of RULE in real time, with what there is without a database: record_to_alert_ms of the last
    two minutes. On a broker of its own in `home`, which is stopped and deleted afterwards."""
    settings = own_settings(home)
    stop_leftover(str(home / "progress"))  # of a run that was killed
    lifecycle.purge(settings)
    home.mkdir(parents=True, exist_ok=True)
    try:
        with broker(settings):
            alerts, end, expected = _detected(settings, changes, seconds)
    finally:
        lifecycle.purge(settings)
    return figures(alerts, end, expected)


def _detected(settings: StackSettings, changes: Mapping[str, Any], seconds: int) -> tuple[Latencies, float, int]:
    """The alerts on so many seconds of payments, until when (epoch seconds) these came, and how many there must be."""
    home = settings.home
    rules, config = home / "rules.yaml", home / "pipeline.yaml"
    write_rules(rules, [RULE])
    write_pipeline(config, _TOPIC, ALERTS, {"kafka.bootstrap_servers": settings.bootstrap, **changes})
    environment = {"FRAUDSTREAM_HOME": str(home), "STACK_PROFILE": "open", "KAFKA_CLIENT_PROPERTIES": ""}
    pipeline = load_pipeline(config, {**os.environ, **environment})
    make_topics(settings, pipeline)
    words = ["--rules-file", str(rules), "--config", str(config)]
    with job("detect_fraud", words, home / "spark.log", environment) as spark:
        wait_for_queries(pipeline.progress, [RULE], spark)
        data = payments(RATE * seconds, time.time() + 1, settings.topic_partitions)
        _produce(settings, data)
        spark.require_running()
        expected = int((data.cents > _OVER).sum())
        return _heard(pipeline, home, expected), float(data.created_at[-1]) / 1e6, expected


def payments(count: int, begin: float, partitions: int) -> Columns:
    """Payments as the exercise's producer draws them, RATE a second from `begin` (epoch seconds) on."""
    random = np.random.default_rng(count)
    user = random.integers(_FIRST_USER, _FIRST_USER + _USERS, count)
    at = (begin * 1e6 + np.arange(count) * (1e6 / RATE)).astype(np.int64)
    return Columns(
        user_id=user, cents=random.integers(5_00, 5000_01, count), card=random.integers(0, len(CARD_TYPES), count),
        merchant_id=random.integers(1, 501, count), created_at=at, partition=user % partitions,
    )  # fmt: skip


def _produce(settings: StackSettings, data: Columns) -> None:
    """Write each payment to the topic when its time has come."""
    producer = Producer(kafka.client(settings))
    rows = zip(
        values(data, np.arange(len(data)), "envelope"), data.user_id.tolist(), data.partition.tolist(),
        data.created_at.tolist(), strict=True,
    )  # fmt: skip
    for number, (value, user, partition, due) in enumerate(rows):
        if number % _TOGETHER == 0:
            producer.poll(0)
            time.sleep(max(0.0, due / 1e6 - time.time()))
        producer.produce(_TOPIC, value, key(user), partition, headers=HEADERS)
    producer.flush(_PATIENCE_S)


def _heard(pipeline: Pipeline, home: Path, expected: int) -> Latencies:
    """All alerts so far, and those that come until there are as many as expected, for half a minute at most; with their
    records, so that both topics are read to their ends."""
    limit = time.monotonic() + _PATIENCE_S
    with closing(Observer(pipeline, [RULE], home / "ledger.jsonl")) as observer:
        alerts = observer.alerts[RULE]
        while (len(alerts.at) < expected or not observer.at_the_end()) and time.monotonic() < limit:
            observer.listen(1.0)
        return alerts


def figures(alerts: Latencies, end: float, expected: int) -> dict[str, Any]:
    """A step's result in the form of latency.measured's."""
    none: Mapping[str, None] = dict.fromkeys(("p50", "p95", "p99"))
    found = len(alerts.at)
    rule = {
        "alerts": found, "latency_ms": none, "stages_ms": dict.fromkeys(STAGES), "batch_ms": none,
        "record_to_alert_ms": percentiles(since_record(alerts, (end - _MEASURED_S, end))),
    }  # fmt: skip
    return {
        "rules": {RULE: rule}, "changes_per_s": float(RATE), "lag": {}, "first_alert_s": {RULE: None},
        "idle_share": None,
        "failures": [] if found == expected else [f"{found:,} instead of {expected:,} alerts"],
    }  # fmt: skip
