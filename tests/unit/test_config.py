from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.config import PIPELINE_FILE, load_pipeline
from fraudstream.errors import ConfigError

ENVIRONMENT = {"FRAUDSTREAM_HOME": "/data", "KAFKA_PORT": "9092"}


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = PIPELINE_FILE.read_text()
    assert old in text
    path = tmp_path / "pipeline.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_the_shipped_file_is_read_with_the_environments_values():
    pipeline = load_pipeline(environment=ENVIRONMENT)
    assert pipeline.kafka.bootstrap_servers == "localhost:9092"
    assert pipeline.table("alerts") == "/data/lake/alerts"
    assert pipeline.checkpoint("anomaly") == "/data/checkpoints/anomaly"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("buckets: 2", "bukets: 8", r"unknown key state.bukets. Did you mean state.buckets\?"),
        ("buckets: 2", "buckets: many", "state.buckets is 'many'; it must be a int"),
        ("buckets: 2", "buckets: 7", r"state.buckets is 7; it must be a multiple of state.partitions \(2\)"),
        ("buckets: 2", "buckets: 0", "state.buckets is 0; it must lie between 1 and 65536"),
        ("rules: 0 seconds", "rules: soon", "triggers.rules is 'soon'; write it like '5 seconds'"),
        ("keep: 1 hour", "keep: 1h", "upkeep.keep is '1h'; write it like '5 seconds'"),
        ("max_message_bytes: 262144", "", "max_message_bytes is missing"),
        (
            "lake: ${FRAUDSTREAM_HOME}",
            "lake: ${NOWHERE}",
            "NOWHERE is not set; set it in the environment or docker/.env",
        ),
        ("lake: ${FRAUDSTREAM_HOME}/lake", "lake: s3a://b/lake", r"lake is 's3a://b/lake'; it must be a path that all"),
        (
            "checkpoints: ${FRAUDSTREAM_HOME}",
            "checkpoints: hdfs:/x",
            "checkpoints is 'hdfs:/x/checkpoints'; it must be",
        ),
        ("progress: ${FRAUDSTREAM_HOME}", "progress: file://host/x", "progress is 'file://host/x/progress'; it must"),
        ("kafka:", "kafka: [", "not valid YAML"),
    ],
)
def test_a_wrong_value_is_refused_naming_file_and_key(tmp_path: Path, old: str, new: str, message: str):
    path = changed(tmp_path, old, new)
    with pytest.raises(ConfigError, match=message) as error:
        load_pipeline(path, ENVIRONMENT)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("uri", ["file:/data", "file:///data", "FILE://localhost/data", "/data"])
def test_a_uri_of_a_file_system_is_a_path(tmp_path: Path, uri: str):
    pipeline = load_pipeline(changed(tmp_path, "lake: ${FRAUDSTREAM_HOME}", f"lake: {uri}"), ENVIRONMENT)
    assert pipeline.table("alerts") == "/data/lake/alerts"


def test_an_absent_file_is_one_clear_line(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot be read .*; name another file with --config"):
        load_pipeline(tmp_path / "none.yaml", ENVIRONMENT)
