"""What a file of Kafka's client properties means to clients of Java and of Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.clients import librdkafka, read_properties, spark_options
from fraudstream.config import load_pipeline
from fraudstream.errors import ConfigError

LOGIN = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="{}" password="{}";'


def written(folder: Path, text: str) -> Path:
    path = folder / "client.properties"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_properties_becomes_options_of_both_kinds_of_clients(tmp_path: Path):
    (tmp_path / "secret").write_text("password=p=w:d!\n")
    file = written(
        tmp_path,
        "# a comment\n\nsecurity.protocol=SASL_SSL\nsasl.mechanism = SCRAM-SHA-512\n"
        f"sasl.jaas.config={LOGIN.format('spark', f'${{file:{tmp_path}/secret:password}}')}\n"
        "ssl.truststore.type=PEM\nssl.truststore.location=/ca.pem\nconfig.providers=file\n"
        "config.providers.file.class=FileConfigProvider\n",
    )
    options = spark_options(read_properties(file))
    assert options["kafka.security.protocol"] == "SASL_SSL"
    assert "p=w:d!" not in str(options), "Spark is given the reference and reads the password itself"
    assert librdkafka(options) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "spark",
        "sasl.password": "p=w:d!",
        "ssl.ca.location": "/ca.pem",
    }


def test_a_client_certificate_in_one_file_is_key_and_certificate():
    found = librdkafka({"kafka.ssl.keystore.location": "/me.pem", "kafka.ssl.keystore.type": "PEM", "subscribe": "x"})
    assert found == {"ssl.certificate.location": "/me.pem", "ssl.key.location": "/me.pem"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kafka.ssl.truststore.location": "/trust.jks"}, "PEM"),
        ({"kafka.sasl.jaas.config": "Module required;"}, "username"),
        ({"kafka.sasl.jaas.config": LOGIN.format("a", "${file:/nowhere/x:password}")}, "/nowhere/x"),
    ],
)
def test_what_python_clients_cannot_do_is_said(options, said):
    with pytest.raises(ConfigError, match=said):
        librdkafka(options)


@pytest.mark.parametrize("text", ["security.protocol", "=SASL_SSL", "a=one\\\nb=two"])
def test_a_line_that_is_no_property_is_named(tmp_path: Path, text: str):
    with pytest.raises(ConfigError, match="line 1"):
        read_properties(written(tmp_path, text))


def test_the_pipelines_own_options_win_over_its_file(tmp_path: Path):
    file = written(tmp_path, "security.protocol=SSL\nclient.id=a\n")
    config = tmp_path / "pipeline.yaml"
    text = Path("conf/pipeline.yaml").read_text(encoding="utf-8")
    config.write_text(text.replace("options: {}", "options: {kafka.client.id: b}"), encoding="utf-8")
    found = load_pipeline(config, {"KAFKA_CLIENT_PROPERTIES": str(file)})
    assert found.kafka.client_options == {"kafka.security.protocol": "SSL", "kafka.client.id": "b"}


def test_only_a_secure_stack_has_properties_by_itself(tmp_path: Path):
    home = {"FRAUDSTREAM_HOME": str(tmp_path)}
    assert load_pipeline(environment=home).kafka.client_options == {}
    secure = load_pipeline(environment={**home, "STACK_PROFILE": "secure"}, principal="admin").kafka
    assert secure.client_properties == str(tmp_path / "stack" / "clients" / "admin.properties")
    with pytest.raises(ConfigError, match="make up"):
        _ = secure.client_options
    with pytest.raises(ConfigError, match="STACK_PROFILE is 'safe'"):
        load_pipeline(environment={**home, "STACK_PROFILE": "safe"})


def test_a_variable_stays_one_value_whatever_it_holds(tmp_path: Path):
    config = tmp_path / "pipeline.yaml"
    text = Path("conf/pipeline.yaml").read_text(encoding="utf-8")
    config.write_text(text.replace("alerts_topic: fraud.alerts", "alerts_topic: ${TOPIC}"), encoding="utf-8")
    hostile = 'x"\nlake: /elsewhere\n#'
    found = load_pipeline(config, {"TOPIC": hostile, "FRAUDSTREAM_HOME": str(tmp_path)})
    assert (found.kafka.alerts_topic, found.lake) == (hostile, str(tmp_path / "lake"))
