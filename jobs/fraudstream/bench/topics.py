"""The benchmark's topics: filled once and kept, with the alerts that are to be found beside them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic

from fraudstream.bench import dataset, fill, messages, truth
from fraudstream.bench.broker import broker, own_settings
from fraudstream.bench.dataset import PARTITIONS, DataSet
from fraudstream.bench.processes import program, python_module, require_success
from fraudstream.bench.truth import Truth, expected, read_truth, write_truth
from fraudstream.errors import FraudstreamError
from fraudstream.stack import kafka
from fraudstream.stack.settings import StackSettings

_WRITERS = 2
_FILL_S = 3600.0
_PREFIX = "bench."


@dataclass(frozen=True)
class Topic:
    """A filled topic and the truth about it, by rule."""

    data: DataSet
    truth: dict[str, Truth]

    @property
    def name(self) -> str:
        """The topic's name."""
        return self.data.topic


@contextlib.contextmanager
def serving(home: Path, data: DataSet) -> Iterator[tuple[StackSettings, Topic]]:
    """The benchmark's broker at work, with the data set's topic; says so where it must be filled first."""
    settings = own_settings(home)
    with broker(settings):
        yield settings, filled(settings, data, lambda text: print(text, flush=True))


def filled(settings: StackSettings, data: DataSet, say: Callable[[str], None]) -> Topic:
    """The data set's topic, filled now unless it is there. Raises FraudstreamError when it cannot be filled."""
    folder = settings.home / "data"
    folder.mkdir(parents=True, exist_ok=True)
    note, kept = folder / f"{data.topic}.json", folder / f"{data.topic}.parquet"
    if not _is_there(settings, data, note):
        note.unlink(missing_ok=True)
        began = time.monotonic()
        say(f"filling {data.topic}: {data.events:,} events, once")
        write_truth(kept, expected(dataset.columns(data)))
        _make(settings, data.topic)
        _write(settings, data)
        ends = _ends(settings, data.topic)
        if sum(ends) != data.events:
            raise FraudstreamError(f"{data.topic} has {sum(ends):,} instead of {data.events:,} events; start again.")
        note.write_text(json.dumps({"ends": ends, "code": _code()}), encoding="utf-8")
        say(f"filled in {time.monotonic() - began:.0f} s")
    return Topic(data, read_truth(kept))


def delete_others(settings: StackSettings) -> None:
    """Delete what systems have left in the broker: all topics but the data and Kafka's own."""
    asking = kafka.admin(settings)
    left = [name for name in asking.list_topics(timeout=10).topics if not name.startswith((_PREFIX, "__"))]
    for done in (asking.delete_topics(left) if left else {}).values():
        with contextlib.suppress(KafkaException):  # its owner was quicker
            done.result(30)


def make_alerts_topic(settings: StackSettings, name: str) -> None:
    """One partition, whose records have the time at which the broker took them."""
    topic = NewTopic(name, 1, 1, config={"message.timestamp.type": "LogAppendTime"})
    asking = kafka.admin(settings)
    asking.create_topics([topic])[name].result(30)


def _is_there(settings: StackSettings, data: DataSet, note: Path) -> bool:
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    found = kafka.admin(settings).list_topics(timeout=10).topics
    return noted.get("code") == _code() and data.topic in found and _ends(settings, data.topic) == noted["ends"]


def _code() -> str:
    """Tells data that other code has made."""
    files = [Path(module.__file__ or "") for module in (dataset, messages, fill, truth)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _make(settings: StackSettings, name: str) -> None:
    """An empty topic that keeps everything."""
    kafka.delete_topic(settings, name)
    asking, limit = kafka.admin(settings), time.monotonic() + 30
    while name in asking.list_topics(timeout=10).topics and time.monotonic() < limit:
        time.sleep(0.2)
    topic = NewTopic(name, PARTITIONS, 1, config={"retention.ms": "-1", "retention.bytes": "-1"})
    asking.create_topics([topic])[name].result(30)


def _write(settings: StackSettings, data: DataSet) -> None:
    options = ["--bootstrap", settings.bootstrap, "--profile", data.profile, "--form", data.form,
               "--users", str(data.users), "--events", str(data.events), "--partitions"]  # fmt: skip
    folder = settings.home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as running:
        writers = []
        for number in range(_WRITERS):
            own = [str(partition) for partition in range(number, PARTITIONS, _WRITERS)]
            command = python_module("fraudstream.bench.fill", *options, *own)
            log = folder / f"fill-{number + 1}.log"
            writers.append(running.enter_context(program(f"writer {number + 1}", command, log, folder)))
        for writer in writers:
            require_success(writer, _FILL_S)


def _ends(settings: StackSettings, name: str) -> list[int]:
    """The number of records in each partition."""
    consumer = Consumer({**kafka.client(settings), "group.id": "bench"})
    try:
        marks = [consumer.get_watermark_offsets(TopicPartition(name, part), timeout=30) for part in range(PARTITIONS)]
        return [end for _, end in marks]
    finally:
        consumer.close()
