"""How brokers are reached: the settings, and logging in."""

from __future__ import annotations

import pytest

from fraudstream.errors import ConfigError, FraudstreamError
from fraudstream.wire import login
from fraudstream.wire.client import Client, client_of, tls_context

SERVERS = {"kafka.bootstrap.servers": "one:9092, [::1]:9093"}
LOGIN = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="spark" password="p,w=d";'
SECURE = {
    **SERVERS, "kafka.security.protocol": "SASL_SSL", "kafka.sasl.mechanism": "SCRAM-SHA-512",
    "kafka.sasl.jaas.config": LOGIN, "kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": "/ca.pem",
}  # fmt: skip


def test_addresses_and_security_are_those_of_sparks_own_source():
    assert client_of(SERVERS) == Client((("one", 9092), ("::1", 9093)))
    found = client_of({**SECURE, "kafka.isolation.level": "read_committed", "maxOffsetsPerTrigger": "5"})
    assert (found.protocol, found.mechanism, found.username, found.password) == (
        "SASL_SSL", "SCRAM-SHA-512", "spark", "p,w=d",
    )  # fmt: skip
    assert found.tls == (("ssl.ca.location", "/ca.pem"),)
    assert "p,w=d" not in repr(found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kafka.sasl.mechanism": "GSSAPI"}, "GSSAPI"),
        ({"kafka.security.protocol": "TLS"}, "TLS"),
        ({"kafka.ssl.provider": "x"}, "ssl.provider"),
        ({"kafka.bootstrap.servers": "broker"}, "HOST:PORT"),
    ],
)
def test_what_the_reader_cannot_do_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        client_of({**SECURE, **options})


def test_a_brokers_name_is_verified_unless_that_is_switched_off():
    def context(algorithm: str | None):
        settings = () if algorithm is None else (("ssl.endpoint.identification.algorithm", algorithm),)
        return tls_context(Client((("one", 1),), "SSL", tls=settings))

    assert context(None).check_hostname
    assert context("https").check_hostname
    assert not context("").check_hostname
    assert context("").verify_mode.name == "CERT_REQUIRED"


class Broker:
    """Answers with these messages, and keeps what it was sent."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.sent = list(answers), list[str]()

    def __call__(self, message: bytes) -> bytes:
        self.sent.append(message.decode())
        return self.answers.pop(0).encode()


# The exchange in RFC 7677.
NONCE, REST = "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
FIRST = f"r={NONCE}{REST},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
USER = Client((("one", 1),), "SASL_PLAINTEXT", "SCRAM-SHA-256", "user", "pencil")


def test_scram_is_the_exchange_of_its_definition(monkeypatch):
    monkeypatch.setattr(login.secrets, "token_urlsafe", lambda size: NONCE)
    broker = Broker(FIRST, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    login.log_in(USER, broker)
    assert broker.sent == [
        f"n,,n=user,r={NONCE}", f"c=biws,r={NONCE}{REST},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "answers",
    [
        (FIRST, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        (FIRST, "e=other-error"),
        (FIRST.replace(NONCE, "another"), ""),
        (FIRST.replace("i=4096", "i=1"), ""),
        (FIRST.replace("i=4096", "i=100000000"), ""),
    ],
)
def test_a_broker_that_does_not_know_the_password_is_refused(monkeypatch, answers):
    monkeypatch.setattr(login.secrets, "token_urlsafe", lambda size: NONCE)
    with pytest.raises(FraudstreamError):
        login.log_in(USER, Broker(*answers))


def test_plain_sends_name_and_password():
    broker = Broker("")
    login.log_in(Client((("one", 1),), "SASL_SSL", "PLAIN", "me", "secret"), broker)
    assert broker.sent == ["\0me\0secret"]
