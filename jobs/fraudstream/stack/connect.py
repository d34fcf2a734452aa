"""Kafka Connect with Debezium: the worker's process and its connectors over REST."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fraudstream.errors import GuardError, Runbook, StackError
from fraudstream.stack import access, guard, kafka, postgres
from fraudstream.stack.artifacts import debezium_plugin
from fraudstream.stack.processes import explain, pid_of, start, stop, wait_until
from fraudstream.stack.settings import DOCKER, StackSettings
from fraudstream.stack.template import render, render_file

CONNECTORS = DOCKER / "connect"
_RESTART_S = 10.0


def variables(settings: StackSettings) -> dict[str, str]:
    """What worker.properties and the connectors' files ask for in this bring-up."""
    return {
        **access.variables(settings),
        "BOOTSTRAP_SERVERS": settings.bootstrap,
        "CONNECT_LISTENER": settings.connect_url,
        "PLUGIN_DIR": str(debezium_plugin()),
        "SECRETS_DIR": str(settings.folder / "secrets"),
        "DATABASE_HOST": "localhost",
        "DATABASE_PORT": str(settings.postgres_port),
        "TOPIC_PARTITIONS": str(settings.topic_partitions),
    }


def launch(settings: StackSettings) -> None:
    """Start the worker. Does not wait. Kafka must run.

    The states that the last worker left are deleted: those of a killed one still say RUNNING.
    """
    kafka.delete_topic(settings, "connect-status")
    more = [CONNECTORS / "secure.properties"] if settings.secure else []
    config = render_file(CONNECTORS / "worker.properties", settings.folder / "config", variables(settings), *more)
    login = [f"-Djava.security.auth.login.config={access.rest_login(settings)}"] if settings.secure else []
    main = "org.apache.kafka.connect.cli.ConnectDistributed"
    start(settings, "connect", kafka.java_command(main, [*settings.connect_java_options, *login], config))


def wait_ready(settings: StackSettings) -> None:
    """Wait until the worker answers and has read its topics."""

    def answers() -> bool:
        try:
            _call(settings, "GET", "/connectors", timeout=5)
        except StackError:
            return False
        return True

    wait_until(settings, "connect", answers, 90, pause=0.1)


def halt(settings: StackSettings) -> bool:
    """Stop the worker. Returns whether it was running."""
    return stop(settings, "connect", [(signal.SIGTERM, 20), (signal.SIGKILL, 5)])


