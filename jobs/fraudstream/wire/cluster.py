"""A topic's brokers, asked until they answer: leaders change and brokers start anew while a query runs.

Connections stay open in their process. What is asked on one does not depend on what was asked before, so that any of
Spark's Python workers may read any part of any partition.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from fraudstream.errors import GuardError
from fraudstream.wire.client import Address, Client
from fraudstream.wire.connection import Connection
from fraudstream.wire.errors import PASSING, UNKNOWN_TOPIC, BrokerError
from fraudstream.wire.requests import Topic, ask_offsets, ask_topic

T = TypeVar("T")
PATIENCE = 60.0  # seconds in which a broker must answer, as of Java's clients
_PAUSE = 0.2
_TIMEOUT = 30.0  # of one answer
_open: dict[tuple[Client, Address], Connection] = {}


def connect(client: Client, address: Address) -> Connection:
    """This process's connection to the broker. Raises OSError where none can be made."""
    found = _open.get((client, address))
    if found is None:
        found = _open[client, address] = Connection(client, address, _TIMEOUT)
    return found


def drop(client: Client, address: Address) -> None:
    """Close the connection: what was asked on it is not waited for."""
    found = _open.pop((client, address), None)
    if found is not None:
        found.close()


def patiently(client: Client, ask: Callable[[], T]) -> T:
    """What `ask` returns, once it does. Raises GuardError where no broker answers for PATIENCE, or at once where one
    has a certificate that is not trusted."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except ssl.SSLCertVerificationError as error:
            raise unanswered(client, error) from error
        except (OSError, ValueError) as error:
            failed: Exception = error
        except BrokerError as error:
            if error.code not in PASSING:
                raise
            failed = error
        if time.monotonic() >= limit:
            raise unanswered(client, failed) from failed
        time.sleep(_PAUSE)


def unanswered(client: Client, error: Exception) -> GuardError:
    """Says that Kafka does not answer."""
    servers = ",".join(f"{host}:{port}" for host, port in client.servers)
    return GuardError(
        f"Kafka at {servers} does not answer ({error}); start it (make up), or correct kafka.bootstrap_servers in "
        "conf/pipeline.yaml.",
        "kafka-down",
    )


def missing(name: str) -> GuardError:
    """Says that there is no such topic."""
    return GuardError(
        f"{name}: there is no such topic. Start the connector that writes it, or correct its name in "
        "conf/pipeline.yaml.",
        "topic-missing",
    )


def topic_of(client: Client, name: str) -> Topic:
    """The topic as it is now. Raises GuardError if there is none, or no broker answers."""
    try:
        return patiently(client, lambda: _from_any(client, lambda connection: ask_topic(connection, name)))
    except BrokerError as error:
        if error.code == UNKNOWN_TOPIC:
            raise missing(name) from None
        raise


def require_same(client: Client, name: str, known: uuid.UUID) -> Topic:
    """The topic as it is now. Raises GuardError if it is not the one of the id."""
    found = topic_of(client, name)
    if found.id != known:
        raise GuardError(
            f"{name}: this topic was deleted and made anew since its reading began (its id was {known} and is "
            f"{found.id}), so the offsets are of other records. Bring the old topic back, or start the query over with "
            "--reset.",
            "topic-replaced",
        )
    return found


def offsets_of(
    client: Client, name: str, at: int, isolation: int, known: Topic | None = None
) -> tuple[Topic, dict[int, int]]:
    """The topic, and requests.EARLIEST or LATEST of each of its partitions. Who leads them is asked only where they are
    not led as `known`."""
    tries = iter([known])

    def ask() -> tuple[Topic, dict[int, int]]:
        topic = next(tries, None) or topic_of(client, name)
        found: dict[int, int] = {}
        for leader, numbers in _by_leader(topic.leaders).items():
            ask_of = partial(ask_offsets, topic=name, partitions=numbers, time=at, isolation=isolation)
            found |= _at(client, leader, ask_of)
        return topic, found

    return patiently(client, ask)


def _by_leader(leaders: Mapping[int, Address | None]) -> dict[Address, list[int]]:
    found: dict[Address, list[int]] = {}
    for number, leader in leaders.items():
        if leader is None:
            raise ConnectionError(f"partition {number} has no leader")
        found.setdefault(leader, []).append(number)
    return found


def _from_any(client: Client, ask: Callable[[Connection], T]) -> T:
    failed: Exception | None = None
    for address in client.servers:
        try:
            return _at(client, address, ask)
        except (OSError, ValueError) as error:
            failed = error
    raise failed or ConnectionError("no broker is named")


def _at(client: Client, address: Address, ask: Callable[[Connection], T]) -> T:
    """What is asked of one broker, over a new connection where the old one is broken or still waits for an answer."""
    kept = _open.get((client, address))
    if kept is not None and not kept.is_idle:
        drop(client, address)
    try:
        return ask(connect(client, address))
    except (OSError, ValueError):
        drop(client, address)
        raise
