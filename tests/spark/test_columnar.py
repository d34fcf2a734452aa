"""The columnar source in Spark: the alerts and counts of Spark's own source over the same records, and its refusals."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import StreamingQueryException

from fixtures import batches
from fixtures.broker import Broker, Partition, serving
from fixtures.expected import EXPECTED, captured
from fixtures.masks import key_file
from fixtures.poison import corpus
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.errors import ConfigError, with_runbook
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.rulebook.payload import NULL
from fraudstream.streams import progress
from fraudstream.streams.buckets import bucket_ids, bucket_of, buckets_of
from fraudstream.streams.columnar.query import is_columnar, read_packed
from fraudstream.streams.rule_query import Judge, packed_messages, rule_messages
from golden.topics import TOPIC, Message, goldens, pour
from spark.streams import eager_bases, records

pytestmark = pytest.mark.spark
FILES = [golden for golden in goldens() if not golden.parameters]
NAMES = ("anomaly", "velocity")


def all_messages() -> list[Message]:
    """The golden topics, and behind them the captured and the poisonous messages, several of a kind."""
    poured = pour(FILES)
    found = [(message.value, tuple(message.headers)) for form in EXPECTED for message in captured(form)]
    found += [(poison.value, ()) for poison in corpus()]
    found = found * 3
    random.Random(3).shuffle(found)
    begin = 1 + max(message.offset for message in poured if message.partition == 0)
    return [*poured, *(Message(0, place, None, *each, 0) for place, each in enumerate(found, start=begin))]


@dataclass
class Written:
    """The messages in a broker, so far as they have been written."""

    broker: Broker
    messages: list[Message]

    def write(self, part: float) -> None:
        """Write so large a part of each partition, in batches of a few messages."""
        for number in sorted({message.partition for message in self.messages}):
            own = [message for message in self.messages if message.partition == number]
            place = self.broker.partitions.setdefault(number, Partition())
            own = [message for message in own[: int(len(own) * part)] if message.offset >= place.end]
            for start in range(0, len(own), 7):
                few = own[start : start + 7]
                base, last = few[0].offset, few[-1].offset
                sent = [batches.Message(m.value, m.headers, m.key) for m in few]
                places = [m.offset - base for m in few]
                place.add(base, batches.batch(base, sent, "lz4", places=places), last + 1)
            if part == 1.0:  # the topic's last offset holds a marker
                place.add(place.end, batches.marker(place.end, 1, commit=True), place.end + 1)


@pytest.fixture
def written():
    """A broker with nothing in it yet."""
    messages = all_messages()
    with serving(Broker(TOPIC, partitions={})) as broker:
        yield Written(broker, messages)


def pipeline_on(broker: Broker, **options: Any) -> Pipeline:
    plain = load_pipeline()
    source = {"kafka.isolation.level": "read_committed", "maxOffsetsPerTrigger": "900"}
    kafka = replace(
        plain.kafka, bootstrap_servers=broker.address, transactions_topic=TOPIC, reader="columnar", source=source,
        client_properties="", options={},
    )  # fmt: skip
    return replace(plain, kafka=kafka, **options)


def rules(folder: Path) -> dict[str, Rule]:
    (folder / "rules.yaml").write_text("\n".join(f"{name}: {{}}" for name in (*NAMES, "high_amount")))
    return {rule.name: rule for rule in load_rules(folder / "rules.yaml")}


def run(frame, checkpoint: Path, rules: Sequence[Rule]) -> tuple[list[tuple[str, str]], dict[str, Counter]]:
    """The messages of a query that runs until it has caught up, and its counts by rule."""
    found: list[tuple[str, str]] = []

    def collect(batch, number):
        found.extend((row.key, row.value) for row in batch.collect())

    writer = frame.writeStream.outputMode("update").foreachBatch(collect).trigger(availableNow=True)
    query = writer.option("checkpointLocation", str(checkpoint)).start()
    query.awaitTermination()
    counts: dict[str, Counter] = {rule.name: Counter() for rule in rules}
    for each in query.recentProgress:
        report = json.loads(each.json)
        for name in counts if report["numInputRows"] else ():
            entries, folded = progress.counted(report["observedMetrics"], name)
            counts[name].update({**progress.parts_of(entries, folded), "alerts": folded["alerts"]})
    return found, counts


def expected(spark, messages: list[Message], rule: Rule, pipeline: Pipeline, folder: Path) -> Any:
    """The same by Spark's own source, of all the messages at once."""
    records(spark, TOPIC, messages).coalesce(1).write.mode("overwrite").parquet(str(folder / "all"))
    stream = spark.readStream.schema(spark.read.parquet(str(folder / "all")).schema).parquet(str(folder / "all"))
    found, counts = run(rule_messages(stream, [Judge(rule)], pipeline), folder / f"expected_{rule.name}", [rule])
    return found, counts[rule.name]