def read_connector(settings: StackSettings, source: Path | Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Name and configuration of a connector's JSON file (or its content), with what differs here put in."""
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else json.dumps(source)
    label = str(source) if isinstance(source, Path) else "connector"
    try:
        found = json.loads(render(text, variables(settings), label))
        return str(found["name"]), {key: str(value) for key, value in found["config"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(f"{label}: not a connector in JSON with `name` and `config` ({error}).") from error


def put_connector(
    settings: StackSettings, source: Path | Mapping[str, Any], seconds: float = 60, *, moved: Runbook | None = None
) -> str:
    """Register a connector or change it to `source`, and wait until it and its task run. Returns its name.

    Repeating it changes and restarts nothing; a paused one is resumed, a failed one restarted. Raises StackError with
    the head of the trace when it fails, and when another connector already writes the same topics; GuardError when its
    slot and its stored offset do not agree (unless by the runbook `moved`: then it goes on from its slot), a table has
    no replica identity that serves, or its messages would have a key that gives a user's changes no order.
    """
    name, config = read_connector(settings, source)
    registered = connectors(settings)
    _refuse_shared_topics(name, config, registered)
    if settings.secure:
        access.grant_capture(kafka.admin(settings), config["topic.prefix"])
    guard.require_key(settings, name, config, registered.get(name))
    guard.require_replica_identity(settings, name, config)
    try:
        guard.require_slot(settings, name, config)
    except GuardError as refusal:
        if moved is None or refusal.runbook != moved:
            raise
        if name in registered:
            stop_connector(settings, name, seconds)
        guard.move_offset(settings, name, config, moved)
    limit, stopped = time.monotonic() + seconds, False
    if registered.get(name) != {**config, "name": name}:
        if name in registered:
            # A task that runs, or has failed, with the old configuration would be taken for the new one.
            stop_connector(settings, name, seconds)
            stopped = True
        _insist(settings, limit, f"/connectors/{name}/config", config)
    # Right after a change the worker may not say yet that it is stopped.
    if stopped or connector_status(settings, name)["connector"] in ("STOPPED", "PAUSED"):
        _insist(settings, limit, f"/connectors/{name}/resume")
    else:
        _restart_if_failed(settings, name)
    wait_running(settings, name, max(1, limit - time.monotonic()))
    return name


def _restart_if_failed(settings: StackSettings, name: str) -> None:
    if not has_failed(connector_status(settings, name)):
        return
    restart_failed(settings, name)
    limit = time.monotonic() + _RESTART_S
    while has_failed(connector_status(settings, name)) and time.monotonic() < limit:
        time.sleep(0.05)  # it says so for a moment yet


def renew_slot(settings: StackSettings, name: str, config: Mapping[str, Any], seconds: float = 60) -> None:
    """Let a registered connector begin anew: its stored offset and its slot are deleted, and it makes a slot and a
    snapshot of every row. Raises StackError when it fails."""
    limit = time.monotonic() + seconds
    stop_connector(settings, name, seconds)
    postgres.drop_slot(settings, guard.slot_of(config)[0])
    _insist(settings, limit, f"/connectors/{name}/offsets", method="DELETE")
    _insist(settings, limit, f"/connectors/{name}/resume")
    wait_running(settings, name, max(1, limit - time.monotonic()))


def stop_connector(settings: StackSettings, name: str, seconds: float = 60) -> None:
    """End a connector's tasks; it stays registered. Raises StackError when they do not end."""
    limit = time.monotonic() + seconds
    _insist(settings, limit, f"/connectors/{name}/stop")
    while (state := connector_status(settings, name)) and (state["connector"] != "STOPPED" or state["tasks"]):
        if time.monotonic() > limit:
            raise StackError(f"Connector {name} does not stop but is {state}.")
        time.sleep(0.1)


def _insist(
    settings: StackSettings, limit: float, path: str, body: Mapping[str, str] | None = None, method: str = "PUT"
) -> None:
    """Ask again and again until the worker takes it, at the longest until `limit` (monotonic seconds)."""
    while True:
        try:
            _call(settings, method, path, body)
            return
        except _Busy:
            # 409: a rebalance is under way; 404: the worker still starts.
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)


def wait_running(settings: StackSettings, name: str, seconds: float = 60) -> None:
    """Wait until the connector and a task of it are RUNNING. Raises StackError with the head of the trace if not."""
    limit = time.monotonic() + seconds
    while True:
        state = connector_status(settings, name)
        if state["connector"] == "RUNNING" and state["tasks"] and set(state["tasks"]) == {"RUNNING"}:
            return
        if has_failed(state):
            raise StackError(f"Connector {name} failed: {state['trace']}; {explain(settings, 'connect')}")
        if pid_of(settings, "connect") is None and not _answers(settings):
            raise StackError(f"Kafka Connect ended; {explain(settings, 'connect')}")
        if time.monotonic() > limit:
            raise StackError(f"Connector {name} is not RUNNING after {seconds:.0f} s but {state}.")
        time.sleep(0.1)


def has_failed(state: Mapping[str, Any]) -> bool:
    """Whether the connector or a task of it has failed, by what `connector_status` says."""
    return "FAILED" in (state["connector"], *state["tasks"])


def _answers(settings: StackSettings) -> bool:
    try:
        _call(settings, "GET", "/", timeout=2)
    except StackError:
        return False
    return True


def connector_status(settings: StackSettings, name: str) -> dict[str, Any]:
    """{"connector": state, "tasks": [states], "trace": head of the first failure's trace or None}.

    The state is UNREGISTERED for an unknown name.
    """
    try:
        found = _call(settings, "GET", f"/connectors/{name}/status")
    except _Busy:
        return {"connector": "UNREGISTERED", "tasks": [], "trace": None}
    traces = [part["trace"] for part in (found["connector"], *found["tasks"]) if part.get("trace")]
    return {
        "connector": found["connector"]["state"],
        "tasks": [task["state"] for task in found["tasks"]],
        "trace": _head(traces[0]) if traces else None,
    }


def _head(trace: str) -> str:
    """The first line of a trace and its last cause, in one line of at most 600 characters."""
    lines = trace.splitlines()
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return " ... ".join([lines[0].strip(), *causes[-1:]])[:600]


def restart_failed(settings: StackSettings, name: str) -> None:
    """Start the connector and its tasks again where they have failed. Does not wait for them."""
    path = f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true"
    _insist(settings, time.monotonic() + _RESTART_S, path, method="POST")


def delete_connector(settings: StackSettings, name: str) -> bool:
    """Delete a connector; its slot and offsets stay. Returns whether it was registered."""
    try:
        _call(settings, "DELETE", f"/connectors/{name}")
    except _Busy:
        return False
    return True


def connectors(settings: StackSettings) -> dict[str, dict[str, str]]:
    """Configurations of the registered connectors, by name."""
    found = _call(settings, "GET", "/connectors?expand=info")
    return {name: each["info"]["config"] for name, each in found.items()}


def versions(settings: StackSettings) -> dict[str, str]:
    """Versions of the running worker (kafka) and of its PostgreSQL connector (debezium)."""
    plugins = _call(settings, "GET", "/connector-plugins")
    found = {each["class"].rpartition(".")[2]: str(each["version"]) for each in plugins}
    return {"kafka": str(_call(settings, "GET", "/")["version"]), "debezium": found.get("PostgresConnector", "none")}


def _refuse_shared_topics(name: str, config: Mapping[str, str], registered: Mapping[str, Mapping[str, str]]) -> None:
    prefix = config.get("topic.prefix")
    for other, theirs in registered.items():
        if other != name and theirs.get("topic.prefix") == prefix:
            raise StackError(
                f"Connector {name} is refused: connector {other} already writes the topics {prefix}.*, and every "
                f"change would stand there twice. Delete {other} first, or set another topic.prefix."
            )


class _Busy(StackError):
    """404 or 409: unknown, or not now."""


def _call(
    settings: StackSettings, method: str, path: str, body: Mapping[str, str] | None = None, timeout: float = 15
) -> Any:
    request = urllib.request.Request(
        settings.connect_url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **access.rest_headers(settings)},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        said = error.read().decode("utf-8", "replace")
        kind = _Busy if error.code in (404, 409) else StackError
        raise kind(f"Kafka Connect answers {method} {path} with {error.code}: {' '.join(said.split())[:600]}") from None
    except (OSError, ValueError) as error:
        raise StackError(f"Kafka Connect does not answer at {settings.connect_url}: {error}") from None
