"""A demo's stages: stack, queries, warm-up, input, catching up, check; what they start ends with them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg2
from confluent_kafka.admin import NewTopic

from fraudstream.check.children import Child, job
from fraudstream.check.live import live_view
from fraudstream.check.observe import ARCHIVE, MIRROR, Observer
from fraudstream.check.once import Interrupted
from fraudstream.check.redeliver import redelivering
from fraudstream.check.report import Run
from fraudstream.check.resources import metering
from fraudstream.check.watch import Watch, wait_for_queries
from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.input.ledger import Ledger
from fraudstream.rulebook.catalog import Rule
from fraudstream.stack import guard, kafka, lifecycle
from fraudstream.stack.settings import StackSettings

# Some changes of existing rows in every profile, so that the mirror has more than inserts to get right.
_SHARES = ("--update-share", "0.01", "--delete-share", "0.002")
# Users that no profile has: their rows warm the queries up (a first batch compiles and starts Python workers for
# 5 to 15 s) and raise no alert.
_WARM_ROWS = [(user, "1.00") for user in range(2_000_001, 2_000_017)]
# Another one, whose last payment is over any limit: far above the others, the last of many, and large.
_ALARMING_ROWS = [*[(2_000_017, "1.00")] * 25, (2_000_017, "4999.00")]
_METER_S = 10.0
_INSERT = """
    INSERT INTO public.transactions (user_id, amount, card_type, merchant_id)
    SELECT user_id, amount, 'VISA', 1 FROM unnest(%s::int[], %s::numeric[]) AS rows (user_id, amount)
    RETURNING id, user_id, amount::text, card_type, merchant_id, created_at
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to write and for how long."""

    profile: str
    seconds: int
    rate: int
    seed: int
    rules_file: Path | None = None
    """Of rules other than those of conf/."""
    config_file: Path | None = None
    """Of a configuration other than that of conf/."""
    alarming: bool = False
    """Whether there are rows to alert on, for the rules of the exercise, before Spark starts."""


Check = Callable[[Path, Path], dict[str, Any]]


def run_and_check(
    options: Options, settings: StackSettings, pipeline: Pipeline, rules: Sequence[Rule], check: Check
) -> tuple[Run, dict[str, Any]]:
    """The run and what `check` found, which is called with the ledger and the log of redelivered messages when Spark
    has ended. Everything is stopped when it returns or raises."""
    home, names = settings.home, [rule.name for rule in rules]
    with ExitStack() as running:
        _say("starting PostgreSQL, Kafka and Connect")
        running.callback(_down, settings)
        stack_start_s = lifecycle.up(settings)
        make_topics(settings, pipeline)
        if options.alarming:
            _insert(settings, _ALARMING_ROWS)
        _say(f"the stack is up after {stack_start_s:.1f} s; starting Spark with {', '.join(names)}")
        submitted, spark = time.time(), running.enter_context(_detecting(options, home))
        wait_for_queries(pipeline.progress, [*names, MIRROR, ARCHIVE], spark)
        observer = Observer(pipeline, names, home / "ledger.jsonl")
        running.callback(observer.close)
        with live_view(names) as show:
            watch = Watch(settings, observer, show, spark, pipeline.progress)
            _warm_up(settings, watch)
            spark_start_s = time.time() - submitted
            with metering(settings, pipeline, _METER_S) as meter:
                written_from = _write(options, settings, pipeline, watch, observer)
            _catch_up(watch, observer)
        _say("stopping Spark")
        spark.stop()
        _say("checking what came of it")
        checked = check(home / "ledger.jsonl", home / "copies.jsonl")
        _say("stopping the stack")
    samples = [sample for sample in watch.samples if sample.at >= written_from]
    run = Run(
        options={name: value for name, value in asdict(options).items() if not name.endswith("_file")},
        began=samples[0].at, produced=_produced(watch, written_from),
        stack_start_s=stack_start_s, submitted=submitted, spark_start_s=spark_start_s, samples=samples,
        alerts=observer.alerts, progress=observer.progress, resources=meter.readings,
        batched=[rule.name for rule in rules if rule.trigger != "real-time" or not pipeline.triggers.real_time_enabled],
    )  # fmt: skip
    return run, checked


def _detecting(options: Options, home: Path) -> AbstractContextManager[Child]:
    arguments = ["--with", f"{ARCHIVE},{MIRROR}"]
    arguments += ["--rules-file", str(options.rules_file)] if options.rules_file else []
    arguments += ["--config", str(options.config_file)] if options.config_file else []
    return job("detect_fraud", arguments, home / "spark.log", {"FRAUDSTREAM_HOME": str(home)})


def _say(text: str) -> None:
    print(text, flush=True)


def make_topics(settings: StackSettings, pipeline: Pipeline) -> None:
    """Make the topic that Connect would make with the first change, so that the queries can start before it, and have
    the broker stamp its records and the alerts: latencies are told by these times."""
    name = pipeline.kafka.transactions_topic
    topic = NewTopic(name, num_partitions=settings.topic_partitions, replication_factor=1)
    client = kafka.admin(settings)  # the answer does not come to a client that is gone
    client.create_topics([topic])[name].result(30)
    kafka.stamp_arrivals(settings, [name, pipeline.kafka.alerts_topic])


def _down(settings: StackSettings) -> None:
    try:
        lifecycle.down(settings)
    except Interrupted:
        lifecycle.down(settings)  # it cannot be interrupted twice
        raise


def _warm_up(settings: StackSettings, watch: Watch) -> None:
    """Write a few harmless rows and wait until every query has had its first batch."""
    _insert(settings, _WARM_ROWS)
    watch.until(
        lambda: "warming up",
        lambda sample: all(count >= sample.committed for query, count in sample.read.items() if query != ARCHIVE),
        "the first batches",
    )


def _insert(settings: StackSettings, rows: Sequence[tuple[int, str]]) -> None:
    """Commit transactions of (user, amount), and note them in the ledger."""
    ledger = Ledger(settings.home / "ledger.jsonl")
    connection = psycopg2.connect(settings.dsn("app"))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
            written = cursor.fetchall()
        ledger.append("committed", [["c", *row, created_at.isoformat()] for *row, created_at in written])
    finally:
        connection.close()
        ledger.close()


def _write(options: Options, settings: StackSettings, pipeline: Pipeline, watch: Watch, observer: Observer) -> float:
    """Run the producer to its end, watching, and wait until its changes are in the topic. Returns when it began."""
    home = settings.home
    arguments = ["--profile", options.profile, "--seconds", str(options.seconds), "--rate", str(options.rate)]
    arguments += ["--seed", str(options.seed), "--ledger", str(home / "ledger.jsonl"), "--progress", "none"]
    arguments += _SHARES if options.profile == "exercise" else []
    began, written_from = time.monotonic(), time.time()

    def title() -> str:
        gone = min(options.seconds, time.monotonic() - began)
        return f"{options.profile}, {options.rate:,} rows/s: {gone:.0f} of {options.seconds} s"

    with ExitStack() as running:
        if options.profile == "hot":
            topic, log = pipeline.kafka.transactions_topic, home / "copies.jsonl"
            running.enter_context(
                redelivering(settings.bootstrap, topic, log, options.seed, kafka.client_options(settings))
            )
        environment = {"FRAUDSTREAM_HOME": str(home)}
        producer = running.enter_context(job("produce_transactions", arguments, home / "producer.log", environment))
        watch.until(title, lambda _: producer.ended_well(), "the producer")
        _await_capture(settings, watch, observer)
    return written_from


def _await_capture(settings: StackSettings, watch: Watch, observer: Observer) -> None:
    """Wait until every committed change is in the topic: the slot has passed the end of the log."""
    config = json.loads(lifecycle.TRANSACTIONS.read_text(encoding="utf-8"))["config"]
    slot, database = config["slot.name"], config["database.dbname"]
    end = guard.end_lsn(settings)
    watch.until(
        lambda: "catching up: capture",
        lambda _: (guard.confirmed_lsn(settings, slot, database) or 0) >= end and observer.at_the_end(),
        "Debezium",
    )


def _catch_up(watch: Watch, observer: Observer) -> None:
    """Wait until every query has processed all of its topic."""
    watch.until(
        lambda: "catching up: queries",
        lambda sample: not any(sample.behind(query) for query in sample.read) and observer.at_the_end(),
        "the queries",
    )


def _produced(watch: Watch, written_from: float) -> tuple[float, float]:
    """When the first and the last change after the warm-up were committed, to the second. Raises FraudstreamError
    when there was none."""
    before = [sample.committed for sample in watch.samples if sample.at < written_from]
    last = watch.samples[-1].committed
    written = [sample.at for sample in watch.samples if sample.committed > before[-1]]
    if not written:
        raise FraudstreamError("the producer committed nothing, so there is nothing to report; see producer.log.")
    return written[0], next(sample.at for sample in watch.samples if sample.committed == last)
