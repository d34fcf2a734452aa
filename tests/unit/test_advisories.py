"""What is shipped is pinned with checksums, and holds no hole that is known and not answered for."""

from __future__ import annotations

import copy
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fixtures.advisories import faults, is_fixed, jar, locked_packages, shipped_jars, version
from fraudstream import documents
from fraudstream.stack.artifacts import jars, read_lock
from fraudstream.stack.settings import REPOSITORY

ADVISORIES: dict[str, list[dict[str, Any]]] = documents.load(REPOSITORY / "conf" / "advisories.yaml", "put it back")
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
PACKAGES = [(name, number, "requirements.lock") for name, (number, _) in locked_packages(LOCK).items()]


@pytest.fixture(scope="module")
def shipped() -> list[tuple[str, str, str]]:
    return shipped_jars()


def test_no_jar_has_a_hole_that_is_not_answered_for(shipped):
    assert faults(ADVISORIES["jars"], shipped) == []


def test_no_package_has_a_hole_that_is_not_answered_for():
    assert faults(ADVISORIES["packages"], PACKAGES) == []


def test_an_entry_names_versions_an_advisory_and_why():
    for each in (*ADVISORIES["jars"], *ADVISORIES["packages"]):
        assert each.keys() - {"open"} == {"name", "fixed_in", "id", "why"}, each
        assert each["fixed_in"], each
        assert all(isinstance(number, str) and re.match(r"\d+\.\d+", number) for number in each["fixed_in"]), each
        assert re.fullmatch(r"CVE-20\d\d-\d{4,6}|GHSA(-[0-9a-z]{4}){3}", each["id"]), each
    named = [(each["name"], each["id"]) for entries in ADVISORIES.values() for each in entries]
    assert len(set(named)) == len(named)


def test_a_later_fix_a_name_that_is_not_shipped_and_a_needless_excuse_are_told(shipped):
    for kind, things in (("jars", shipped), ("packages", PACKAGES)):
        for place, each in enumerate(ADVISORIES[kind]):
            later, absent, excused = (copy.deepcopy(ADVISORIES[kind]) for _ in range(3))
            later[place]["fixed_in"] = ["9999.0"]
            absent[place]["name"] = "org.example:nothing"
            if "open" in each:
                del excused[place]["open"]
                assert f"{each['id']} ({each['why']}): " in faults(excused, things)[0]
            else:
                excused[place]["open"] = "no reason"
                assert faults(excused, things)[0].endswith("closed by now; take `open` away.")
                assert faults(later, things)[0].endswith("; fixed in 9999.0.")
            assert faults(absent, things)[0].endswith("nothing of that name is shipped; take it from the list.")


def test_every_jar_is_pinned_with_a_checksum():
    assert len(read_lock()) > 100
    assert [each for each in read_lock() if not re.fullmatch("[0-9a-f]{64}", each.sha256)] == []


def test_every_package_is_pinned_with_a_checksum_and_installed_by_it():
    pinned = locked_packages(LOCK)
    assert len(pinned) == len(re.findall("==", LOCK)) > 80
    assert [name for name, (_, hashes) in pinned.items() if not hashes] == []
    assert "--require-hashes -r requirements.lock" in (REPOSITORY / "Makefile").read_text()


def test_a_package_without_a_checksum_is_seen():
    assert locked_packages("a==1 \\\n    --hash=sha256:" + "0" * 64 + "\nb==2 \\\n") == {"a": ("1", 1), "b": ("2", 0)}


def test_debezium_brings_the_driver_that_spark_has(shipped):
    drivers = {(number, place) for name, number, place in shipped if name == "postgresql"}
    assert drivers == {("42.7.13", "spark"), ("42.7.13", "Debezium's plugin")}


def test_the_plugin_holds_no_jar_that_nobody_has_looked_at():
    with tarfile.open(jars("debezium")[0]) as tar:
        inside = {jar(Path(name).name)[0] for name in tar.getnames() if name.endswith(".jar")}
    assert inside == {
        "debezium-api", "debezium-config", "debezium-connect-plugins", "debezium-connector-common",
        "debezium-connector-postgres", "debezium-openlineage-api", "debezium-util", "postgresql", "protobuf-java",
        "sketches-java",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("3.6.3.Final", "3.7.0.Final"), ("3.7.0.Beta2", "3.7.0.Final"), ("3.7.0.CR1", "3.7.0"), ("42.7.9", "42.7.11"),
        ("1.1.10.3", "1.1.10.4"), ("2.9", "2.21"), ("4.0.0-rc1", "4.0.0"), ("1.5.6-9", "1.5.6-10"), ("2.21", "2.21.1"),
        ("4.2.12.Final", "4.2.13.Final"), ("2025.9.1", "2026.10.18"),
    ],
)  # fmt: skip
def test_versions_are_in_order(earlier: str, later: str):
    assert version(earlier) < version(later)


@pytest.mark.parametrize(("one", "same"), [("3.7.0.Final", "3.7.0"), ("2.21", "2.21.0"), ("33.6.0-jre", "33.6.0")])
def test_a_version_has_several_names(one: str, same: str):
    assert version(one) == version(same)


@pytest.mark.parametrize(
    ("number", "fixed"),
    [("3.9.1", False), ("3.9.2", True), ("4.0.0", False), ("4.0.2", True), ("4.1.1", False), ("4.1.2", True),
     ("4.3.1", True), ("3.8.9", False), ("3.10.0", False)],
)  # fmt: skip
def test_a_fix_counts_in_its_own_line_of_releases(number: str, fixed: bool):
    assert is_fixed(number, ["3.9.2", "4.0.2", "4.1.2"]) is fixed


@pytest.mark.parametrize(
    ("filename", "name", "number"),
    [
        ("kafka_2.13-4.3.1.jar", "kafka_2.13", "4.3.1"),
        ("debezium-util-3.7.0.Final.jar", "debezium-util", "3.7.0.Final"),
        ("javassist-3.30.2-GA.jar", "javassist", "3.30.2-GA"),
        ("zstd-jni-1.5.6-10.jar", "zstd-jni", "1.5.6-10"),
        ("log4j-1.2-api-2.25.4.jar", "log4j-1.2-api", "2.25.4"),
        ("netty-transport-native-epoll-4.2.13.Final-linux-x86_64.jar", "netty-transport-native-epoll", "4.2.13.Final"),
        ("spark-sql-kafka-0-10_2.13-4.2.0.jar", "spark-sql-kafka-0-10_2.13", "4.2.0"),
        ("guava-33.6.0-jre.jar", "guava", "33.6.0-jre"),
    ],
)
def test_a_jars_name_tells_its_version(filename: str, name: str, number: str):
    assert jar(filename) == (name, number)
