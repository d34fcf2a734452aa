from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.config import PIPELINE_FILE, load_pipeline
from fraudstream.errors import ConfigError

ENVIRONMENT = {"FRAUDSTREAM_HOME": "/data", "KAFKA_PORT": "9092"}

NONE = "shared_queries: {} "


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
        ("largest_batch: 800000", "largest_batch: 0", "kafka.largest_batch is 0; it must lie between 1 and 10000000"),
        ("buckets: 2", "buckets: 0", "state.buckets is 0; it must lie between 1 and 65536"),
        ("rules: 0 seconds", "rules: soon", "triggers.rules is 'soon'; write it like '5 seconds'"),
        ("keep: 1 hour", "keep: 1h", "upkeep.keep is '1h'; write it like '5 seconds'"),
        ("keep: 1 hour", "keep: 43201 minutes", "upkeep.keep is '43201 minutes'; it may be 720 hours at most"),
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
        (NONE, "shared_queries: {Both: [a, b]}", "shared_queries: 'Both' is no query name; use a-z, 0-9 and _"),
        (NONE, "shared_queries: {archive_alerts: [a, b]}", "archive_alerts is the name of another query"),
        (NONE, "shared_queries: {both: [a]}", "shared_queries.both is a list; it must be a list of two rules or more"),
        (NONE, "shared_queries: {both: [a, 7]}", "shared_queries.both: 7 is no rule name"),
        (NONE, "shared_queries: {both: [a, mirror_transactions]}", "both: mirror_transactions is the name of another"),
        (NONE, "shared_queries: {both: a}", "shared_queries.both is 'a'; it must be a list of two"),
        (NONE, "shared_queries: {one: [a, b], two: [c, a]}", "shared_queries.two names a as one does; a rule belongs"),
        (NONE, "shared_queries: {one: [a, a]}", "shared_queries.one names a as one does"),
        (NONE, "shared_queries: {one: [a, one]}", "shared_queries.one names one which is a query"),
        (NONE, "shared_queries: [a, b]", "shared_queries is .*; it must be a Mapping"),
    ],
)
def test_a_wrong_value_is_refused_naming_file_and_key(tmp_path: Path, old: str, new: str, message: str):
    path = changed(tmp_path, old, new)
    with pytest.raises(ConfigError, match=message) as error:
        load_pipeline(path, ENVIRONMENT)
    assert str(path) in str(error.value)


def test_a_shared_query_has_the_checkpoint_of_its_rules(tmp_path: Path):
    pipeline = load_pipeline(changed(tmp_path, NONE, "shared_queries: {windows: [anomaly, velocity]}"), ENVIRONMENT)
    names = ("anomaly", "velocity", "windows", "high_amount")
    assert [pipeline.checkpoint(name).rsplit("/", 1)[1] for name in names] == ["windows"] * 3 + ["high_amount"]
    assert [*pipeline.judged_by("windows")] == ["anomaly", "velocity"]
    assert [*pipeline.judged_by("high_amount")] == ["high_amount"]


@pytest.mark.parametrize("uri", ["file:/data", "file:///data", "FILE://localhost/data", "/data"])
def test_a_uri_of_a_file_system_is_a_path(tmp_path: Path, uri: str):
    pipeline = load_pipeline(changed(tmp_path, "lake: ${FRAUDSTREAM_HOME}", f"lake: {uri}"), ENVIRONMENT)
    assert pipeline.table("alerts") == "/data/lake/alerts"


def test_an_absent_file_is_one_clear_line(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot be read .*; name another file with --config"):
        load_pipeline(tmp_path / "none.yaml", ENVIRONMENT)
