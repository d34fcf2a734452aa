"""python -m fraudstream.bench.raw_read: how fast Spark reads the keys and values of a topic with the pipeline's own
options, and does nothing with them. Writes [seconds since 1970, records so far] of every micro-batch into a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from fraudstream.config import load_pipeline


def main(argv: Sequence[str] | None = None) -> None:
    """Read what is in the topic now, then end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    given = parser.parse_args(argv)
    pipeline = load_pipeline(given.config)

    from fraudstream.session import build_session

    spark, kafka = build_session("raw_read", {"spark.sql.streaming.numRecentProgressUpdates": "100000"}), pipeline.kafka
    # Not by the pipeline's own reader: its headers and further columns would slow down what rules are measured against.
    reader = spark.readStream.format("kafka").options(**kafka.client_options).options(**kafka.source)
    reader = reader.option("kafka.bootstrap.servers", kafka.bootstrap_servers).option("startingOffsets", "earliest")
    records = reader.option("subscribe", kafka.transactions_topic).load().select("key", "value")
    writer = records.writeStream.format("noop").option("checkpointLocation", given.checkpoint)
    query = writer.trigger(availableNow=True).start()
    query.awaitTermination()
    points = points_of([json.loads(report.json) for report in query.recentProgress])  # type: ignore[attr-defined]
    given.result.write_text(json.dumps(points), encoding="utf-8")
    spark.stop()


def points_of(reports: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """[end of the batch, records so far] of each batch that read something, from Spark's reports of it."""
    batches = [report for report in reports if report["numInputRows"] > 0]
    ends = [
        datetime.fromisoformat(report["timestamp"]).timestamp() + report["durationMs"]["triggerExecution"] / 1000
        for report in batches
    ]
    return [list(pair) for pair in zip(ends, accumulate(report["numInputRows"] for report in batches), strict=True)]


if __name__ == "__main__":
    main()
