"""Settings of Kafka clients: a properties file as Kafka's own tools take it, and what librdkafka calls the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fraudstream import documents
from fraudstream.errors import ConfigError

_REFERENCE = re.compile(r"\$\{file:([^}]*):([^}:]*)\}")
_LOGIN = re.compile(r'(\w+)="([^"]*)"')
# Of a consumer of librdkafka that reads to an end and closes: how long the broker keeps a fetch there, where nothing
# comes. With half a second, the usual, a small topic took 1.0 s to read, and takes 0.04 s.
AT_THE_END: Mapping[str, int] = {"fetch.wait.max.ms": 20}
# Java's name of a setting -> librdkafka's; None: it has no meaning there. Other names are the same in both.
_NAMES = {
    "ssl.truststore.location": "ssl.ca.location",
    "ssl.truststore.type": None,
    "ssl.keystore.type": None,
    "sasl.jaas.config": None,
    "config.providers": None,
}


def read_properties(path: Path) -> dict[str, str]:
    """The settings in a file of lines name=value. Raises ConfigError for a file that cannot be read or another line."""
    advice = "correct kafka.client_properties or KAFKA_CLIENT_PROPERTIES (`make up` writes those of the local stack)"
    lines = documents.read_text(path, advice).splitlines()
    found = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith(("#", "!")):
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or text.endswith("\\"):
            raise ConfigError(f"{path}, line {number}: not name=value on a line of its own; correct the line.")
        found[name] = value
    return found


def spark_options(properties: Mapping[str, str]) -> dict[str, str]:
    """The settings as options of Spark's Kafka source and sink."""
    return {f"kafka.{name}": value for name, value in properties.items()}


def librdkafka(options: Mapping[str, str]) -> dict[str, str]:
    """Settings of a confluent-kafka client that mean what Spark's `options` ("kafka.security.protocol" ...) mean.

    A password that is a reference to a file is read from there. Raises ConfigError for what librdkafka cannot do."""
    passed = {key.removeprefix("kafka."): value for key, value in options.items() if key.startswith("kafka.")}
    if "ssl.truststore.location" in passed and passed.get("ssl.truststore.type", "").upper() != "PEM":
        raise ConfigError(
            "kafka.ssl.truststore.location: clients in Python read PEM only; name a PEM file and set "
            "ssl.truststore.type=PEM, which Java reads as well."
        )
    if "ssl.keystore.location" in passed:
        passed |= dict.fromkeys(("ssl.certificate.location", "ssl.key.location"), passed.pop("ssl.keystore.location"))
    found = {
        _NAMES.get(name, name) or "": _resolved(value)
        for name, value in passed.items()
        if _NAMES.get(name, name) and not name.startswith("config.providers.")
    }
    return found | _login(passed.get("sasl.jaas.config"))


def _login(jaas: str | None) -> dict[str, str]:
    if jaas is None:
        return {}
    given = dict(_LOGIN.findall(jaas))
    if not {"username", "password"} <= given.keys():
        raise ConfigError('kafka.sasl.jaas.config: it must name username="..." and password="...".')
    return {"sasl.username": _resolved(given["username"]), "sasl.password": _resolved(given["password"])}


def _resolved(text: str) -> str:
    def read(reference: re.Match[str]) -> str:
        properties = read_properties(Path(reference[1]))
        if reference[2] not in properties:
            raise ConfigError(f"{reference[1]}: has no {reference[2]}, which a Kafka client's settings refer to.")
        return properties[reference[2]]

    return _REFERENCE.sub(read, text)
