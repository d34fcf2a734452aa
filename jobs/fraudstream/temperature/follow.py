"""Running the averages on the change stream: the query, and a line at the end of every window."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.config import Pipeline
from fraudstream.errors import GuardError
from fraudstream.streams import progress
from fraudstream.streams.kafka import read_stream, wait_for_topic
from fraudstream.streams.start_over import start_over
from fraudstream.streams.table_mirror import claim_table
from fraudstream.streams.topic import cut_at
from fraudstream.streams.upkeep import keeping_up
from fraudstream.temperature.averages import TABLE, Average
from fraudstream.temperature.spark_table import window_rows
from fraudstream.temperature.stream import ENGINE, READINGS, averages_batch, readings_table
from fraudstream.temperature.table import alone, place
from fraudstream.temperature.windows import Window, Windows

QUERY = "average_temperature"
_GRACE = timedelta(seconds=5)
"""How long after its end a window's readings may be under way before its line is shown."""

Show = Callable[[Window, list[Average]], None]


def start(
    spark: SparkSession, pipeline: Pipeline, windows: Windows, show: Show, *, topic: str, zone: str, trigger: str,
    until_caught_up: bool = False,
) -> StreamingQuery:  # fmt: skip
    """The query. `show` gets the windows that had ended before readings of them came or changed.

    Raises GuardError as table_mirror.claim_table does, of the readings' table, zone and windows. The averages have
    other writers, too: a lock of their own keeps each waiting for the others' commits.
    """
    wait_for_topic(spark, pipeline.kafka, topic)
    table = readings_table(topic, zone)
    made_with: dict[str, str | int] = {"zone": zone, "window": windows.length, "interval": windows.interval}
    generation = claim_table(spark, pipeline, QUERY, table, made_with)

    def report(found: list[tuple[Window, Average]]) -> None:
        ended = datetime.now(UTC) - _GRACE
        for window, average in found:
            if window.end < ended:
                show(window, [average])

    tables = [TABLE, table.name, table.quarantine]
    batch = averages_batch(spark, pipeline, table, windows, zone, generation, report)
    function = keeping_up(spark, pipeline, READINGS, tables, batch, alone)
    writer = read_stream(spark, pipeline.kafka, topic).writeStream.foreachBatch(function)
    writer = writer.trigger(availableNow=True) if until_caught_up else writer.trigger(processingTime=trigger)
    return writer.queryName(QUERY).option("checkpointLocation", pipeline.checkpoint(QUERY)).start()


def announce(spark: SparkSession, pipeline: Pipeline, windows: Windows, show: Show, stop: threading.Event) -> None:
    """Show each window a little after its end, until `stop`; those without a reading too."""
    due = windows.next_end(datetime.now(UTC))
    while not stop.wait(max(0.0, (due + _GRACE - datetime.now(UTC)).total_seconds())):
        window = windows.closed(due)[0]
        show(window, read_window(spark, pipeline, window))
        due = windows.next_end(max(due, datetime.now(UTC) - _GRACE))


def read_window(spark: SparkSession, pipeline: Pipeline, window: Window) -> list[Average]:
    """The window's rows in the table."""
    rows = spark.read.format("delta").load(pipeline.table(TABLE)).where(place(ENGINE, [window]))
    return [average for _, average in window_rows(rows)]


def reset(spark: SparkSession, pipeline: Pipeline, topic: str) -> None:
    """Forget what the query has done, its rows in the table included: it starts from the beginning of the topic. Raises
    GuardError where the topic has lost that."""
    begins = cut_at(spark, pipeline.kafka, topic)
    if begins:
        raise GuardError(
            f"{QUERY}: {topic} has lost what was before {begins}, so the averages of earlier windows could not be made "
            "again; nothing is deleted. `average_temperature --engine jdbc` makes them from PostgreSQL.",
            "history-gone",
        )
    start_over(pipeline, QUERY, (READINGS, f"{READINGS}_quarantine"))
    progress.forget(pipeline.progress, READINGS)
    if DeltaTable.isDeltaTable(spark, pipeline.table(TABLE)):
        with alone(pipeline.table(TABLE)):
            DeltaTable.forPath(spark, pipeline.table(TABLE)).delete(f"engine = '{ENGINE}'")
