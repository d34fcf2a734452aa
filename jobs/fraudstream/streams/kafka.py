"""Reading and writing topics with Spark's Kafka source and sink."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from fraudstream.cdc.columns import RECORD_COLUMNS
from fraudstream.config import Kafka
from fraudstream.errors import GuardError

BEGINNING = -2  # the offset of a partition's first record, which need not be 0
_POLL_SECONDS = 0.5
# Options for micro-batches: their size is refused by a real-time query, and what keeps them short makes it poll idly.
_OF_BATCHES = ("maxOffsetsPerTrigger", "minOffsetsPerTrigger", "maxTriggerDelay", "kafka.fetch.max.wait.ms")


def read_stream(
    spark: SparkSession, kafka: Kafka, topic: str, *, start: Mapping[str, int] | None = None, real_time: bool = False
) -> DataFrame:
    """The topic's records from its beginning or `start` (or from the query's checkpoint), committed ones only."""
    source = _unbatched(kafka.source) if real_time else kafka.source
    reader = spark.readStream.format("kafka").options(**kafka.client_options).options(**source)
    return (
        reader.option("kafka.bootstrap.servers", kafka.bootstrap_servers)
        .option("subscribe", topic)
        .option("startingOffsets", json.dumps({topic: dict(start)}) if start else "earliest")
        .option("failOnDataLoss", "true")
        .option("includeHeaders", "true")
        .load()
        .select(*RECORD_COLUMNS)
    )


def read_range(
    spark: SparkSession, kafka: Kafka, topic: str, start: Mapping[str, int], end: Mapping[str, int]
) -> DataFrame:
    """The records of `topic` with start <= offset < end, per partition number (as text): of those in `end`, from the
    partition's beginning where `start` does not say."""
    begin = {partition: start.get(partition, BEGINNING) for partition in end}
    reader = spark.read.format("kafka").options(**kafka.client_options).options(**_unbatched(kafka.source))
    return (
        reader.option("kafka.bootstrap.servers", kafka.bootstrap_servers)
        .option("assign", json.dumps({topic: [int(partition) for partition in end]}))
        .option("startingOffsets", json.dumps({topic: begin}))
        .option("endingOffsets", json.dumps({topic: dict(end)}))
        .option("includeHeaders", "true")
        .load()
        .select(*RECORD_COLUMNS)
    )


def wait_for_topic(spark: SparkSession, kafka: Kafka, topic: str) -> None:
    """Return once `topic` exists; an empty database's topic is made with its first change. Says so while it waits.

    Raises GuardError when no broker answers.
    """
    waiting = False
    while not has_topic(spark, kafka, topic):
        if not waiting:
            print(f"waiting for topic {topic}: nothing has been written to it yet", file=sys.stderr, flush=True)
        waiting = True
        time.sleep(_POLL_SECONDS)


def has_topic(spark: SparkSession, kafka: Kafka, topic: str) -> bool:
    """Whether `topic` exists. Raises GuardError when no broker answers."""
    with admin_client(spark, kafka) as admin:
        return bool(admin.listTopics().names().get().contains(topic))


def topic_id(spark: SparkSession, kafka: Kafka, topic: str) -> str:
    """The id that the broker gave `topic` when it was made: one made anew under that name has another.

    Raises GuardError when there is no such topic or no broker answers."""
    with admin_client(spark, kafka) as admin:
        return str(described(spark, admin, kafka, topic).topicId().toString())


def described(spark: SparkSession, admin: Any, kafka: Kafka, topic: str) -> Any:
    """The broker's description of `topic` (Java's TopicDescription). Raises GuardError when there is no such topic."""
    names = spark._jvm.java.util.ArrayList()  # type: ignore[union-attr]
    names.add(topic)
    try:
        return admin.describeTopics(names).allTopicNames().get().get(topic)
    except Py4JJavaError as error:
        if "UnknownTopicOrPartition" not in str(error.java_exception):
            raise
        raise GuardError(
            f"{topic}: there is no such topic at {kafka.bootstrap_servers}. Start the connector that writes it, or "
            "correct its name in conf/pipeline.yaml.",
            "topic-missing",
        ) from None


@contextmanager
def admin_client(spark: SparkSession, kafka: Kafka) -> Iterator[Any]:
    """Kafka's AdminClient in Spark's JVM. Raises GuardError when what is asked of it is not answered."""
    settings = _settings(kafka.client_options, kafka) | {"request.timeout.ms": "10000"}
    yield from _answering(spark._jvm.org.apache.kafka.clients.admin.AdminClient.create(settings), kafka)  # type: ignore[union-attr]


@contextmanager
def consumer(spark: SparkSession, kafka: Kafka, records: int) -> Iterator[Any]:
    """A Kafka consumer of bytes in Spark's JVM, with the options of the source, that is handed so many records at once.
    Raises GuardError when what is asked of it is not answered."""
    # Behind a partition's last records it fetches ahead, and neither the next partition nor its close is asked of the
    # broker before that fetch is answered: after half a second by default.
    deserializer = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
    settings = _settings({**kafka.client_options, **_unbatched(kafka.source)}, kafka)
    settings |= {"key.deserializer": deserializer, "value.deserializer": deserializer, "enable.auto.commit": "false"}
    settings |= {"max.poll.records": str(records), "max.partition.fetch.bytes": "65536", "fetch.max.wait.ms": "20"}
    yield from _answering(spark._jvm.org.apache.kafka.clients.consumer.KafkaConsumer(settings), kafka)  # type: ignore[union-attr]


def _settings(options: Mapping[str, str], kafka: Kafka) -> dict[str, str]:
    own = {key.removeprefix("kafka."): value for key, value in options.items() if key.startswith("kafka.")}
    return own | {"bootstrap.servers": kafka.bootstrap_servers, "default.api.timeout.ms": "20000"}


def _answering(client: Any, kafka: Kafka) -> Iterator[Any]:
    try:
        yield client
    except Py4JJavaError as error:
        raise GuardError(
            f"Kafka at {kafka.bootstrap_servers} does not answer ({str(error.java_exception).splitlines()[0]}); start "
            "it (make up), or correct kafka.bootstrap_servers in conf/pipeline.yaml.",
            "kafka-down",
        ) from error
    finally:
        client.close()


def _unbatched(source: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in source.items() if key not in _OF_BATCHES}


def sink_options(kafka: Kafka) -> dict[str, str]:
    """Options of Spark's Kafka sink for rows (topic, key, value)."""
    return {**kafka.client_options, **kafka.sink, "kafka.bootstrap.servers": kafka.bootstrap_servers}
