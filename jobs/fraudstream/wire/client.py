"""How brokers are reached: addresses, TLS and login, from the settings that Spark's own Kafka source takes."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from fraudstream.clients import librdkafka
from fraudstream.errors import ConfigError

Address = tuple[str, int]
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_KNOWN = {
    "security.protocol", "sasl.mechanism", "sasl.username", "sasl.password", "ssl.ca.location",
    "ssl.certificate.location", "ssl.key.location", "ssl.key.password", "ssl.endpoint.identification.algorithm",
}  # fmt: skip


@dataclass(frozen=True)
class Client:
    """What a connection needs to know."""

    servers: tuple[Address, ...]
    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    tls: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def client_of(options: Mapping[str, str]) -> Client:
    """The client that Spark's options ("kafka.bootstrap.servers", "kafka.security.protocol" ...) ask for.

    Raises ConfigError for what this reader cannot do: any other way of logging in than by a name and a password.
    """
    found = librdkafka({key: value for key, value in options.items() if key != "kafka.bootstrap.servers"})
    secure = {key: value for key, value in found.items() if key.startswith(("security.", "sasl.", "ssl."))}
    for key in secure.keys() - _KNOWN:
        raise ConfigError(f"kafka.{key}: the columnar reader does not know it; take it out or set reader: built-in.")
    protocol = secure.get("security.protocol", "PLAINTEXT").upper()
    if protocol not in _PROTOCOLS:
        raise ConfigError(f"kafka.security.protocol is {protocol}; it must be one of {', '.join(_PROTOCOLS)}.")
    mechanism = secure.get("sasl.mechanism", "") if protocol.startswith("SASL") else ""
    if protocol.startswith("SASL") and mechanism not in MECHANISMS:
        raise ConfigError(
            f"kafka.sasl.mechanism is {mechanism or 'not set'}; the columnar reader logs in by "
            f"{', '.join(MECHANISMS)}. Set one of these or reader: built-in."
        )
    return Client(
        tuple(_address(each) for each in options["kafka.bootstrap.servers"].split(",")),
        protocol, mechanism, secure.get("sasl.username", ""), secure.get("sasl.password", ""),
        tuple(sorted((key, value) for key, value in secure.items() if key.startswith("ssl."))),
    )  # fmt: skip


def _address(text: str) -> Address:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdigit():
        raise ConfigError(f"kafka.bootstrap_servers: {text!r} is no HOST:PORT.")
    return host.strip("[]"), int(port)


def tls_context(client: Client) -> ssl.SSLContext:
    """TLS as the settings say: the broker's certificate and, unless it is switched off, its name are verified."""
    settings = dict(client.tls)
    context = ssl.create_default_context(cafile=settings.get("ssl.ca.location"))
    # librdkafka calls it none, Java an empty text.
    context.check_hostname = settings.get("ssl.endpoint.identification.algorithm", "https").lower() not in ("", "none")
    if "ssl.certificate.location" in settings:
        key = settings.get("ssl.key.location")
        context.load_cert_chain(settings["ssl.certificate.location"], key, settings.get("ssl.key.password"))
    return context
