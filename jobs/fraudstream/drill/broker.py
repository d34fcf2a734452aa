"""Faults of the broker: topics that are cut or deleted, a disk that is full."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

from confluent_kafka import TopicPartition

from fraudstream.drill.fault import Fault, Struck
from fraudstream.drill.means import refused, repaired, require_named, small_disk
from fraudstream.drill.rig import ARCHIVE, MIRROR, Rig
from fraudstream.errors import FraudstreamError, Runbook
from fraudstream.stack import connect, kafka, lifecycle
from fraudstream.stack.processes import log_file, pid_of, tail
from fraudstream.stack.queries import query_states
from fraudstream.streams import progress
from fraudstream.streams.mirror import TABLES

_SPARE_MIB = 96


def truncated_topic(rig: Rig, random: Random) -> Struck:
    """Records deleted that no query has read: every query stops by name, and commits nothing more."""
    rig.stop_driver()
    before = rig.written()
    rig.until(lambda: rig.written() > before + 500, "unread rows")
    ends = {TopicPartition(rig.topic, int(part), end): end for part, end in rig.ends().items()}
    parts = [TopicPartition(part.topic, part.partition, end) for part, end in ends.items()]
    client = kafka.admin(rig.settings)  # the answer does not come to a client that is gone
    for future in client.delete_records(parts).values():
        future.result(30)
    cut = rig.ends()
    stood = _positions(rig)
    rig.driver = rig.start_job("detect_fraud", ["--with", f"{ARCHIVE},{MIRROR}"], rig.log)
    rig.until(lambda: _stopped(rig, ("records-gone",)), "the stop of every query by name")
    rig.stop_driver()
    if _positions(rig) != stood:
        raise FraudstreamError("a query went on behind records that it had not read")
    stateful = [rule.name for rule in rig.rules if not rule.stateless]
    refused(rig, "detect_fraud", rig.config, ("history-gone",), "--rules", stateful[0], "--reset", stateful[0])
    refused(rig, "detect_fraud", rig.config, ("history-gone",), "--reset", MIRROR)
    for table in TABLES:
        Path(rig.pipeline.table(table)).rename(rig.home / f"kept_{table}")
    rest = [query for query in rig.queries if query not in stateful]
    rig.start_driver("--reset", ",".join(rest), "--forget", ",".join(stateful))
    rig.await_judged(rig.ends())
    rig.stop_driver()
    return Struck(f"deleted up to {cut}; {', '.join(stood)} stopped: records-gone; then started over")


def deleted_topic(rig: Rig, random: Random) -> Struck:
    """The topic deleted while all reads it, and made anew as soon as anybody asks for it: every query stops by name,
    and starts no more."""
    kafka.delete_topic(rig.settings, rig.topic)
    rig.until(lambda: _stopped(rig, ("records-gone", "topic-missing", "topic-replaced")), "the stop of every query")
    rig.stop_driver()
    stood = _positions(rig)
    rig.until(lambda: rig.topic in kafka.admin(rig.settings).list_topics(timeout=5).topics, "the topic made anew")
    said = refused(rig, "detect_fraud", rig.config, ("topic-replaced",), "--with", f"{ARCHIVE},{MIRROR}")
    refused(rig, "repair_pipeline", rig.config, ("topic-replaced",), "--rules-file", str(rig.rules_file))
    # Made by the broker it has one partition, and Connect may wait for ever for the second one that it was writing to.
    connect.halt(rig.settings)
    lifecycle.up(rig.settings)
    if _positions(rig) != stood:
        raise FraudstreamError("a query went on in a topic that it did not know")
    rig.start_driver("--reset", f"{ARCHIVE},{MIRROR}", "--forget", ",".join(rule.name for rule in rig.rules))
    rig.await_judged(rig.ends())
    rig.stop_driver()
    return Struck(f"deleted and made anew; {said}; then Connect started again, --reset and --forget")


def deleted_alerts(rig: Rig, random: Random) -> Struck:
    """The topic of alerts deleted under load: who reads it stops by name; a repair publishes all anew."""
    kafka.delete_topic(rig.settings, rig.pipeline.kafka.alerts_topic)
    # The local broker makes it anew, with one partition, as soon as a rule asks for it: rules then write into that one.
    stops: tuple[Runbook, ...] = ("records-gone", "topic-missing", "topic-replaced")
    rig.until(lambda: _is_stopped(rig, ARCHIVE, stops), "the stop of the archive by name")
    require_named(rig, "query-failed")
    rig.stop_driver()
    lifecycle.up(rig.settings)
    said = refused(rig, "detect_fraud", rig.config, ("topic-replaced",), "--with", f"{ARCHIVE},{MIRROR}")
    rig.start_driver("--reset", ARCHIVE)
    rig.await_judged(rig.ends())
    return Struck(f"{said}; then --reset {ARCHIVE} and repair: {repaired(rig, 'alerts')}")


def full_broker(rig: Rig, random: Random) -> Struck:
    """The broker's disk full: it ends, nothing that it acknowledged is lost, and all goes on when there is room."""
    folder, logged = kafka.data_folder(rig.settings), log_file(rig.settings, "kafka")
    kafka.halt(rig.settings)
    with small_disk(folder, _SPARE_MIB):
        rig.restore()
        ballast = folder / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(4096, shutil.disk_usage(folder).free - 1024 * 1024))
        rig.until(lambda: pid_of(rig.settings, "kafka") is None, "the end of the broker")
        said = next((line for line in reversed(tail(logged, 40)) if "No space left" in line), "")
        ballast.unlink()
    if not said:
        raise FraudstreamError(f"the broker ended, but not for want of room: {tail(logged, 3)}")
    return Struck(said[:200])


def _stopped(rig: Rig, runbooks: tuple[Runbook, ...]) -> bool:
    return all(_is_stopped(rig, query, runbooks) for query in rig.queries[:-1])


def _is_stopped(rig: Rig, query: str, runbooks: tuple[Runbook, ...]) -> bool:
    state = query_states(rig.pipeline.progress)[1].get(query, "")
    return any(name in state for name in runbooks)


def _positions(rig: Rig) -> dict[str, dict[str, int]]:
    return {query: progress.position(rig.pipeline.checkpoint(query)) for query in rig.queries[:-1]}


BROKER = (
    Fault(
        name="truncated_topic", rows=(16,), strike=truncated_topic, end=True,
        must_hold="every query stops by name and commits nothing more; it goes on when it is started over",
    ),
    Fault(
        name="deleted_topic", rows=(16,), strike=deleted_topic, end=True,
        must_hold="every query stops by name, none starts on the new topic; it goes on when it is started over",
    ),
    Fault(
        name="deleted_alerts", rows=(17,), strike=deleted_alerts,
        must_hold="its reader stops by name, writers do or go on into one made anew; a repair brings every alert",
    ),
    Fault(
        name="full_broker", rows=(12,), strike=full_broker,
        must_hold="no silent loss; Connect waits; with room all of it arrives",
    ),
)  # fmt: skip
