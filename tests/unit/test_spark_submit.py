"""spark-submit.sh: the command that a job becomes, here and on a cluster."""

from __future__ import annotations

import os
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest

from fraudstream.session import local_submit_arguments
from fraudstream.stack.artifacts import jars
from fraudstream.stack.settings import REPOSITORY


def dry_run(*words: str, **environment: str) -> list[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "FRAUDSTREAM_CACHE") if name in os.environ}
    done = subprocess.run(
        [REPOSITORY / "spark-submit.sh", "--dry-run", *words],
        env={**kept, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return shlex.split(done.stdout)


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


@pytest.fixture(scope="module")
def on_cluster(tmp_path_factory) -> list[str]:
    return dry_run(
        "detect_fraud", "--rules", "anomaly",
        MASTER="spark://x:7077", SPARK_SUBMIT_ARGS="--conf a=b", TMPDIR=str(tmp_path_factory.mktemp("archive")),
    )  # fmt: skip


def test_here_a_job_is_a_plain_python_process():
    command = dry_run("detect_fraud", "--rules", "anomaly")
    assert command[1:] == [str(REPOSITORY / "jobs" / "detect_fraud.py"), "--rules", "anomaly"]


def test_on_a_cluster_the_locked_jars_go_with_the_job(on_cluster):
    assert on_cluster[0].endswith("/pyspark/bin/spark-submit")
    assert option(on_cluster, "--master") == "spark://x:7077"
    assert option(on_cluster, "--jars").split(",") == [str(path) for path in jars("spark")]


def test_on_a_cluster_its_own_settings_are_over_those_of_a_laptop(on_cluster):
    laptop, cluster = (option(on_cluster, name) for name in ("--properties-file", "--extra-properties-file"))
    assert [laptop, cluster] == [str(REPOSITORY / "conf" / f"spark-{name}.conf") for name in ("defaults", "cluster")]
    usual, own = settings(laptop), settings(cluster)
    assert (usual["spark.driver.bindAddress"], own["spark.driver.bindAddress"]) == ("127.0.0.1", "0.0.0.0")
    assert {"spark.executor.cores", "spark.executor.memory"} <= own.keys()
    assert {name for name in own if own[name] == usual.get(name)} == set(), "the laptop's hold already"
    assert own.keys().isdisjoint(word.split("=")[0] for word in on_cluster), "these would be over the file's"


def settings(file: str) -> dict[str, str]:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return {name: value for name, value in (line.split(maxsplit=1) for line in lines if line and line[0] != "#")}


def test_on_a_cluster_the_package_goes_with_the_job(on_cluster):
    with zipfile.ZipFile(option(on_cluster, "--py-files")) as archive:
        assert {"fraudstream/cli.py", "fraudstream/rules/anomaly.py"} <= set(archive.namelist())


def test_the_job_and_its_options_come_last(on_cluster):
    assert on_cluster[-5:] == ["--conf", "a=b", str(REPOSITORY / "jobs" / "detect_fraud.py"), "--rules", "anomaly"]


def test_sparks_warehouse_is_not_where_the_job_is_started(on_cluster, tmp_path, monkeypatch):
    places = {on_cluster[n + 1] for n, word in enumerate(on_cluster) if word == "--conf"}
    assert f"spark.sql.warehouse.dir={REPOSITORY / 'run' / 'spark-warehouse'}" in places
    monkeypatch.setenv("FRAUDSTREAM_HOME", str(tmp_path))
    arguments = local_submit_arguments()
    assert arguments[arguments.index("--conf") + 1] == f"spark.sql.warehouse.dir={tmp_path / 'spark-warehouse'}"
