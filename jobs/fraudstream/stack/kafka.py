"""The Kafka broker: one node in KRaft mode, with docker/kafka's properties."""

from __future__ import annotations

import base64
import logging
import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from fraudstream.errors import StackError
from fraudstream.stack.artifacts import jars
from fraudstream.stack.java import require_java
from fraudstream.stack.processes import is_open, start, stop, wait_until
from fraudstream.stack.settings import DOCKER, StackSettings
from fraudstream.stack.template import render_file

ALERTS_TOPIC = "fraud.alerts"
LOG4J = DOCKER / "kafka" / "log4j2.properties"


def java_command(main: str, heap: str, *arguments: str | Path) -> list[str | Path]:
    """Command of a Java main class of Kafka's jars with a heap limit such as 512m."""
    path = os.pathsep.join(str(jar) for jar in jars("kafka"))
    return [require_java(), f"-Xmx{heap}", *_FLAGS, f"-Dlog4j2.configurationFile={LOG4J}", "-cp", path, main,
            *arguments]  # fmt: skip


_FLAGS = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")


def variables(settings: StackSettings) -> dict[str, str]:
    """What broker.properties asks for in this bring-up."""
    broker, controller = settings.bootstrap, f"127.0.0.1:{settings.kafka_controller_port}"
    return {
        "CONTROLLER_ADDRESS": controller,
        "BROKER_LISTENERS": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "BROKER_ADVERTISED_LISTENERS": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "BROKER_LOG_DIR": str(data_folder(settings)),
    }


def data_folder(settings: StackSettings) -> Path:
    """The broker's log folder: topics, one folder for each partition."""
    return settings.folder / "kafka"


def launch(settings: StackSettings) -> None:
    """Start the broker, formatting its folder first where there is none. Does not wait."""
    config = render_file(DOCKER / "kafka" / "broker.properties", settings.folder / "config", variables(settings))
    if not (data_folder(settings) / "meta.properties").exists():
        _format(settings, config)
    start(settings, "kafka", java_command("kafka.Kafka", "512m", config))


def _format(settings: StackSettings, config: Path) -> None:
    shutil.rmtree(data_folder(settings), ignore_errors=True)
    # An id that starts with a hyphen would be read as an option.
    cluster = base64.urlsafe_b64encode(b"\x00" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    command = java_command("kafka.tools.StorageTool", "128m", "format", "--standalone", "-t", cluster, "-c", config)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(data_folder(settings), ignore_errors=True)
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise StackError(f"Kafka's folder {settings.folder / 'kafka'} cannot be formatted: {' | '.join(lines[-3:])}")


def admin(settings: StackSettings) -> AdminClient:
    """A client for topics and offsets."""
    return AdminClient({"bootstrap.servers": settings.bootstrap, "log_level": 0}, logger=quiet_logger())


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
    client = admin(settings)

    def serves() -> bool:
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    wait_until(settings, "kafka", serves, 60)
    if ALERTS_TOPIC not in client.list_topics(timeout=10).topics:
        topic = NewTopic(ALERTS_TOPIC, num_partitions=settings.topic_partitions, replication_factor=1)
        client.create_topics([topic])[ALERTS_TOPIC].result(30)


def delete_topic(settings: StackSettings, name: str) -> None:
    """Delete a topic; without effect where there is none."""
    client = admin(settings)
    if name in client.list_topics(timeout=10).topics:
        client.delete_topics([name])[name].result(30)


def halt(settings: StackSettings) -> bool:
    """Stop the broker. Returns whether it was running."""
    return stop(settings, "kafka", [(signal.SIGTERM, 20), (signal.SIGKILL, 5)])
