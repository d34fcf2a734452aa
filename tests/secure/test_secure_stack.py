"""The secure stack lets in who has a password, to what is that one's work, and tells no password to anybody."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from pyspark.errors import StreamingQueryException

from fraudstream.errors import StackError, with_runbook
from fraudstream.stack import access, connect, kafka, lifecycle
from fraudstream.stack.processes import COMPONENTS, process_of
from fraudstream.stack.settings import StackSettings
from fraudstream.streams import queries
from stack.world import World, committed, world

pytestmark = pytest.mark.stack
ROWS = "insert into transactions (user_id, amount) select 1 + n % 7, 10 * n from generate_series(1, {}) n"


@pytest.fixture(scope="module")
def ran(stack: StackSettings, spark, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A pipeline that has judged some rows in the secure stack."""
    assert stack.secure, "these tests are of STACK_PROFILE=secure (make test-secure)"
    with world(stack, spark, tmp_path_factory.mktemp("secure"), "secure") as made:
        made.capture()
        made.sql(ROWS.format(600))
        made.wait_for_row(600)
        made.judge()
        yield made


def test_sparks_own_reader_logs_in_as_the_columnar_one_does(ran: World, tmp_path: Path):
    assert ran.pipeline.kafka.reader == "columnar"
    kafka_ = replace(ran.pipeline.kafka, reader="built-in")
    places = {name: str(tmp_path / name) for name in ("lake", "checkpoints", "progress")}
    again = replace(ran, pipeline=replace(ran.pipeline, kafka=kafka_, **places))
    stateful = [rule for rule in ran.rules if not rule.stateless]
    for query in queries.start_rules(ran.session.newSession(), stateful, again.pipeline, until_caught_up=True):
        query.awaitTermination()
    for rule in stateful:
        assert again.parts(rule.name) == ran.parts(rule.name)


def passwords(settings: StackSettings) -> dict[str, str]:
    files = (settings.folder / "secrets").glob("*.properties")
    return {path.stem: path.read_text(encoding="utf-8").strip().removeprefix("password=") for path in files}


def quiet(settings: dict[str, str]) -> dict[str, object]:
    return {**settings, "log_level": 0, "socket.timeout.ms": 3000, "message.timeout.ms": 5000}


def write(settings: StackSettings, principal: str, topic: str) -> KafkaError | None:
    """What the broker says to a message of the principal, keyed as the connector keys: another key would stop the
    rules."""
    said: list[KafkaError | None] = []
    producer = Producer(quiet(kafka.client(settings, principal)), logger=kafka.quiet_logger())
    producer.produce(topic, b"{}", b'{"user_id":1}', on_delivery=lambda error, _: said.append(error))
    producer.flush(20)
    return said[0]


def read(settings: StackSettings, principal: str, topic: str, group: str) -> KafkaError | None:
    """What the broker says to the principal's reading of the topic's first record."""
    client = {name: value for name, value in quiet(kafka.client(settings, principal)).items() if "message" not in name}
    client |= {"group.id": group, "enable.partition.eof": True, "auto.offset.reset": "earliest"}
    consumer = Consumer(client, logger=kafka.quiet_logger())
    try:
        unknown = consumer.list_topics(topic, timeout=10).topics[topic].error
        if unknown is not None:
            return unknown
        consumer.subscribe([topic])
        message = consumer.poll(30)
        assert message is not None
        error = message.error()
        return None if error is None or error.code() == KafkaError._PARTITION_EOF else error
    except KafkaException as refusal:
        found: KafkaError = refusal.args[0]
        return found
    finally:
        consumer.close()


def test_the_pipeline_is_exact_when_everything_is_closed(ran: World):
    # Of 600 rows at once of 7 users, row n costs 10 n: 150 are above 4500, 200 above 4000, each behind many others.
    found = ran.assert_exact()
    assert (found["high_amount"], found["velocity"]) == (150, 200)


@pytest.mark.parametrize(
    "changed",
    [
        {"security.protocol": "PLAINTEXT"},
        {"security.protocol": "SSL"},
        {"sasl.password": "wrong"},
        {"sasl.username": "nobody"},
        {"ssl.ca.location": ""},
    ],
    ids=["plain", "no-login", "wrong-password", "unknown-user", "unknown-authority"],
)
def test_nobody_gets_in_without_certificate_and_password(ran: World, changed: dict[str, str]):
    client = {**kafka.client(ran.settings, access.SPARK), **changed}
    client = {name: value for name, value in client.items() if value}
    with pytest.raises(KafkaException):
        AdminClient({**client, "log_level": 0}, logger=kafka.quiet_logger()).list_topics(timeout=3)


def test_each_principal_can_do_its_work_and_is_refused_the_rest(ran: World):
    topic, alerts = ran.pipeline.kafka.transactions_topic, access.ALERTS
    settings = ran.settings
    allowed = {
        "spark reads changes": read(settings, "spark", topic, "fraudstream-test"),
        "spark writes alerts": write(settings, "spark", alerts),
        "reader reads alerts": read(settings, "reader", alerts, "alerts-mine"),
        "connect writes changes": write(settings, "connect", topic),
    }
    assert allowed == dict.fromkeys(allowed)
    refused = {
        "spark writes changes": write(settings, "spark", topic),
        "spark reads Connect's configurations": read(settings, "spark", "connect-configs", "fraudstream-test"),
        "spark reads as another group": read(settings, "spark", topic, "mine"),
        "reader writes alerts": write(settings, "reader", alerts),
        "reader reads changes": read(settings, "reader", topic, "alerts-mine"),
        "connect reads alerts": read(settings, "connect", alerts, access.GROUP),
        "connect writes alerts": write(settings, "connect", alerts),
    }
    assert [what for what, error in refused.items() if error is None] == []
    names = {error.name() for error in refused.values() if error is not None}
    assert names <= {"TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"}, refused


