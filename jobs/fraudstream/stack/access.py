"""Who may do what in the secure stack: the principals of Kafka, their access lists, and what their clients need."""

from __future__ import annotations

import base64
import hashlib
import secrets as random
from collections.abc import Iterable, Mapping
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from fraudstream.stack import certificates, secrets
from fraudstream.stack.settings import PRINCIPALS, StackSettings

ADMIN, CONNECT, SPARK, READER = PRINCIPALS
ALERTS = "fraud.alerts"
GROUP = "fraudstream-connect"
REST_USER = "fraudstream"
_ITERATIONS = 8192
_MECHANISM = "SCRAM-SHA-512"


def prepare(settings: StackSettings) -> None:
    """Have the certificates and the file of client properties of each principal."""
    certificates.ensure(certificates_folder(settings))
    for principal in PRINCIPALS:
        lines = [f"{name}={value}" for name, value in client_properties(settings, principal).items()]
        path = settings.client_file(principal)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        secrets.write_private(path, "\n".join(["# Kafka's clients, of Java and of Python.", *lines, ""]))


def certificates_folder(settings: StackSettings) -> Path:
    """Where ca.pem and broker.pem are."""
    return settings.folder / "certificates"


def client_properties(settings: StackSettings, principal: str) -> dict[str, str]:
    """Settings of a Kafka client for a principal, empty in the open stack; the password is a reference to its file."""
    if not settings.secure:
        return {}
    folder = settings.folder / "secrets"
    reference = f"${{file:{folder}/kafka-{principal}.properties:password}}"
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": _MECHANISM,
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{principal}" password="{reference}";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates_folder(settings) / "ca.pem"),
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "config.providers.file.param.allowed.paths": str(folder / f"kafka-{principal}.properties"),
    }


def first_user(settings: StackSettings) -> str:
    """The administrator's credentials as the formatting of the broker's folder takes them. Not the password itself:
    other users see a command's words. The salted one (RFC 5802: Hi) serves the broker alone."""
    password = secrets.password(settings.folder / "secrets", f"kafka-{ADMIN}")
    salt = random.token_bytes(24)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    texts = [base64.b64encode(each).decode() for each in (salt, salted)]
    return f'{_MECHANISM}=[name={ADMIN},iterations={_ITERATIONS},salt="{texts[0]}",saltedpassword="{texts[1]}"]'


def grant(settings: StackSettings, client: AdminClient) -> None:
    """Set the passwords of all principals and give each its access; repeating it changes nothing."""
    changed: list[UserScramCredentialAlteration] = []
    for principal in PRINCIPALS:
        password = secrets.password(settings.folder / "secrets", f"kafka-{principal}").encode()
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        changed.append(UserScramCredentialUpsertion(principal, info, password))
    for done in client.alter_user_scram_credentials(changed).values():
        done.result(30)
    _create(client, _STANDING)


def grant_capture(client: AdminClient, topic_prefix: str) -> None:
    """Let Connect make and write the topics of a connector and of its heartbeats, and the jobs read them."""
    topics = _topic(f"{topic_prefix}.")
    wanted = _allowed(CONNECT, topics, "WRITE CREATE DESCRIBE") + _allowed(SPARK, topics, "READ DESCRIBE")
    _create(client, wanted + _allowed(CONNECT, _topic("__debezium-heartbeat."), "WRITE CREATE DESCRIBE"))


Resource = tuple[ResourceType, str, ResourcePatternType]


def _topic(prefix: str) -> Resource:
    return ResourceType.TOPIC, prefix, ResourcePatternType.PREFIXED


def _group(prefix: str) -> Resource:
    return ResourceType.GROUP, prefix, ResourcePatternType.PREFIXED


def _transaction(prefix: str) -> Resource:
    return ResourceType.TRANSACTIONAL_ID, prefix, ResourcePatternType.PREFIXED


def _allowed(principal: str, resource: Resource, operations: str) -> list[AclBinding]:
    """From everywhere: the listener is on the loopback interface only."""
    return [
        AclBinding(*resource, f"User:{principal}", "*", AclOperation[name], AclPermissionType.ALLOW)
        for name in operations.split()
    ]


_STANDING = [
    *_allowed(CONNECT, _topic("connect-"), "READ WRITE CREATE DESCRIBE DESCRIBE_CONFIGS"),
    *_allowed(CONNECT, _group(GROUP), "READ"),
    *_allowed(CONNECT, _transaction(f"connect-cluster-{GROUP}"), "WRITE DESCRIBE"),
    *_allowed(CONNECT, _transaction(f"{GROUP}-"), "WRITE DESCRIBE"),
    *_allowed(SPARK, _topic(ALERTS), "READ WRITE CREATE DESCRIBE"),
    *_allowed(SPARK, _group("spark-kafka-"), "READ"),
    # By name: Connect's own group begins with fraudstream-, too.
    *(each for name in ("audit", "check", "watch") for each in _allowed(SPARK, _group(f"fraudstream-{name}"), "READ")),
    *_allowed(READER, (ResourceType.TOPIC, ALERTS, ResourcePatternType.LITERAL), "READ DESCRIBE"),
    *_allowed(READER, _group("alerts-"), "READ"),
]


def _create(client: AdminClient, wanted: Iterable[AclBinding]) -> None:
    for done in client.create_acls(list(wanted)).values():
        done.result(30)


def rest_login(settings: StackSettings) -> Path:
    """Write the login configuration of Connect's REST interface and its file of users; returns the former."""
    folder = settings.folder / "secrets"
    users, login = folder / f"{secrets.REST}.users", settings.folder / "config" / "connect.login"
    secrets.write_private(users, f"{REST_USER}={secrets.password(folder, secrets.REST)}\n")
    module = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule"
    secrets.write_private(login, f'KafkaConnect {{ {module} required file="{users}"; }};\n')
    return login


def rest_headers(settings: StackSettings) -> dict[str, str]:
    """What a request to Connect's REST interface needs besides, nothing in the open stack."""
    if not settings.secure:
        return {}
    login = f"{REST_USER}:{secrets.password(settings.folder / 'secrets', secrets.REST)}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def variables(settings: StackSettings) -> Mapping[str, str]:
    """What secure.properties of broker and worker ask for."""
    if not settings.secure:
        return {}
    return {
        "CERTIFICATES_DIR": str(certificates_folder(settings)),
        "KAFKA_SECRETS_DIR": str(settings.folder / "secrets"),
    }
