"""The Spark session, the same for jobs, tests and notebooks."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping

from pyspark.sql import SparkSession

from fraudstream.errors import FraudstreamError
from fraudstream.stack.artifacts import jars
from fraudstream.stack.java import require_java
from fraudstream.stack.settings import REPOSITORY, load_settings


def build_session(name: str, settings: Mapping[str, str] | None = None) -> SparkSession:
    """A session named `name` with the locked jars and conf/spark-defaults.conf.

    Under spark-submit (a cluster) jars and settings come from its command line, and only `settings` are added.
    Raises FraudstreamError when there is no fit Java or the session cannot start.
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
    return session


def local_submit_arguments() -> list[str]:
    """The options of spark-submit for this machine, beside those in conf/."""
    # Nothing is kept in the warehouse, but Spark makes its folder: by default where the job is started.
    warehouse = f"spark.sql.warehouse.dir={load_settings().home / 'spark-warehouse'}"
    return ["--jars", ",".join(str(path) for path in jars("spark")), "--conf", warehouse]
