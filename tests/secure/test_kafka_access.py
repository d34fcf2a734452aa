"""Kafka lets in who has certificate and password, and each principal to its own work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pyspark.errors import StreamingQueryException

from fixtures.leaks import leaks, passwords
from fraudstream.errors import with_runbook
from fraudstream.stack import access, kafka
from fraudstream.stack.settings import StackSettings
from stack.world import World

pytestmark = pytest.mark.stack
REFUSALS = {"TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"}
# Everybody's access to the topic "mine".
ACCESS = (
    ResourceType.TOPIC, "mine", ResourcePatternType.LITERAL, "User:*", "*", AclOperation.ALL, AclPermissionType.ALLOW
)  # fmt: skip
RETENTION = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
USER = UserScramCredentialUpsertion("mine", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192), b"mine")
Attempt = Callable[[AdminClient, str, str], Mapping[Any, Future[Any]]]
# With a topic that the principal sees and a group that is another's.
ATTEMPTS: dict[str, Attempt] = {
    "create a topic": lambda client, topic, group: client.create_topics([NewTopic("mine", 1, 1)], validate_only=True),
    "delete a topic": lambda client, topic, group: client.delete_topics([topic]),
    "add partitions": lambda client, topic, group: client.create_partitions(
        [NewPartitions(topic, 100)], validate_only=True
    ),
    "alter a topic's settings": lambda client, topic, group: client.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[RETENTION])], validate_only=True
    ),
    "delete records": lambda client, topic, group: client.delete_records([TopicPartition(topic, 0, 0)]),
    "give access": lambda client, topic, group: client.create_acls([AclBinding(*ACCESS)]),
    "take access away": lambda client, topic, group: client.delete_acls([AclBindingFilter(*ACCESS)]),
    "make a user": lambda client, topic, group: client.alter_user_scram_credentials([USER]),
    "read another group's offsets": lambda client, topic, group: client.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)]
    ),
    "move another group's offsets": lambda client, topic, group: client.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])]
    ),
}


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
        "spark reads changes": read(settings, "spark", topic, "fraudstream-check-test"),
        "spark writes alerts": write(settings, "spark", alerts),
        "reader reads alerts": read(settings, "reader", alerts, "alerts-mine"),
        "connect writes changes": write(settings, "connect", topic),
    }
    assert allowed == dict.fromkeys(allowed)
    refused = {
        "spark writes changes": write(settings, "spark", topic),
        "spark reads Connect's configurations": read(settings, "spark", "connect-configs", "fraudstream-check-test"),
        "spark reads as another group": read(settings, "spark", topic, "mine"),
        "reader writes alerts": write(settings, "reader", alerts),
        "reader reads changes": read(settings, "reader", topic, "alerts-mine"),
        "reader reads another topic of alerts": read(
            settings, "reader", ran.pipeline.kafka.alerts_topic, "alerts-mine"
        ),
        "connect reads changes": read(settings, "connect", topic, f"{access.GROUP}-test"),
        "connect reads alerts": read(settings, "connect", alerts, access.GROUP),
        "connect writes alerts": write(settings, "connect", alerts),
    }
    assert [what for what, error in refused.items() if error is None] == []
    assert {error.name() for error in refused.values() if error is not None} <= REFUSALS, refused


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("principal", [access.CONNECT, access.SPARK, access.READER])
def test_no_principal_is_to_change_topics_and_access_or_to_look_into_anothers_group(
    ran: World, principal: str, attempt: str
):
    topic, group = {
        access.CONNECT: (ran.pipeline.kafka.transactions_topic, "alerts-mine"),
        access.SPARK: (ran.pipeline.kafka.alerts_topic, access.GROUP),
        access.READER: (access.ALERTS, "fraudstream-check"),
    }[principal]
    client = AdminClient({**kafka.client(ran.settings, principal), "log_level": 0}, logger=kafka.quiet_logger())
    (answer,) = ATTEMPTS[attempt](client, topic, group).values()
    with pytest.raises(KafkaException) as refusal:
        answer.result(60)
    assert refusal.value.args[0].name() in REFUSALS


@pytest.mark.parametrize("principal", [access.CONNECT, access.SPARK, access.READER])
def test_access_lists_are_shown_to_the_administrator_alone(ran: World, principal: str):
    all_of_them = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    admin = kafka.admin(ran.settings)  # the answer does not come to a client that is gone
    assert admin.describe_acls(all_of_them).result(30)
    client = AdminClient({**kafka.client(ran.settings, principal), "log_level": 0}, logger=kafka.quiet_logger())
    assert client.describe_acls(all_of_them).result(30) == []  # librdkafka does not tell a refusal from none


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
    assert leaks(passwords(ran.settings.folder / "secrets"), [("refusal", str(refusal.value).encode())]) == []
    access.grant(ran.settings, client)
    ran.judge()
    assert ran.assert_exact()["high_amount"] == 151