@pytest.fixture(scope="module")
def known(spark, tmp_path_factory: pytest.TempPathFactory):
    """`expected` of a rule, worked out once for plain users and once for masked ones."""
    found: dict[tuple[str, bool], Any] = {}

    def of(messages: list[Message], rule: Rule, pipeline: Pipeline) -> Any:
        place = (rule.name, pipeline.mask is not None)
        if place not in found:
            found[place] = expected(spark, messages, rule, pipeline, tmp_path_factory.mktemp("expected"))
        return found[place]

    return of


@pytest.mark.parametrize(
    ("names", "masked"), [(["anomaly"], False), (["velocity"], True), ([*NAMES], False), ([*NAMES], True)]
)
def test_alerts_and_counts_are_those_of_sparks_own_source_over_a_restart(
    spark, written, known, tmp_path, names, masked
):
    """Of rules that share a query those of a query each; with bases, those of whole states."""
    judging = [rules(tmp_path)[name] for name in names]
    masking = {"masking_key_file": str(key_file(tmp_path))} if masked else {}
    pipeline = pipeline_on(written.broker, **masking)
    assert all(is_columnar(rule, pipeline) for rule in judging)
    found, counts = [], {name: Counter() for name in names}
    for part in (0.4, 1.0):
        written.write(part)
        packed = read_packed(spark, pipeline, judging[0], {})
        judges = [Judge(rule, bases=eager_bases(tmp_path).of(rule.name)) for rule in judging]
        more, counted = run(packed_messages(packed, judges, pipeline), tmp_path / "checkpoint", judging)
        found += more
        for name in names:
            counts[name] += counted[name]
    theirs = {rule.name: known(written.messages, rule, pipeline) for rule in judging}
    assert sorted(found) == sorted(message for messages, _ in theirs.values() for message in messages)
    assert counts == {name: parts for name, (_, parts) in theirs.items()}
    for parts in counts.values():
        assert parts["read"] == len(written.messages) == sum(parts[each] for each in progress.PARTS)
        assert min(parts[each] for each in ("judged", "history", "unjudged", "unreadable", "ignored", "alerts")) >= 10
    ends = {str(number): part.end for number, part in written.broker.partitions.items()}
    assert progress.position(str(tmp_path / "checkpoint")) == ends


def test_a_query_begins_where_it_is_told_to(spark, written, tmp_path):
    rule, pipeline = rules(tmp_path)["anomaly"], pipeline_on(written.broker)
    written.write(1.0)
    number, place = 0, written.broker.partitions[0]
    start = {str(each): part.end for each, part in written.broker.partitions.items()} | {str(number): place.end - 51}
    packed = read_packed(spark, pipeline, rule, start)
    _, counts = run(packed_messages(packed, [Judge(rule)], pipeline), tmp_path / "checkpoint", [rule])
    assert counts["anomaly"]["read"] == 50


def test_records_that_are_gone_stop_the_query_by_name(spark, written, tmp_path):
    rule, pipeline = rules(tmp_path)["anomaly"], pipeline_on(written.broker)
    written.write(1.0)
    written.broker.partitions[0].first = 3
    packed = read_packed(spark, pipeline, rule, {"0": 0})
    with pytest.raises(StreamingQueryException) as caught:
        run(packed_messages(packed, [Judge(rule)], pipeline), tmp_path / "checkpoint", [rule])
    assert "records-gone" in with_runbook(str(caught.value))


def test_only_rules_with_state_and_without_corrections_are_read_so(written, tmp_path):
    pipeline = pipeline_on(written.broker)
    assert not is_columnar(rules(tmp_path)["high_amount"], pipeline)
    (tmp_path / "corrected.yaml").write_text("anomaly: {corrections: on}")
    assert not is_columnar(load_rules(tmp_path / "corrected.yaml")[0], pipeline)
    plain = replace(pipeline, kafka=replace(pipeline.kafka, reader="built-in"))
    assert not is_columnar(rules(tmp_path)["anomaly"], plain)


def test_an_option_that_the_source_would_ignore_is_refused(spark, written, tmp_path):
    pipeline = pipeline_on(written.broker)
    kafka = replace(pipeline.kafka, source={**pipeline.kafka.source, "minOffsetsPerTrigger": "5"})
    with pytest.raises(ConfigError, match="minOffsetsPerTrigger"):
        read_packed(spark, replace(pipeline, kafka=kafka), rules(tmp_path)["anomaly"], {})


def test_a_key_falls_into_the_bucket_that_spark_puts_it_into(spark):
    import numpy as np

    keys = np.array([0, 1, -1, 1234, 2**31, -(2**40), 2**63 - 1, NULL + 1], np.int64)
    frame = spark.createDataFrame([(key,) for key in keys.tolist()] + [(None,)], "user_id long").coalesce(1)
    for buckets, partitions in ((2, 2), (64, 4), (6, 3)):
        found = [
            row.bucket for row in frame.select(bucket_of("user_id", buckets, partitions).alias("bucket")).collect()
        ]
        ids = bucket_ids(buckets, partitions)
        assert found == [ids[place] for place in buckets_of(np.append(keys, NULL), buckets).tolist()]
