"""PyFlink: the rule as one SQL statement with an OVER window, run by Flink's local cluster in one JVM.
With --recovery: a checkpoint every 10 s, alerts in Kafka transactions, and a start from the newest checkpoint."""

import os
import sys
import time
from pathlib import Path

from contract import arguments, end_on_signal

options = arguments(__doc__, processes=2)
# The JVM of PyFlink: a fixed heap, and the collector for throughput.
os.environ.setdefault("JVM_ARGS", "-Xms2g -Xmx2g -XX:+UseParallelGC")
from pyflink.common import Configuration  # noqa: E402
from pyflink.table import EnvironmentSettings, TableEnvironment  # noqa: E402


def jars() -> str:
    """URLs of the jars of requirements/pyflink.jars in the project's cache, where peers/jars.py puts them."""
    lock = Path(__file__).parent / "requirements" / "pyflink.jars"
    chosen = os.environ.get("FRAUDSTREAM_CACHE")
    folder = (Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "fraudstream") / "jars"
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    files = [folder / "{1}-{2}.jar".format(*line.split()[0].split(":")) for line in lines]
    for file in files:
        if not file.exists():
            sys.exit(f"{file} is missing; PYTHONPATH=jobs .venv/bin/python peers/jars.py {lock} fetches it.")
    return ";".join(file.absolute().as_uri() for file in files)


settings = {
    "pipeline.name": options.group,
    "pipeline.jars": jars(),
    "parallelism.default": str(options.processes),
    # Operators in one chain hand rows over without copies; Flink's SQL operators keep none that they were given.
    "pipeline.object-reuse": "true",
    # Histories as objects on the heap: Flink's documentation names it the fastest store where the state fits.
    "state.backend.type": "hashmap",
    # table.exec.mini-batch.* is not set: it is for group aggregations, an OVER window judges row by row.
}
checkpoints = options.state.absolute() / "checkpoints"
if options.recovery:
    settings |= {
        "execution.checkpointing.interval": "10 s",
        "execution.checkpointing.dir": checkpoints.as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "restart-strategy.type": "fixed-delay",
    }
    done = sorted(checkpoints.glob("*/chk-*/_metadata"), key=lambda path: path.stat().st_mtime)
    if done:
        settings["execution.state-recovery.path"] = done[-1].parent.as_uri()

columns = {
    "envelope": "op STRING, after ROW<id INT, user_id INT, amount STRING>",
    "compact": "__op STRING, id INT, user_id INT, amount STRING",
}[options.form]
op, row = {"envelope": ("op", "after."), "compact": ("__op", "")}[options.form]
sink = {"sink.delivery-guarantee": "at-least-once"}
if options.recovery:
    sink = {
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": options.group,
        # Flink's default of an hour is more than the 15 minutes that a broker allows by default.
        "properties.transaction.timeout.ms": "600000",
    }


def table(name: str, columns: str, **more: str) -> str:
    common = {"connector": "kafka", "properties.bootstrap.servers": options.bootstrap}
    pairs = ", ".join(f"'{key}' = '{value}'" for key, value in {**common, **more}.items())
    return f"CREATE TEMPORARY TABLE {name} ({columns}) WITH ({pairs})"


EVENTS = table(
    "events",
    f"{columns}, arrived AS PROCTIME()",
    **{
        "topic": options.topic,
        "properties.group.id": options.group,
        "properties.isolation.level": "read_committed",
        # Larger answers of the broker than the consumer's 1 MB and 500 records.
        "properties.max.partition.fetch.bytes": "8388608",
        "properties.max.poll.records": "10000",
        "scan.startup.mode": "earliest-offset",
        "format": "json",
    },
)
ALERTS = table(
    "alerts",
    "id STRING, transaction_id INT, user_id INT, amount STRING",
    **{
        "topic": options.alerts,
        "properties.compression.type": "lz4",
        "properties.linger.ms": "20",
        "key.format": "raw",
        "key.fields": "id",
        "value.format": "json",
        "value.fields-include": "EXCEPT_KEY",
        **sink,
    },
)
# A streaming OVER window ends at the current row, so that row is taken off again. Whole cents, and no division.
RULE = f"""
INSERT INTO alerts
SELECT CAST(id AS STRING), id, user_id, amount
FROM (
  SELECT id, user_id, amount, cents, SUM(cents) OVER last_51 - cents AS total, COUNT(*) OVER last_51 - 1 AS n
  FROM (
    SELECT {row}id AS id, {row}user_id AS user_id, {row}amount AS amount, arrived,
      CAST(REPLACE({row}amount, '.', '') AS BIGINT) AS cents
    FROM events WHERE {op} = 'c'
  )
  WINDOW last_51 AS (PARTITION BY user_id ORDER BY arrived ROWS BETWEEN 50 PRECEDING AND CURRENT ROW)
)
WHERE n >= 3 AND cents > 50000 AND cents * n > 3 * total
"""

configuration = Configuration()
for name, value in settings.items():
    configuration.set_string(name, value)
tables = TableEnvironment.create(EnvironmentSettings.new_instance().with_configuration(configuration).build())
tables.execute_sql(EVENTS)
tables.execute_sql(ALERTS)
job = tables.execute_sql(RULE).get_job_client()
stopping = []
end_on_signal(lambda: stopping.append(True))
while not stopping:
    time.sleep(0.5)
    if job.get_job_status().result().name not in ("INITIALIZING", "CREATED", "RUNNING", "RESTARTING"):
        sys.exit(f"the job ended: {job.get_job_execution_result().result()}")
job.cancel().result()
