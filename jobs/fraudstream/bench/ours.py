"""Our own system as the benchmark runs it: detect_fraud with conf/ as it is, but for its topics and its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fraudstream import documents
from fraudstream.config import RULES_FILE, write_variant
from fraudstream.stack.settings import REPOSITORY

ADVICE = "put the file back"
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
SPARK_DEFAULTS = REPOSITORY / "conf" / "spark-defaults.conf"
_OF_EXECUTORS = "spark.executor.extraJavaOptions"
_SPARK_CLUSTER = REPOSITORY / "conf" / "spark-cluster.conf"


def write_pipeline(path: Path, topic: str, alerts: str, changes: Mapping[str, Any]) -> None:
    """conf/pipeline.yaml with other topics. `changes` are values of other keys ("kafka.source.minPartitions": "8")."""
    write_variant(path, {"kafka.transactions_topic": topic, "kafka.alerts_topic": alerts, **changes})


def rule_of(query: str) -> str:
    """The rule that a query judges by: anomaly_2 is anomaly once more."""
    return query.rstrip("_0123456789")


def write_rules(path: Path, rules: Sequence[str], parameters: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """conf/rules.yaml with these rules alone (rule_of), all of them live. `parameters` of one are put over those
    there."""
    found = documents.load(RULES_FILE, ADVICE)
    entries = {name: {**found[rule_of(name)], "rule": rule_of(name), "status": "live"} for name in rules}
    for name, entry in entries.items():
        entry["parameters"] = {**entry.get("parameters", {}), **(parameters or {}).get(name, {})}
    path.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")


def java_options(file: Path, *without: str, name: str = JAVA_OPTIONS) -> str:
    """The Java options `name` in a file of Spark settings, but for those that begin with one of these."""
    lines = (line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines())
    given = next(line[1] for line in lines if line and line[0] == name)
    return " ".join(option for option in given.split() if not option.startswith(without))


def executor_settings() -> dict[str, str]:
    """Spark's settings for executors of a local cluster that has 2048 MiB for each: all of that, and the Java options
    of conf/spark-cluster.conf."""
    return {"spark.executor.memory": "2g", _OF_EXECUTORS: java_options(_SPARK_CLUSTER, name=_OF_EXECUTORS)}


def linked_spark(folder: Path) -> Path:
    """A SPARK_HOME in `folder` that is made of links. The executors of a local cluster work in folders below
    SPARK_HOME, whatever else is set, and would leave them beside Spark itself."""
    import pyspark

    linked = folder / "spark"
    linked.mkdir()
    for path in Path(pyspark.__file__).parent.iterdir():
        if path.name != "work":
            (linked / path.name).symlink_to(path)
    return linked
