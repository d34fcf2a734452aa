"""A Spark driver that reads by JDBC, as a process of its own: a line of JSON after each part, idle until stdin ends."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from fraudstream.session import build_session

_POLLS = 5


def main(argument: str) -> None:
    """Start, read the table naively and partitioned, poll it, and idle."""
    options = json.loads(argument)
    began = time.monotonic()
    session = build_session("compare_jdbc_cdc")
    session.range(1).count()
    _say("start", began)
    source = {
        "url": f"jdbc:postgresql://localhost:{options['port']}/mydb", "user": "batch",
        "password": os.environ["FRAUDSTREAM_BATCH_PASSWORD"], "driver": "org.postgresql.Driver",
    }  # fmt: skip
    table = f"public.{options['table']}"
    partitioned = {
        "partitionColumn": "id", "lowerBound": "1", "upperBound": str(options["rows"] + 1), "numPartitions": "4",
        "fetchsize": "10000",
    }  # fmt: skip
    for name, settings in (("naive", {}), ("tuned", partitioned), ("tuned_again", partitioned)):
        began = time.monotonic()
        answer = _transferred(_table(session, {**source, **settings, "dbtable": table}))
        _say(name, began, **answer)
    began = time.monotonic()
    for number in range(_POLLS):
        # What a poll by id asks; the filter is pushed down.
        _transferred(_table(session, {**source, "dbtable": table}).where(F.col("id") > options["rows"] - number))
    _say("polls", began, polls=_POLLS)
    _say("end", began)
    sys.stdin.read()
    session.stop()


def _table(session: SparkSession, options: dict[str, str]) -> DataFrame:
    return session.read.format("jdbc").options(**options).load()


def _transferred(rows: DataFrame) -> dict[str, Any]:
    """Read every column of every row; how many there are and the sum of their cents."""
    seen = Observation()
    counted = rows.observe(seen, F.count(F.lit(1)).alias("rows"), F.sum("amount").alias("sum"))
    counted.write.format("noop").mode("overwrite").save()
    return {"rows": seen.get["rows"], "cents": int((seen.get["sum"] or 0) * 100)}


def _say(name: str, began: float, **found: Any) -> None:
    print(json.dumps({"name": name, "seconds": time.monotonic() - began, **found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
