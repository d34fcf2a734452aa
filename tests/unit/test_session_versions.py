"""Which jars and packages are refused beside the lock."""

from __future__ import annotations

import pytest

from fraudstream.session import differences
from fraudstream.stack.artifacts import Artifact

LOCKED = [
    Artifact("spark", f"g:{name}:{version}", "0" * 64)
    for name, version in (("spark-sql-kafka-0-10_2.13", "4.2.0"), ("delta-spark_4.2_2.13", "4.4.0"), ("lz4", "1.8"))
]
JARS = ["spark-sql-kafka-0-10_2.13-4.2.0.jar", "delta-spark_4.2_2.13-4.4.0.jar", "lz4-1.8.jar"]
PACKAGES = {"pyspark": "4.2.0", "delta-spark": "4.4.0"}


def test_the_locked_versions_and_jars_of_a_users_own_pass():
    assert differences([*JARS, "my-udf-1.0.jar", "lz4-java-1.7.jar"], PACKAGES, LOCKED) == []


def test_a_jar_that_the_cluster_has_itself_need_not_be_loaded():
    assert differences(JARS[:1], PACKAGES, LOCKED) == []


@pytest.mark.parametrize(
    ("added", "packages", "said"),
    [
        (
            "delta-spark_4.2_2.13-4.3.0.jar",
            {},
            "delta-spark_4.2_2.13-4.3.0.jar instead of delta-spark_4.2_2.13-4.4.0.jar",
        ),
        ("lz4-1.9.jar", {}, "lz4-1.9.jar instead of lz4-1.8.jar"),
        ("other.jar", {"pyspark": "4.1.0"}, "pyspark 4.1.0 beside spark-sql-kafka-0-10_2.13 4.2.0"),
        ("other.jar", {"delta-spark": "4.4.1"}, "delta-spark 4.4.1 beside delta-spark_4.2_2.13 4.4.0"),
    ],
)
def test_another_version_is_named(added, packages, said):
    (found,) = differences([*JARS, added], {**PACKAGES, **packages}, LOCKED)
    assert said in found
