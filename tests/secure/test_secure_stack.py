"""The secure stack lets in who has a password, to what is that one's work, and tells no password to anybody."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fraudstream.errors import StackError
from fraudstream.stack import access, connect, lifecycle
from fraudstream.stack.processes import COMPONENTS, process_of
from fraudstream.stack.settings import StackSettings
from fraudstream.streams import queries
from stack.world import World

pytestmark = pytest.mark.stack


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


def test_the_pipeline_is_exact_when_everything_is_closed(ran: World):
    # 150 of the 600 rows are above 4500, 200 above 4000, each behind many others.
    found = ran.assert_exact()
    assert (found["high_amount"], found["velocity"]) == (150, 200)


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


def test_a_connector_cannot_name_a_login_of_its_own(ran: World):
    config = connect.connectors(ran.settings)[ran.connector["name"]]
    path = f"/connector-plugins/{config['connector.class']}/config/validate"
    hostile = {"producer.override.sasl.jaas.config": "com.sun.security.auth.module.JndiLoginModule required;"}
    code, said = ask(ran.settings, path, access.rest_headers(ran.settings), {**config, **hostile})
    errors = {each["value"]["name"]: each["value"]["errors"] for each in json.loads(said)["configs"]}
    assert code == 200
    assert errors["producer.override.sasl.jaas.config"], "the policy refuses it"


def test_everything_listens_on_the_loopback_interface_only(ran: World):
    for component in COMPONENTS:
        process = process_of(ran.settings, component)
        assert process is not None
        listening = [each.laddr.ip for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        assert listening
        assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}, component


def test_secrets_are_readable_by_their_owner_only(ran: World):
    folder = ran.settings.folder
    for private in (folder / "secrets", folder / "certificates", folder / "clients"):
        assert private.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in private.iterdir())
    logs = [*(folder / "kafka" / "__cluster_metadata-0").iterdir(), folder / "kafka" / "bootstrap.checkpoint"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in logs), "they hold what passwords are checked with"


def test_data_of_one_profile_is_not_started_with_the_other(ran: World, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(StackError, match="STACK_PROFILE=secure"):
        lifecycle.up(replace(ran.settings, secure=False), connector=None)