def ask(settings: StackSettings, path: str, headers: dict[str, str], body: object = None) -> tuple[int, str]:
    request = urllib.request.Request(
        settings.connect_url + path, method="GET" if body is None else "PUT",
        headers={"Content-Type": "application/json", **headers},
        data=None if body is None else json.dumps(body).encode(),
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_connects_rest_interface_asks_for_a_password(ran: World):
    wrong = {"Authorization": "Basic " + base64.b64encode(b"fraudstream:wrong").decode()}
    assert [ask(ran.settings, "/connectors", headers)[0] for headers in ({}, wrong)] == [401, 401]
    assert ask(ran.settings, "/connectors", access.rest_headers(ran.settings))[0] == 200


def test_a_connector_cannot_name_a_login_of_its_own_or_read_other_passwords(ran: World):
    settings, headers = ran.settings, access.rest_headers(ran.settings)
    config = connect.connectors(settings)[ran.connector["name"]]
    path = f"/connector-plugins/{config['connector.class']}/config/validate"
    hostile = {"producer.override.sasl.jaas.config": "com.sun.security.auth.module.JndiLoginModule required;"}
    code, said = ask(settings, path, headers, {**config, **hostile})
    errors = {each["value"]["name"]: each["value"]["errors"] for each in json.loads(said)["configs"]}
    assert code == 200
    assert errors["producer.override.sasl.jaas.config"], "the policy refuses it"
    stolen = f"${{file:{settings.folder}/secrets/kafka-admin.properties:password}}"
    code, said = ask(settings, path, headers, {**config, "database.user": stolen})
    assert passwords(settings)["kafka-admin"] not in said


def test_the_exercises_connector_is_not_given_the_superusers_password(ran: World):
    with pytest.raises(StackError, match="password authentication failed"):
        connect.put_connector(ran.settings, connect.CONNECTORS / "exercise.json")


def test_everything_listens_on_the_loopback_interface_only(ran: World):
    for component in COMPONENTS:
        process = process_of(ran.settings, component)
        assert process is not None
        listening = [each.laddr.ip for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        assert listening
        assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}, component


def test_a_rule_that_lost_its_access_stops_by_name_and_goes_on_when_it_has_it_again(ran: World):
    client = kafka.admin(ran.settings)
    resource = (ResourceType.TOPIC, access.ALERTS, ResourcePatternType.PREFIXED)
    right = AclBindingFilter(*resource, "User:spark", "*", AclOperation.WRITE, AclPermissionType.ALLOW)
    taken = client.delete_acls([right])[right].result(30)
    assert len(taken) == 1
    ran.sql("insert into transactions (user_id, amount) values (8, 4900)")
    ran.wait_for_row(601)
    with pytest.raises(StreamingQueryException) as refusal:
        ran.judge()
    assert "[docs/operations.md: access-denied]" in with_runbook(str(refusal.value))
    access.grant(ran.settings, client)
    ran.judge()
    assert ran.assert_exact()["high_amount"] == 151


def test_no_password_is_in_a_file_a_topic_or_an_answer(ran: World):
    secrets, home = passwords(ran.settings), ran.settings.home
    assert len(secrets) == 9
    places = [path for path in (*home.rglob("*"), *Path(ran.pipeline.lake).parent.rglob("*")) if path.is_file()]
    places = [path for path in places if path.parent != ran.settings.folder / "secrets"]
    assert len(places) > 100
    told = [(name, path) for path in places for name, text in secrets.items() if text.encode() in path.read_bytes()]
    assert told == []
    topics = ("connect-configs", "connect-offsets", ran.pipeline.kafka.transactions_topic, access.ALERTS)
    records = [each for topic in topics for each in committed(ran.settings, topic)]
    assert any(b"capture.properties:password" in (each.value or b"") for each in records), "references are there"
    assert not [each for each in records for text in secrets.values() if text.encode() in (each.value or b"")]
    said = json.dumps([connect.connectors(ran.settings), lifecycle.status(ran.settings)], default=str)
    assert not [name for name, text in secrets.items() if text in said]


def test_secrets_are_readable_by_their_owner_only(ran: World):
    folder = ran.settings.folder
    for private in (folder / "secrets", folder / "certificates", folder / "clients"):
        assert private.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in private.iterdir())
    logs = [*(folder / "kafka" / "__cluster_metadata-0").iterdir(), folder / "kafka" / "bootstrap.checkpoint"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in logs), "they hold what passwords are checked with"


def test_data_of_one_profile_is_not_started_with_the_other(ran: World, monkeypatch: pytest.MonkeyPatch):
    from dataclasses import replace

    with pytest.raises(StackError, match="STACK_PROFILE=secure"):
        lifecycle.up(replace(ran.settings, secure=False), connector=None)
