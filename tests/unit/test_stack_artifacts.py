from __future__ import annotations

import hashlib
import io
import re
import tarfile
from pathlib import Path

import pyspark
import pytest

from fraudstream.errors import ConfigError, StackError
from fraudstream.stack import artifacts
from fraudstream.stack.artifacts import Artifact, jars, read_lock, require_locked
from fraudstream.stack.settings import load_settings

CONTENT = b"a jar"
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def fetched(tmp_path, monkeypatch) -> list[str]:
    """An empty cache and a lock of one jar; the coordinates that were fetched. What is fetched is CONTENT."""
    calls: list[str] = []

    def fetch(artifact: Artifact, scratch: Path) -> Path:
        calls.append(artifact.coordinate)
        path = scratch / artifact.filename
        path.write_bytes(CONTENT)
        return path

    lock = tmp_path / "jars.lock"
    lock.write_text(f"# comment\nspark org.example:thing:1.0 {CHECKSUM}\n")
    monkeypatch.setenv("FRAUDSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(artifacts, "read_lock", lambda: read_lock(lock))
    monkeypatch.setattr(artifacts, "fetch", fetch)
    return calls


def test_a_jar_is_fetched_once_and_then_taken_from_the_cache(fetched):
    (path,) = jars("spark")
    assert path.read_bytes() == CONTENT
    assert jars("spark") == [path]
    assert fetched == ["org.example:thing:1.0"]


def test_a_jar_damaged_in_the_cache_is_fetched_anew(fetched, capsys):
    (path,) = jars("spark")
    path.write_bytes(b"b jar")
    assert jars("spark")[0].read_bytes() == CONTENT
    assert len(fetched) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_fetched_file_with_another_checksum_is_refused_and_not_kept(fetched, monkeypatch, tmp_path):
    monkeypatch.setattr("test_stack_artifacts.CONTENT", b"evil")
    with pytest.raises(StackError, match=r"org\.example:thing:1\.0: the file fetched has SHA-256 .* It is not used"):
        jars("spark")
    assert [each for each in (tmp_path / "cache").rglob("*") if each.is_file()] == []


def test_without_network_the_missing_file_the_cache_and_the_remedy_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAUDSTREAM_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: nothing listens
    lock = tmp_path / "jars.lock"
    lock.write_text(f"spark org.example:thing:1.0 {CHECKSUM}\n")
    monkeypatch.setattr(artifacts, "read_lock", lambda: read_lock(lock))
    with pytest.raises(StackError, match=r"thing:1\.0 is neither in .*cache nor to be had .* connect to the network"):
        jars("spark")


@pytest.mark.parametrize("line", ["spark a:b:1", "other a:b:1 " + "0" * 64, "spark a:b " + "0" * 64, "spark a:b:1 00"])
def test_a_damaged_lock_file_is_refused_by_line(tmp_path, line):
    path = tmp_path / "jars.lock"
    path.write_text(f"# head\n{line}\n")
    with pytest.raises(ConfigError, match="line 2: not `group coordinate sha256`"):
        read_lock(path)


def test_an_unknown_group_is_refused():
    with pytest.raises(ConfigError, match=r"group 'flink' in .*; the groups are spark, kafka, debezium"):
        jars("flink")


@pytest.mark.parametrize(
    ("coordinate", "filename"),
    [
        ("org.apache.kafka:kafka_2.13:4.3.1", "kafka_2.13-4.3.1.jar"),
        ("org.example:list:pom:1", "list-1.pom"),
        ("org.example:thing:tar.gz:plugin:1.2.Final", "thing-1.2.Final-plugin.tar.gz"),
    ],
)
def test_a_file_is_named_as_in_a_maven_repository(coordinate, filename):
    assert Artifact("kafka", coordinate, "").filename == filename


def test_the_lock_file_holds_what_the_versions_ask_for():
    require_locked(load_settings(environment={}).versions)


def test_a_version_that_is_not_locked_is_refused():
    versions = load_settings(environment={"KAFKA_VERSION": "9.9.9"}).versions
    with pytest.raises(ConfigError, match=r"kafka_2\.13:9\.9\.9, which .*jars\.lock does not hold"):
        require_locked(versions)


def test_no_jar_that_pyspark_ships_is_locked_for_spark():
    shipped = {re.sub(r"-\d.*", "", path.name) for path in (Path(pyspark.__file__).parent / "jars").glob("*.jar")}
    locked = {artifact.parts[1] for artifact in read_lock() if artifact.group == "spark"}
    assert shipped & locked == set()
    assert {"spark-sql-kafka-0-10_2.13", "delta-spark_4.2_2.13", "kafka-clients", "postgresql"} <= locked


def test_the_plugin_folder_appears_whole_or_not_at_all(fetched, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("plugin/one.jar"), io.BytesIO())
    archive = tmp_path / "cache" / "plug-1.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(buffer.getvalue()[:-20])
    monkeypatch.setattr(artifacts, "jars", lambda _: [archive])
    with pytest.raises((EOFError, tarfile.TarError)):
        artifacts.debezium_plugin()
    assert list(archive.parent.iterdir()) == [archive]
    archive.write_bytes(buffer.getvalue())
    assert (artifacts.debezium_plugin() / "plugin" / "one.jar").exists()
