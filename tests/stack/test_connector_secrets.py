"""Connect's REST interface tells no password but those that its connectors and its worker need."""

from __future__ import annotations

import json

import pytest

from fixtures.leaks import leaks, passwords
from fraudstream.stack import connect
from fraudstream.stack.settings import StackSettings
from stack.world import OURS

pytestmark = pytest.mark.stack


def answer(settings: StackSettings, name: str) -> bytes:
    """What Connect says to a connector that refers to the password of that name where it shall say its user."""
    _, config = connect.read_connector(settings, OURS)
    reference = f"${{file:{settings.folder}/secrets/{name}.properties:password}}"
    path = f"/connector-plugins/{config['connector.class']}/config/validate"
    body = {**config, "name": "mine", "database.user": reference}
    return json.dumps(connect._call(settings, "PUT", path, body, timeout=60)).encode()


def test_whoever_reaches_connect_learns_no_password_but_those_that_it_works_with(stack: StackSettings):
    secrets = passwords(stack.folder / "secrets")
    assert secrets.keys() >= {"postgres", "capture", "batch", "app"}
    told = {found for name in secrets for found, _ in leaks(secrets, [("answer", answer(stack, name))])}
    assert told == ({"capture", "kafka-connect"} if stack.secure else {"capture"})
