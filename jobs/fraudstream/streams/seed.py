"""The state of a new rule, made from history, so that it starts as if it had always been running.

applyInPandasWithState takes no initial state. A bucket that has no state yet therefore begins with its seed, and the
stream with the first record behind the history; the state is the same bytes as if the rule had read it all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.config import Pipeline
from fraudstream.durable import write_durably
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import state_of
from fraudstream.rulebook.versions import Version
from fraudstream.streams import progress
from fraudstream.streams.frames import read_frame
from fraudstream.streams.kafka import read_range, topic_id
from fraudstream.streams.manifest import made_of_topic, require_mask
from fraudstream.streams.rule_query import bucketed_rows, rule_events

_MIRROR = "mirror_transactions"
_BEGINNING = "begin.json"
# The columns of lake/transaction_changes as those of a change event that a history needs.
_OF_LAKE = {
    "partition": "partition", "offset": "offset", "entry": "entry", "id": "id", "user_id": "user_id",
    "cents": "cast(amount * 100 as long)", "created_at": "created_us", "merchant_id": "merchant_id", "lsn": "lsn",
    "tx_id": "tx_id", "committed_ms": "unix_millis(committed_at)", "captured_ms": "unix_millis(captured_at)",
    "card_type": "card_type",
}  # fmt: skip


@dataclass(frozen=True)
class StoredSeed(Mapping[int, bytes]):
    """The states of the buckets in a folder, a file each: read where and when one is asked for."""

    folder: str

    def __getitem__(self, bucket: int) -> bytes:
        try:
            return Path(self.folder, str(bucket)).read_bytes()
        except FileNotFoundError:
            raise KeyError(bucket) from None

    def __iter__(self) -> Iterator[int]:
        return (int(path.name) for path in Path(self.folder).iterdir())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def seed_states(events: DataFrame, rule: Rule, pipeline: Pipeline) -> Mapping[int, bytes]:
    """The state of each bucket after the change events (of rule_query.rule_events, or `history`)."""

    def state_of_bucket(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"bucket": rows["bucket"].iloc[:1], "histories": [state_of(rule, read_frame(rows))]})

    rows = bucketed_rows(events, rule, pipeline)
    states = rows.groupBy("bucket").applyInPandas(state_of_bucket, "bucket int, histories binary")
    return {row.bucket: bytes(row.histories) for row in states.collect()}


def history(spark: SparkSession, rule: Rule, pipeline: Pipeline, until: Mapping[int, int]) -> DataFrame | None:
    """The change events in front of `until` ({partition: offset}): of lake/transaction_changes as far as the mirror of
    this topic has come, and from there of the topic. None if there are none. Raises GuardError if the mirror masks ids
    in another way."""
    mirrored = _mirrored(rule, pipeline, topic_id(spark, pipeline.kafka, pipeline.kafka.transactions_topic))
    if mirrored:
        require_mask(pipeline.checkpoint(_MIRROR), pipeline.mask)
    borders = {partition: min(mirrored.get(partition, 0), offset) for partition, offset in until.items()}
    missing = {partition: offset for partition, offset in until.items() if borders[partition] < offset}
    parts = []
    if any(borders.values()):
        parts.append(_of_lake(spark, pipeline, borders))
    if missing:
        start = {str(partition): borders[partition] for partition in missing if borders[partition]}
        end = {str(partition): offset for partition, offset in missing.items()}
        records = read_range(spark, pipeline.kafka, pipeline.kafka.transactions_topic, start, end)
        events = rule_events(records, rule, pipeline)
        parts.append(events if not any(borders.values()) else events.select(*_OF_LAKE))
    return None if not parts else parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1])


def told_by_lake(rule: Rule, pipeline: Pipeline, topic: str) -> dict[int, int]:
    """{partition: offset} up to which lake/transaction_changes tells all that the rule's histories need of the topic of
    this id, from its first record on; empty if it does not from there."""
    start = progress.start_of(pipeline.checkpoint(_MIRROR))
    return {} if not start or any(start.values()) else _mirrored(rule, pipeline, topic)


def _mirrored(rule: Rule, pipeline: Pipeline, topic: str) -> dict[int, int]:
    """How far the mirror has come in the topic of this id; nowhere if it reads another one of that name."""
    checkpoint = pipeline.checkpoint(_MIRROR)
    # The lake does not tell all that a correction needs.
    if rule.corrections == "on" or made_of_topic(checkpoint) != topic:
        return {}
    return progress.by_number(progress.position(checkpoint))


def store_beginning(checkpoint: str, rule: str, start: Mapping[int, int]) -> None:
    """Note that all seeds of the rule are there with which its query begins at `start`."""
    folder = seeds_of(checkpoint, rule)
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / _BEGINNING, json.dumps({str(number): at for number, at in start.items()}).encode())


def beginning_of(checkpoint: str, rule: str) -> dict[int, int]:
    """Where the rule's query begins with the seeds that are there; empty if that is not noted."""
    path = seeds_of(checkpoint, rule) / _BEGINNING
    return progress.by_number(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _of_lake(spark: SparkSession, pipeline: Pipeline, until: Mapping[int, int]) -> DataFrame:
    changes = spark.read.format("delta").load(pipeline.table("transaction_changes"))
    is_before = " or ".join(f"(partition = {partition} and offset < {offset})" for partition, offset in until.items())
    rows = changes.where(F.col("topic") == pipeline.kafka.transactions_topic).where(is_before)
    return rows.selectExpr(*(f"{expression} as {name}" for name, expression in _OF_LAKE.items()))


def store_seed(checkpoint: str, rule: str, epoch: int, states: Mapping[int, bytes]) -> None:
    """Keep the states with the query's checkpoint as the seed of an epoch of the rule."""
    folder = seeds_of(checkpoint, rule) / str(epoch)
    written = folder.with_suffix(".new")
    for old in (written, folder):
        shutil.rmtree(old, ignore_errors=True)
    written.mkdir(parents=True)
    for bucket, state in states.items():
        (written / str(bucket)).write_bytes(state)
    written.rename(folder)


def stored_seeds(checkpoint: str, versions: Iterable[Version]) -> dict[int, Mapping[int, bytes]]:
    """The seeds kept with the query's checkpoint for the epochs of the versions of a rule, by epoch."""
    folders = {
        version.epoch: (seeds_of(checkpoint, version.rule.name) / str(version.epoch)).absolute() for version in versions
    }
    return {epoch: StoredSeed(str(folder)) for epoch, folder in folders.items() if folder.exists()}


def seeds_of(checkpoint: str, rule: str) -> Path:
    """The folder of the rule's seeds."""
    return Path(checkpoint, "seeds", rule)
