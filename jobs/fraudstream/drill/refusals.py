"""Starts that would go wrong without an error: each is refused by its name, and the next right one goes on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from fraudstream import documents
from fraudstream.drill.fault import Fault, Struck
from fraudstream.drill.means import refused
from fraudstream.drill.rig import ARCHIVE, MIRROR, Rig
from fraudstream.errors import FraudstreamError, GuardError, Runbook
from fraudstream.stack import kafka, lifecycle
from fraudstream.streams import manifest, record

_ROW = {"id": 1, "user_id": 7, "amount": "1.00", "card_type": None, "merchant_id": 1, "created_at": 1700000000000000}


def refused_starts(rig: Rig, random: Random) -> Struck:
    """One mistake after the other, each taken back before the next."""
    rig.stop_driver()
    for runbook, mistake in _MISTAKES:
        with mistake(rig) as config:
            refused(rig, "detect_fraud", config, (runbook,), "--with", f"{ARCHIVE},{MIRROR}")
    _without_identity(rig)
    rig.stop_driver()
    rule = rig.rules[0].name
    record.path_of(rig.pipeline.lake, rule).write_bytes(b"{")
    refused(rig, "detect_fraud", rig.config, ("rule-record",), "--with", f"{ARCHIVE},{MIRROR}")
    rig.start_driver("--forget", rule)
    names = [*(runbook for runbook, _ in _MISTAKES), "replica-identity"]
    return Struck(f"refused: {', '.join(names)}; and rule-record, then --forget {rule}")


def _without_identity(rig: Rig) -> None:
    """A table whose updates would come without the row they change: the connector is not registered."""
    rig.admin("ALTER TABLE public.transactions REPLICA IDENTITY NOTHING")
    try:
        lifecycle.up(rig.settings)
    except GuardError as refusal:
        if refusal.runbook != "replica-identity":
            raise
    else:
        raise FraudstreamError("a table without a replica identity was not refused")
    finally:
        rig.admin("ALTER TABLE public.transactions REPLICA IDENTITY FULL")


@contextmanager
def other_buckets(rig: Rig) -> Iterator[Path]:
    """Another number of buckets than the checkpoints were made with."""
    yield _config(rig, lambda settings: settings["state"].update(buckets=8))


@contextmanager
def without_manifest(rig: Rig) -> Iterator[Path]:
    """A checkpoint whose manifest is gone."""
    with _spoilt(Path(rig.pipeline.checkpoint(rig.rules[0].name), manifest.FILE), None):
        yield rig.config


@contextmanager
def spoilt_record(rig: Rig) -> Iterator[Path]:
    """A record of a rule's versions that nobody can read."""
    with _spoilt(record.path_of(rig.pipeline.lake, rig.rules[0].name), b"{"):
        yield rig.config


@contextmanager
def keyed_by_id(rig: Rig) -> Iterator[Path]:
    """A topic of several partitions in which a user's rows have no order."""
    envelope = {"op": "c", "before": None, "after": _ROW, "source": {"lsn": 1, "ts_ms": 1700000000000}, "ts_ms": 1}
    with _topic(rig, "drill.keyed_by_id", [({"id": 1}, envelope)]) as config:
        yield config


@contextmanager
def flattened(rig: Rig) -> Iterator[Path]:
    """A topic of rows without what was done to them."""
    with _topic(rig, "drill.flattened", [({"user_id": 7}, _ROW)]) as config:
        yield config


@contextmanager
def other_jars(rig: Rig) -> Iterator[Path]:
    """A jar of another version than the lock's."""
    jar = rig.home / "postgresql-42.7.1.jar"
    with zipfile.ZipFile(jar, "w"):
        pass
    rig.environment["SPARK_SUBMIT_ARGS"] = f"--jars {jar}"
    try:
        yield rig.config
    finally:
        del rig.environment["SPARK_SUBMIT_ARGS"]


@contextmanager
def without_kafka(rig: Rig) -> Iterator[Path]:
    """No broker."""
    kafka.halt(rig.settings)
    try:
        yield rig.config
    finally:
        rig.restore()


@contextmanager
def _topic(rig: Rig, name: str, messages: Sequence[tuple[Any, Any]]) -> Iterator[Path]:
    client = kafka.admin(rig.settings)  # the answer does not come to a client that is gone
    client.create_topics([NewTopic(name, 2, 1)])[name].result(30)
    producer = Producer(kafka.client(rig.settings))
    for key, value in messages:
        producer.produce(name, json.dumps(value), json.dumps(key))
    producer.flush(30)

    def anew(settings: dict[str, Any]) -> None:
        settings["kafka"]["transactions_topic"] = name
        settings |= {folder: str(rig.home / f"{name}.{folder}") for folder in ("lake", "checkpoints", "progress")}

    yield _config(rig, anew)


def _config(rig: Rig, change: Callable[[dict[str, Any]], None]) -> Path:
    settings = documents.load(rig.config, "start the drill anew")
    change(settings)
    path = rig.home / "mistaken.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@contextmanager
def _spoilt(path: Path, content: bytes | None) -> Iterator[None]:
    """A file with another content, or gone, and then as it was."""
    kept = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(kept)


_MISTAKES: tuple[tuple[Runbook, Callable[[Rig], AbstractContextManager[Path]]], ...] = (
    ("checkpoint-mismatch", other_buckets),
    ("checkpoint-damaged", without_manifest),
    ("rule-record", spoilt_record),
    ("topic-key", keyed_by_id),
    ("topic-flattened", flattened),
    ("wrong-versions", other_jars),
    ("kafka-down", without_kafka),
)
REFUSALS = (
    Fault(
        name="refused_starts", rows=(), strike=refused_starts,
        must_hold="each start that would go wrong is refused by its name; the next right one goes on",
    ),
)  # fmt: skip
