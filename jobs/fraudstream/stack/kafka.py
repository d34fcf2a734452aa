"""The Kafka broker: one node in KRaft mode, with docker/kafka's properties."""

from __future__ import annotations

import base64
import logging
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from fraudstream.clients import librdkafka, spark_options
from fraudstream.errors import StackError
from fraudstream.stack import access
from fraudstream.stack.artifacts import jars
from fraudstream.stack.java import require_java
from fraudstream.stack.processes import is_open, start, stop, wait_until
from fraudstream.stack.settings import DOCKER, StackSettings
from fraudstream.stack.template import render_file

LOG4J = DOCKER / "kafka" / "log4j2.properties"
_OF_ADDRESSES = str.maketrans("+/", "-_")


def java_command(main: str, options: Sequence[str], *arguments: str | Path) -> list[str | Path]:
    """Command of a Java main class of Kafka's jars with these options of Java's, heap and collector among them."""
    path = os.pathsep.join(str(jar) for jar in jars("kafka"))
    return [require_java(), *options, *_OPTIONS, f"-Dlog4j2.configurationFile={LOG4J}", "-cp", path, main, *arguments]


_SMALL = ("-XX:+UseSerialGC",)
_OPTIONS = ("-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")


def variables(settings: StackSettings) -> dict[str, str]:
    """What broker.properties asks for in this bring-up."""
    broker, controller = settings.bootstrap, f"127.0.0.1:{settings.kafka_controller_port}"
    listener = "SASL_SSL" if settings.secure else "PLAINTEXT"
    return {
        **access.variables(settings),
        "CONTROLLER_ADDRESS": controller,
        "BROKER_LISTENERS": f"{listener}://{broker},CONTROLLER://{controller}",
        "BROKER_ADVERTISED_LISTENERS": f"{listener}://{broker},CONTROLLER://{controller}",
        "BROKER_LOG_DIR": str(data_folder(settings)),
    }


def data_folder(settings: StackSettings) -> Path:
    """The broker's log folder: topics, one folder for each partition."""
    return settings.folder / "kafka"


def launch(settings: StackSettings) -> None:
    """Start the broker, formatting its folder first where there is none. Does not wait."""
    folder = DOCKER / "kafka"
    more = [folder / "secure.properties"] if settings.secure else []
    config = render_file(folder / "broker.properties", settings.folder / "config", variables(settings), *more)
    if not (data_folder(settings) / "meta.properties").exists():
        _format(settings, config)
    start(settings, "kafka", java_command("kafka.Kafka", ["-Xmx512m", *_SMALL], config))


def _format(settings: StackSettings, config: Path) -> None:
    shutil.rmtree(data_folder(settings), ignore_errors=True)
    # An id that starts with a hyphen would be read as an option.
    cluster = base64.urlsafe_b64encode(b"\x00" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    users = ["--add-scram", access.first_user(settings)] if settings.secure else []
    words: list[str | Path] = ["format", "--standalone", "-t", cluster, "-c", config, *users]
    command = java_command("kafka.tools.StorageTool", ["-Xmx128m", *_SMALL], *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False, umask=0o077)
    if done.returncode:
        shutil.rmtree(data_folder(settings), ignore_errors=True)
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise StackError(f"Kafka's folder {settings.folder / 'kafka'} cannot be formatted: {' | '.join(lines[-3:])}")


def client(settings: StackSettings, principal: str = access.ADMIN) -> dict[str, Any]:
    """Settings of a confluent-kafka client of this stack for a principal (which in the open stack means nothing)."""
    return {"bootstrap.servers": settings.bootstrap, **librdkafka(client_options(settings, principal))}


def client_options(settings: StackSettings, principal: str = access.ADMIN) -> dict[str, str]:
    """The same as options of Spark's Kafka source and sink, without the address."""
    return spark_options(access.client_properties(settings, principal))


def admin(settings: StackSettings) -> AdminClient:
    """A client for topics and offsets."""
    return AdminClient({**client(settings), "log_level": 0}, logger=quiet_logger())


def quiet_logger() -> logging.Logger:
    """For clients: they report every refused connection while the broker starts or is down."""
    silent = logging.getLogger("fraudstream.stack.client")
    if not silent.handlers:
        silent.addHandler(logging.NullHandler())
        silent.propagate = False
    return silent


def wait_ready(settings: StackSettings) -> None:
    """Wait until the broker serves metadata, then make the topic of alerts."""
    wait_until(settings, "kafka", lambda: is_open(settings.kafka_port), 60)
    asking = admin(settings)

    def serves() -> bool:
        try:
            return bool(asking.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    wait_until(settings, "kafka", serves, 60)
    if settings.secure:
        access.grant(settings, asking)
    if access.ALERTS not in asking.list_topics(timeout=10).topics:
        topic = NewTopic(access.ALERTS, num_partitions=settings.topic_partitions, replication_factor=1)
        asking.create_topics([topic])[access.ALERTS].result(30)


def stamp_arrivals(settings: StackSettings, names: Sequence[str]) -> None:
    """Have the broker stamp the records of these topics when it takes them. Else they have the time of their producer's
    send, when neither its batch was full nor its transaction committed."""
    stamped = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    topics = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[stamped]) for name in names]
    asking = admin(settings)  # the answer does not come to a client that is gone
    for done in asking.incremental_alter_configs(topics).values():
        done.result(30)


def topic_ids(client: AdminClient, names: Collection[str]) -> dict[str, str]:
    """The id that the broker gave each topic when it was made, as checkpoints have it (streams.kafka.topic_id); a topic
    that is not there is left out. Raises KafkaException when no broker answers."""
    found = {}
    for name, asked in client.describe_topics(TopicCollection([*names]), request_timeout=5).items():
        try:
            # librdkafka writes an id in plain base64, Java in that of addresses.
            found[name] = str(asked.result().topic_id).translate(_OF_ADDRESSES)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return found


def delete_topic(settings: StackSettings, name: str) -> None:
    """Delete a topic; without effect where there is none."""
    asking = admin(settings)
    if name in asking.list_topics(timeout=10).topics:
        asking.delete_topics([name])[name].result(30)


def halt(settings: StackSettings) -> bool:
    """Stop the broker. Returns whether it was running."""
    return stop(settings, "kafka", [(signal.SIGTERM, 20), (signal.SIGKILL, 5)])
