"""Commit to alert: the same rules on the change stream and on polled rows, at the same time, on the same rows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
from confluent_kafka.admin import NewTopic

from fraudstream.check.children import Child, job
from fraudstream.check.latency import epoch_ms
from fraudstream.check.observe import Observer
from fraudstream.check.topic import read_topic
from fraudstream.check.verify import alert_messages
from fraudstream.check.watch import Watch, wait_for_queries
from fraudstream.compare import capture, database
from fraudstream.compare.measurement import Measurement, measured
from fraudstream.compare.usage import tree
from fraudstream.config import PIPELINE_FILE, RULES_FILE, Pipeline, load_pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.polling.poller import NAME as POLLER
from fraudstream.polling.store import Store
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack import connect, kafka, lifecycle
from fraudstream.stack.settings import StackSettings

INTERVALS = {"poll_1s": 1.0, "poll_5s": 5.0}
"""The pollers by their path's name, with seconds between two polls."""
_WRITERS, _RATE = 2, 250  # rows/s of each; two transactions may overlap, so that a greater id is committed first
_WARM_S, _WINDOW_S, _LAST_S = 25, 25, 8  # the queries compile; measured; not measured: the last polls
_CONNECTOR, _SLOT = "transactions", "fraud_slot"
_PATIENCE_S = 60.0
Alerts = Mapping[tuple[str, int], float]
"""Epoch seconds at which an alert was there, by rule and transaction."""


@dataclass(frozen=True)
class _Run:
    """What runs: the queries, the pollers by path, and when writing began."""

    spark: Child
    pollers: Mapping[str, Child]
    folders: Mapping[str, Path]

    def used(self) -> dict[str, dict[str, float]]:
        """CPU and memory so far, by path."""
        return {path: tree(child.process.pid) for path, child in {"cdc": self.spark, **self.pollers}.items()}


def run_alerts(settings: StackSettings, folder: Path) -> tuple[list[Measurement], list[str]]:
    """Of each path (cdc, of rules in real-time mode cdc_real_time, and INTERVALS): alert_p50_ms and so on from the
    commit, over `_WINDOW_S`; alerts, and against the stream's those that are missing and extra; CPU and memory of the
    rules' processes. Nothing of it must be equal: what a poller overlooks is what is measured. The stack's own tables
    and topics are used."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = {
        "POSTGRES_PORT": settings.postgres_port, "KAFKA_PORT": settings.kafka_port,
        "KAFKA_CONTROLLER_PORT": settings.kafka_controller_port, "CONNECT_PORT": settings.connect_port,
    }  # fmt: skip
    environment = {name: str(port) for name, port in ports.items()}
    pipeline = load_pipeline(environment={**os.environ, **environment, "FRAUDSTREAM_HOME": str(folder)})
    live = [rule for rule in load_rules(RULES_FILE) if rule.status == "live"]
    began, used, polled = _ran(settings, folder, environment, pipeline, [rule.name for rule in live])
    stream, committed = _of_stream(pipeline)
    _forget(settings, pipeline)
    in_real_time = {rule.name for rule in live if rule.trigger == "real-time"}
    window = (began + _WARM_S, began + _WARM_S + _WINDOW_S)
    delayed = {
        "cdc": {key: at for key, at in stream.items() if key[0] not in in_real_time},
        "cdc_real_time": {key: at for key, at in stream.items() if key[0] in in_real_time},
        **polled,
    }
    found = measured("alerts", "alerts", 1, "all", {"rate": _WRITERS * _RATE, "rules": len(live)})
    for path, alerts in delayed.items():
        found += measured("alerts", "alerts", 1, path, delays(alerts, committed, window))
    for path, alerts in {"cdc": stream, **polled}.items():
        found += measured("alerts", "alerts", 1, path, {**against(alerts, stream), **used[path]})
    return found, [] if stream else ["alerts: the stream's rules raised none"]


def _ran(
    settings: StackSettings, folder: Path, environment: Mapping[str, str], pipeline: Pipeline, rules: list[str]
) -> tuple[float, dict[str, dict[str, float]], dict[str, Alerts]]:
    """When writing began, what each path used, and the alerts of the pollers; those of the stream are in its topic."""
    with ExitStack() as running:
        _capture(settings, pipeline)
        run = _started(folder, environment, str(settings.home), running)
        wait_for_queries(pipeline.progress, rules, run.spark)
        observer = Observer(pipeline, rules, folder / "ledger.jsonl")
        running.callback(observer.close)
        watch = Watch(settings, observer, lambda title, sample: None, run.spark, pipeline.progress)
        began, used = _written(settings, folder, environment, run, watch)
        capture.await_decoded(settings, _SLOT)
        watch.until(
            lambda: "alerts",
            lambda sample: observer.at_the_end() and not any(sample.behind(rule) for rule in rules),
            "the queries",
        )
        _await_pollers(settings, run)
        return began, used, {path: _of_poller(run.folders[path]) for path in run.pollers}


def _capture(settings: StackSettings, pipeline: Pipeline) -> None:
    topic = pipeline.kafka.transactions_topic
    client = kafka.admin(settings)
    client.create_topics([NewTopic(topic, settings.topic_partitions, 1)])[topic].result(30)
    connect.put_connector(settings, lifecycle.TRANSACTIONS)
    connect.wait_running(settings, _CONNECTOR)


def _forget(settings: StackSettings, pipeline: Pipeline) -> None:
    connect.delete_connector(settings, _CONNECTOR)
    database.drop_slot(settings, _SLOT)
    kafka.delete_topic(settings, pipeline.kafka.transactions_topic)


def _started(folder: Path, environment: Mapping[str, str], home: str, running: ExitStack) -> _Run:
    own = {**environment, "FRAUDSTREAM_HOME": str(folder)}
    spark = running.enter_context(job("detect_fraud", [], folder / "spark.log", own))
    pollers, folders = {}, {}
    for path, interval in INTERVALS.items():
        folders[path] = folder / path
        folders[path].mkdir()
        # Its lake and checkpoints apart from the other's; the passwords are those of the stack.
        text = PIPELINE_FILE.read_text(encoding="utf-8").replace("${FRAUDSTREAM_HOME}", str(folders[path]))
        (folders[path] / "pipeline.yaml").write_text(text, encoding="utf-8")
        arguments = ["--interval", f"{interval:g}", "--config", str(folders[path] / "pipeline.yaml")]
        stack = {**environment, "FRAUDSTREAM_HOME": home}
        pollers[path] = running.enter_context(job(POLLER, arguments, folders[path] / "poller.log", stack))
    return _Run(spark, pollers, folders)


def _written(
    settings: StackSettings, folder: Path, environment: Mapping[str, str], run: _Run, watch: Watch
) -> tuple[float, dict[str, dict[str, float]]]:
    """When writing began, and what each path's rules used in the window."""
    began = time.time()
    readings: list[dict[str, dict[str, float]]] = []

    def until(second: float) -> Callable[[Any], bool]:
        return lambda sample: sample.at >= began + second

    with ExitStack() as writing:
        writers = [
            writing.enter_context(job("produce_transactions", arguments, folder / f"writer{number}.log", {
                **environment, "FRAUDSTREAM_HOME": str(settings.home)
            }))
            for number, arguments in enumerate(_writer_arguments(folder))
        ]  # fmt: skip
        for second in (_WARM_S, _WARM_S + _WINDOW_S):
            watch.until(lambda: "writing", until(second), "the writers")
            readings.append(run.used())
        watch.until(lambda: "writing", lambda _: all([writer.ended_well() for writer in writers]), "the writers")
    first, last = readings
    used = {
        path: {
            "rules_cpu_ms_per_s": (last[path]["cpu_s"] - first[path]["cpu_s"]) * 1000 / _WINDOW_S,
            "peak_kib": last[path]["peak_kib"], "processes": last[path]["processes"],
        }
        for path in last
    }  # fmt: skip
    return began, used


