"""No password of the secure stack stands anywhere but in its file: not in what the pipeline writes, says or runs as."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
import yaml

from fixtures.leaks import Place, command_lines, files, leaks, messages, passwords, rows
from fixtures.short_lived import short_lived
from fraudstream.audit import report
from fraudstream.audit.run import Options, audit
from fraudstream.health import metrics
from fraudstream.health.doctor import Doctor
from fraudstream.health.limits import load_limits
from fraudstream.stack import connect, kafka, lifecycle
from fraudstream.stack.processes import COMPONENTS, process_of
from fraudstream.stack.settings import REPOSITORY
from stack.world import World, committed

pytestmark = pytest.mark.stack
# What the driver never says at its own level: the settings of its Kafka clients, the plans of its queries.
LOGGING = """
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c: %m%n%ex
logger.spark.name = org.apache.spark
logger.spark.level = info
logger.kafka.name = org.apache.kafka
logger.kafka.level = info
"""


@pytest.fixture(scope="module")
def secrets(ran: World) -> dict[str, str]:
    found = passwords(ran.settings.folder / "secrets")
    assert len(found) == 9
    return found


@pytest.fixture(scope="module")
def folder(ran: World) -> Path:
    """Where the world's lake, checkpoints and progress are."""
    return Path(ran.pipeline.lake).parent


@pytest.fixture(scope="module")
def driven(ran: World, folder: Path) -> bytes:
    """What a driver says, told to say much, that judges the topic from its beginning. Its files are in `folder`."""
    own = folder / "driven"
    own.mkdir()
    pipeline = replace(ran.pipeline, **{name: str(own / name) for name in ("lake", "checkpoints", "progress")})
    (own / "pipeline.yaml").write_text(yaml.safe_dump(asdict(pipeline)))
    (own / "log4j2.properties").write_text(LOGGING)
    command = [
        sys.executable, REPOSITORY / "jobs" / "detect_fraud.py", "--config", own / "pipeline.yaml",
        "--rules-file", folder / "rules.yaml", "--until-caught-up", "--with", "archive_alerts,mirror_transactions",
    ]  # fmt: skip
    environment = {**short_lived(), "SPARK_SUBMIT_OPTS": f"-Dlog4j2.configurationFile={own / 'log4j2.properties'}"}
    with (own / "driver.log").open("wb") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=log, check=True, timeout=400)
    return (own / "driver.log").read_bytes()


def test_no_password_is_in_the_drivers_log_though_it_tells_its_clients_settings(driven: bytes, secrets: dict[str, str]):
    assert b"sasl.jaas.config = [hidden]" in driven
    assert leaks(secrets, [("driver.log", driven)]) == []


@pytest.mark.usefixtures("driven")
def test_no_password_is_in_a_file_a_row_or_a_state(ran: World, folder: Path, secrets: dict[str, str]):
    """The files of states hold compressed blocks: their rows are read by Spark, as of the last batch."""
    names = set[str]()

    def places() -> Iterator[Place]:
        yield from files(ran.settings.home, folder, but=ran.settings.folder / "secrets")
        for rule in (each.name for each in ran.rules if not each.stateless):
            stored = ran.session.read.format("statestore").load(ran.pipeline.checkpoint(rule)).collect()
            yield from rows(f"state of {rule}", [row.asDict(recursive=True) for row in stored])

    def noted() -> Iterator[Place]:
        for name, content in places():
            names.add(name.partition(": ")[0])
            yield name, content

    assert leaks(secrets, noted()) == []
    for part in ("/lake/alerts/", "/driven/lake/transactions/", "/logs/connect.log", "state of anomaly"):
        assert any(part in name for name in names), part


def test_no_password_is_in_a_message_of_any_topic(ran: World, secrets: dict[str, str]):
    """Segments hold compressed batches: their messages are read by a consumer, but for those that no longer count."""
    own = ran.pipeline.kafka
    topics = kafka.admin(ran.settings).list_topics(timeout=30).topics
    written = ("connect-configs", "connect-offsets", "connect-status", own.transactions_topic, own.alerts_topic)
    places = {topic: list(messages(topic, committed(ran.settings, topic))) for topic in topics}
    assert [topic for topic in written if not places[topic]] == []
    assert any(b"capture.properties:password" in text for _, text in places["connect-configs"]), "references are there"
    assert leaks(secrets, (place for each in places.values() for place in each)) == []


def test_no_password_is_in_what_the_stack_the_doctor_the_metrics_and_the_audit_say(
    ran: World, folder: Path, secrets: dict[str, str]
):
    facts, found = Doctor(ran.settings, ran.pipeline, load_limits(), folder / "rules.yaml").look()
    audited = report.as_json(audit(ran.pipeline, ran.rules, ran.settings, Options()))
    said = {
        "connectors": json.dumps(connect._call(ran.settings, "GET", "/connectors?expand=info&expand=status")),
        "status": json.dumps(lifecycle.status(ran.settings), default=str),
        "doctor": json.dumps([facts, [each._asdict() for each in found]], default=str),
        "metrics": metrics.text(facts, found),
        "audit": report.text_of(audited),
    }
    assert ran.connector["name"] in said["connectors"]
    assert facts["components"].keys() == set(COMPONENTS)
    assert "fraudstream_query_lag_offsets" in said["metrics"]
    assert len(audited["parts"]) > 3
    assert leaks(secrets, ((name, text.encode()) for name, text in said.items())) == []


def test_no_password_is_among_the_words_of_a_running_process(ran: World, secrets: dict[str, str]):
    """Those of the stack, and of Spark; a process that makes a data directory has ended by now."""
    stack = [process for name in COMPONENTS if (process := process_of(ran.settings, name))]
    running = [each for process in (psutil.Process(), *stack) for each in (process, *process.children(recursive=True))]
    lines = list(command_lines(running))
    for word in (b"ConnectDistributed", b"kafka.Kafka", b"walsender", b"org.apache.spark.deploy.SparkSubmit"):
        assert any(word in line for _, line in lines), word
    assert leaks(secrets, lines) == []
