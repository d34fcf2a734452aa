from __future__ import annotations

import stat

import pytest

from fraudstream.errors import ConfigError, StackError
from fraudstream.stack import secrets
from fraudstream.stack.settings import PORTS, free_ports, load_environment, load_settings


@pytest.fixture(autouse=True)
def _no_passwords_from_outside(monkeypatch):
    for role in secrets.ROLES:
        monkeypatch.delenv(secrets.variable(role), raising=False)


def test_the_environment_wins_over_the_file_and_arguments_win_over_both(tmp_path):
    asked = load_settings(tmp_path, {"KAFKA_PORT": 30001}, {"KAFKA_PORT": "30002", "CONNECT_PORT": "30003"})
    assert (asked.kafka_port, asked.connect_port) == (30001, 30003)
    assert str(asked.postgres_port) == load_environment()["POSTGRES_PORT"]
    assert (asked.bootstrap, asked.connect_url) == ("127.0.0.1:30001", "http://localhost:30003")


def test_home_is_the_argument_or_the_variable_or_run_in_the_repository(tmp_path):
    assert load_settings(tmp_path, environment={"FRAUDSTREAM_HOME": "/elsewhere"}).home == tmp_path
    assert str(load_settings(environment={"FRAUDSTREAM_HOME": "/elsewhere"}).home) == "/elsewhere"
    assert load_settings(environment={}).home.name == "run"


@pytest.mark.parametrize("value", ["", "kafka", "80", "65536", "-1", "1e4", "٣٠٠٠"])
def test_a_port_that_is_none_is_refused_by_name(value):
    with pytest.raises(ConfigError, match=r"KAFKA_PORT is .* from 1024 to 65535"):
        load_settings(environment={"KAFKA_PORT": value})


def test_two_components_on_one_port_are_refused():
    with pytest.raises(ConfigError, match="KAFKA_PORT and CONNECT_PORT are both 20000"):
        load_settings(environment={"KAFKA_PORT": "20000", "CONNECT_PORT": "20000"})


def test_a_line_of_the_file_that_assigns_nothing_is_named(tmp_path):
    path = tmp_path / "env"
    path.write_text("# comment\n\nKAFKA_PORT=1\nnonsense\n")
    with pytest.raises(ConfigError, match="line 4: 'nonsense' is not NAME=value"):
        load_environment(path)


def test_free_ports_differ_and_serve_as_settings(tmp_path):
    found = free_ports()
    assert set(found) == set(PORTS)
    assert len(set(found.values())) == 4
    assert load_settings(tmp_path, found).connect_port == found["CONNECT_PORT"]


def test_passwords_are_made_once_and_only_their_owner_reads_them(tmp_path):
    folder = tmp_path / "secrets"
    first, second = secrets.ensure(folder), secrets.ensure(folder)
    assert first == second
    assert len(set(first.values())) == 4
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_password_of_the_environment_wins_and_reaches_the_file_that_connect_reads(tmp_path, monkeypatch):
    secrets.ensure(tmp_path)
    monkeypatch.setenv("FRAUDSTREAM_CAPTURE_PASSWORD", "from-outside")
    assert secrets.ensure(tmp_path)["capture"] == "from-outside"
    assert (tmp_path / "capture.properties").read_text() == "password=from-outside\n"
    assert "password='from-outside'" in load_settings(tmp_path).dsn("capture")


@pytest.mark.parametrize("value", ["", "two words", "back\\slash", "it's", "ünicode", "x" * 129])
def test_a_password_that_would_need_quoting_somewhere_is_refused(tmp_path, monkeypatch, value):
    monkeypatch.setenv("FRAUDSTREAM_APP_PASSWORD", value)
    with pytest.raises(ConfigError, match="FRAUDSTREAM_APP_PASSWORD is empty, too long or has a character"):
        secrets.password(tmp_path, "app")


def test_a_dsn_before_the_first_start_says_what_to_do(tmp_path):
    with pytest.raises(StackError, match=r"was never started here. Run `make up`"):
        load_settings(tmp_path).dsn("app")


def test_an_unknown_role_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="'root'; the roles are postgres, capture, batch, app"):
        load_settings(tmp_path).dsn("root")
