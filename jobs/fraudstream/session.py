"""The Spark session, the same for jobs, tests and notebooks."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

from pyspark.sql import SparkSession

from fraudstream.errors import FraudstreamError, GuardError
from fraudstream.stack.artifacts import Artifact, jars, read_lock
from fraudstream.stack.java import require_java
from fraudstream.stack.settings import REPOSITORY, load_settings


def build_session(name: str, settings: Mapping[str, str] | None = None) -> SparkSession:
    """A session named `name` with the locked jars and conf/spark-defaults.conf.

    Under spark-submit (a cluster) jars and settings come from its command line, and only `settings` are added.
    Raises FraudstreamError when there is no fit Java or the session cannot start, GuardError when its versions are
    not the locked ones.
    """
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        require_java()
        own = os.environ.get("SPARK_SUBMIT_ARGS", "")
        os.environ["PYSPARK_SUBMIT_ARGS"] = f"{shlex.join(local_submit_arguments())} {own} pyspark-shell"
        # Not --properties-file and --driver-java-options: these replace the Java options of the settings file.
        os.environ["SPARK_CONF_DIR"] = str(REPOSITORY / "conf")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName(name)
    for key, value in (settings or {}).items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        raise FraudstreamError(f"Spark did not start: {str(error).splitlines()[0]}; see the lines above.") from error
    session.sparkContext.setLogLevel("WARN")
    _require_versions(session)
    return session


def _require_versions(session: SparkSession) -> None:
    """Raises GuardError when Spark's jars or Python packages are not those of the lock: a sink of another version may
    write twice what ours writes once."""
    loaded = session.sparkContext._jsc.sc().listJars().mkString("\n").split()  # type: ignore[union-attr]
    packages = {name: metadata.version(name) for name in ("pyspark", "delta-spark")}
    wrong = differences([url.rsplit("/", 1)[-1] for url in loaded], packages, read_lock())
    if wrong:
        raise GuardError(
            f"Spark runs with other versions than conf/jars.lock names: {'; '.join(wrong)}. Take away what "
            "SPARK_SUBMIT_ARGS or the cluster adds, or run `make setup` again.",
            "wrong-versions",
        )


def differences(loaded: Sequence[str], packages: Mapping[str, str], locked: Sequence[Artifact]) -> list[str]:
    """What differs from the lock, in words: of the file names of `loaded` jars, and the versions of the Python
    `packages` that belong to a jar. A jar that is not loaded may be among the cluster's own."""
    wanted = {artifact.parts[1]: artifact for artifact in locked if artifact.group == "spark"}
    files = {artifact.filename for artifact in wanted.values()}
    wrong = [
        f"{name} instead of {artifact.filename}"
        for name in loaded
        for artifact in wanted.values()
        if name not in files and re.fullmatch(rf"{re.escape(artifact.parts[1])}-\d[^/]*\.jar", name)
    ]
    for package, jar in (("pyspark", "spark-sql-kafka-0-10_2.13"), ("delta-spark", "delta-spark_4.2_2.13")):
        version = next((artifact.parts[2] for name, artifact in wanted.items() if name == jar), None)
        if version and packages[package] != version:
            wrong.append(f"Python package {package} {packages[package]} beside {jar} {version}")
    return wrong


def local_submit_arguments() -> list[str]:
    """The options of spark-submit for this machine, beside those in conf/."""
    # Nothing is kept in the warehouse, but Spark makes its folder: by default where the job is started.
    warehouse = f"spark.sql.warehouse.dir={load_settings().home / 'spark-warehouse'}"
    return ["--jars", ",".join(str(path) for path in jars("spark")), "--conf", warehouse]
