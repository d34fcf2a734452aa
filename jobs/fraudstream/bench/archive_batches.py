"""python -m fraudstream.bench.archive_batches: fill the archive of alerts by its own batch function, then time batches
and the upkeep between them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from fraudstream.bench.lake_batches import look_after, merges, run, timed_batches
from fraudstream.bench.mirror_plan import FILL_ROWS, Load
from fraudstream.config import Pipeline
from fraudstream.streams.archive import alert_rows, archive_batch
from fraudstream.streams.upkeep import CountedBatch

_TABLE = "alerts"
_COPIES = 0.01
"""Of a batch: alerts of the ones before it once more, as a rule's query leaves them that is killed in a batch."""
_ALERT = """
to_json(named_struct(
  'alert_id', sha2(concat('anomaly|0123456789ab|', id), 256), 'amount', cast(4321.5 + id % 99 as decimal(18,2)),
  'captured_at', timestamp_millis(1767225600000 + 5 * id), 'card_type', 'VISA',
  'committed_at', timestamp_millis(1767225600000 + 5 * id), 'event_time', timestamp_millis(1767225600000 + 5 * id),
  'evidence', '{"last":[1,2,3]}', 'lsn', id, 'merchant_id', id % 500, 'offset', id, 'partition', 0,
  'reason', '4321.50 is more than twice the mean of the last 50 amounts (1234.56)', 'rule', 'anomaly',
  'rule_version', '0123456789ab', 'score', cast(3.5 as decimal(18,4)), 'severity', 'high', 'topic', 'bench',
  'transaction_id', id, 'tx_id', id, 'user_id', id % 9000))
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Write into the file `--result` what mirror.summary takes. The table lies in FRAUDSTREAM_HOME/lake."""
    run("archive_batches", __doc__, _measured, argv)


def _measured(spark: SparkSession, pipeline: Pipeline, load: Load, folder: Path) -> dict[str, Any]:
    archive = _Archive(spark, folder, archive_batch(spark, pipeline))
    fill_s = 0.0
    while (left := load.table_rows - archive.alerts) > 0:
        fill_s += archive.write(min(FILL_ROWS, left))
    look_after(spark, pipeline, [_TABLE])
    timed = timed_batches(spark, pipeline, load, [_TABLE], lambda: archive.write(load.batch_rows))
    table = DeltaTable.forPath(spark, pipeline.table(_TABLE))
    found = table.toDF().selectExpr("count(1) as rows", "count(distinct alert_id) as ids").collect()[0].asDict()
    return {
        "fill_s": fill_s, **timed,
        "trigger_s": pd.Timedelta(pipeline.triggers.archive_alerts).total_seconds(),
        **merges(table, load.batches), "expected": {"rows": archive.alerts, "ids": archive.alerts}, "found": found,
    }  # fmt: skip


@dataclass
class _Archive:
    """The archive, written by its own function; `alerts` is how many it must hold."""

    spark: SparkSession
    folder: Path
    function: CountedBatch
    alerts: int = 0
    batches: int = 0

    def write(self, count: int) -> float:
        """Seconds that the function takes for so many messages, their parsing included."""
        copies = min(round(count * _COPIES), self.alerts)
        records, new = self._records(count, self.alerts - copies), count - copies
        began = time.monotonic()
        self.function(alert_rows(records), self.batches)
        self.batches, self.alerts = self.batches + 1, self.alerts + new
        return time.monotonic() - began

    def _records(self, count: int, first: int) -> DataFrame:
        """Records of the alerts on the transactions from `first` on."""
        shutil.rmtree(self.folder, ignore_errors=True)
        made = self.spark.range(first, first + count, numPartitions=1)
        own = made.selectExpr(
            f"cast({_ALERT} as binary) as value", "timestamp_millis(0) as timestamp", "0 as partition", "id as offset"
        )
        own.write.parquet(str(self.folder))
        return self.spark.read.parquet(str(self.folder))


if __name__ == "__main__":
    main()