def _writer_arguments(folder: Path) -> list[list[str]]:
    seconds = str(_WARM_S + _WINDOW_S + _LAST_S)
    common = ["--profile", "exercise", "--rate", str(_RATE), "--seconds", seconds, "--progress", "none"]
    return [[*common, "--seed", str(seed), "--ledger", str(folder / f"ledger{seed}.jsonl")] for seed in range(_WRITERS)]


def _await_pollers(settings: StackSettings, run: _Run) -> None:
    """Wait until every poller has asked for the newest row and delivered its alerts, and stop it."""
    with psycopg2.connect(settings.dsn("batch")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM public.transactions")
        ((newest,),) = cursor.fetchall()
    limit = time.monotonic() + _PATIENCE_S
    for path, poller in run.pollers.items():
        store = Store(run.folders[path] / "checkpoints" / POLLER)
        while (position := store.position()) is None or position.id < newest or store.pending():
            poller.require_running()
            if time.monotonic() > limit:
                raise FraudstreamError(f"{path} has not found row {newest} in {_PATIENCE_S:.0f} s; see {poller.log}.")
            time.sleep(0.1)
        store.close()
        poller.stop()


def _of_stream(pipeline: Pipeline) -> tuple[Alerts, Alerts]:
    """The stream's alerts, and when their changes were committed."""
    there: dict[tuple[str, int], float] = {}
    committed: dict[tuple[str, int], float] = {}
    by_rule, _ = alert_messages(read_topic(pipeline.kafka.bootstrap_servers, pipeline.kafka.alerts_topic))
    for rule, messages in by_rule.items():
        for message in messages:
            key = (rule, message.payload["transaction_id"])
            there[key] = min(there.get(key, np.inf), message.timestamp / 1000)
            committed[key] = (epoch_ms(message.payload["committed_at"]) or np.nan) / 1000
    return there, committed


def _of_poller(folder: Path) -> Alerts:
    from deltalake import DeltaTable

    table = DeltaTable(str(folder / "lake" / "polled_alerts"))
    rows = table.to_pyarrow_table(columns=["rule", "transaction_id", "detected_at"]).to_pylist()
    return {(row["rule"], row["transaction_id"]): row["detected_at"].timestamp() for row in rows}


def delays(alerts: Alerts, committed: Alerts, window: tuple[float, float]) -> dict[str, float | None]:
    """Milliseconds from the commit of alerts on changes that were committed in the window [begin, end), in epoch
    seconds; None without any."""
    begin, end = window
    found = [(at - committed[key]) * 1000 for key, at in alerts.items()
             if key in committed and begin <= committed[key] < end]  # fmt: skip
    names = {"alert_p50_ms": 50, "alert_p95_ms": 95, "alert_p99_ms": 99}
    return {name: float(np.percentile(found, share)) if found else None for name, share in names.items()}


def against(alerts: Alerts, stream: Alerts) -> dict[str, float]:
    """How many alerts there are, and how many the stream has and they have not, and the other way round."""
    return {
        "alerts": len(alerts), "alerts_missing": len(stream.keys() - alerts.keys()),
        "alerts_extra": len(alerts.keys() - stream.keys()),
    }  # fmt: skip
