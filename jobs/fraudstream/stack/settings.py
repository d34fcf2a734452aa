"""Versions, ports and places of the stack: docker/.env, over which the process environment wins."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fraudstream.errors import ConfigError
from fraudstream.stack import secrets

REPOSITORY = Path(__file__).resolve().parents[3]
DOCKER = REPOSITORY / "docker"
PROFILES = ("open", "secure")
# Of Kafka in the secure stack: the stack's own commands, Connect, Spark's jobs, and who reads alerts.
PRINCIPALS = ("admin", "connect", "spark", "reader")
PORTS = ("POSTGRES_PORT", "KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "CONNECT_PORT")


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """What a local stack is made of. `home` holds everything that it writes."""

    home: Path
    postgres_port: int
    kafka_port: int
    kafka_controller_port: int
    connect_port: int
    topic_partitions: int
    connect_java_options: tuple[str, ...]
    """Of Connect's JVM: heap and collector."""
    secure: bool
    versions: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """The stack's own folder below home: data, logs, pid files, secrets."""
        return self.home / "stack"

    def client_file(self, principal: str) -> Path:
        """The properties of Kafka's clients for a principal of the secure stack; `make up` writes it."""
        return self.folder / "clients" / f"{principal}.properties"

    @property
    def bootstrap(self) -> str:
        """Kafka's bootstrap.servers. No name: where localhost is ::1 too, some clients report each refused try."""
        return f"127.0.0.1:{self.kafka_port}"

    @property
    def connect_url(self) -> str:
        """Root of Connect's REST interface, without a slash at the end."""
        return f"http://localhost:{self.connect_port}"

    def dsn(self, role: str, database: str = "mydb") -> str:
        """libpq's connection string for a role: postgres, capture, batch or app.

        Raises ConfigError for another role, StackError while the role has no password yet (before the first start).
        """
        password = secrets.password(self.folder / "secrets", role).replace("\\", "\\\\").replace("'", "\\'")
        return (
            f"host=localhost port={self.postgres_port} dbname={database} user={role} password='{password}' "
            f"connect_timeout=10 application_name=fraudstream"
        )


def load_environment(path: Path = DOCKER / ".env") -> dict[str, str]:
    """The assignments NAME=value of docker/.env. Raises ConfigError naming the line that is none."""
    values: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"{path}, line {number}: {text!r} is not NAME=value; correct or delete the line.")
        values[name] = value.strip().strip("\"'")
    return values


def load_settings(
    home: Path | None = None,
    ports: Mapping[str, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> StackSettings:
    """The settings for this process. `home` and `ports` (names as in docker/.env) win over everything else.

    Raises ConfigError naming the variable whose value cannot be used.
    """
    outer = os.environ if environment is None else environment
    values = {**load_environment(), **outer, **{name: str(port) for name, port in (ports or {}).items()}}
    found = {name: _number(values, name, 1024, 65535) for name in PORTS}
    for name, port in found.items():
        twin = next((other for other in PORTS if other != name and found[other] == port), None)
        if twin:
            raise ConfigError(f"{name} and {twin} are both {port}; give each component a port of its own.")
    chosen = home or Path(values.get("FRAUDSTREAM_HOME") or REPOSITORY / "run")
    return StackSettings(
        home=chosen.expanduser().absolute(),
        postgres_port=found["POSTGRES_PORT"],
        kafka_port=found["KAFKA_PORT"],
        kafka_controller_port=found["KAFKA_CONTROLLER_PORT"],
        connect_port=found["CONNECT_PORT"],
        secure=_profile(values) == "secure",
        topic_partitions=_number(values, "TOPIC_PARTITIONS", 1, 1000),
        connect_java_options=tuple(values["CONNECT_JAVA_OPTIONS"].split()),
        versions={name.removesuffix("_VERSION").lower(): v for name, v in _versions(values).items()},
    )


def _versions(values: Mapping[str, str]) -> dict[str, str]:
    return {name: values[name] for name in load_environment() if name.endswith("_VERSION")}


def _profile(values: Mapping[str, str]) -> str:
    found = values.get("STACK_PROFILE", "")
    if found not in PROFILES:
        raise ConfigError(f"STACK_PROFILE is {found!r}; set it to {' or '.join(PROFILES)} (see docker/.env).")
    return found


def _number(values: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = values.get(name, "")
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise ConfigError(f"{name} is {text!r}; set it to a whole number from {low} to {high} (see docker/.env).")
    return int(text)


def free_ports() -> dict[str, int]:
    """Four ports that were free just now, by the names of docker/.env: for a private stack beside others."""
    with ExitStack() as held:
        return {name: _free_port(held) for name in PORTS}


def _free_port(held: ExitStack) -> int:
    # Below those that the kernel gives to outgoing connections, of which one could take the port of a component that
    # starts again.
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with contextlib.suppress(OSError):
            held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return port
