"""The averages kept on the change stream: a reading written, corrected or deleted, however late, renews its windows.

A running sum would have to take back what it once added. Instead lake/temperature_readings keeps the current readings
and a window that changed is averaged anew from them: a repeated batch finds the same rows and writes the same windows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.streams.table_mirror import CapturedTable, table_batch
from fraudstream.streams.tables import create_table, names
from fraudstream.streams.upkeep import CountedBatch
from fraudstream.temperature.averages import COLUMNS, TABLE, USABLE, Average
from fraudstream.temperature.spark_table import replace_where, window_rows
from fraudstream.temperature.table import alone
from fraudstream.temperature.windows import Window, Windows, literals

ENGINE = "cdc"
TOPIC = "office.public.temperature_readings"
READINGS = "temperature_readings"
_MOST_LISTED = 1000
_AGGREGATES = (
    "count(usable) as readings", "count(1) - count(usable) as skipped", "min(usable) as lowest",
    "max(usable) as highest", "cast(sum(cast(usable as decimal(20,6))) as decimal(28,6)) as total",
)  # fmt: skip
# Years 1 to 9999; PostgreSQL's infinity is beyond them.
_IS_TIME = "between -62135596800000000 and 253402300799999999"

Report = Callable[[list[tuple[Window, Average]]], None]


def readings_table(topic: str, zone: str) -> CapturedTable:
    """The readings, `recorded_at` an instant. JSON writes a temperature that is no number as text ("NaN")."""
    return CapturedTable(
        name=READINGS,
        topic=topic,
        row={"id": "long", "sensor_id": "string", "temperature": "string", "recorded_at": "long"},
        columns={"id": "long", "sensor_id": "string", "temperature": "double", "recorded_at": "timestamp"},
        values={
            "temperature": "try_cast(row.temperature as double)",
            "recorded_at": instant_sql("row.recorded_at", zone),
        },
    )


def instant_sql(local: str, zone: str) -> str:
    """SQL: the instant of `local`, microseconds of a local time of `zone` counted as if it were UTC; null for no time.

    Of a time that comes twice the later one is meant, as PostgreSQL's AT TIME ZONE has it. Spark takes the earlier; the
    other is found with the offset of the next day, if that leads back to the same local time.
    """
    time = f"timestamp_micros(if({local} {_IS_TIME}, {local}, null))"
    if zone == "UTC":
        return time
    earlier = f"to_utc_timestamp({time}, '{zone}')"
    later = f"(to_utc_timestamp({time} + interval 1 day, '{zone}') - interval 1 day)"
    return f"if(from_utc_timestamp({later}, '{zone}') = {time}, greatest({earlier}, {later}), {earlier})"


def averages_batch(
    spark: SparkSession,
    pipeline: Pipeline,
    table: CapturedTable,
    windows: Windows,
    zone: str,
    generation: str,
    report: Report | None = None,
) -> CountedBatch:
    """The batch function of the query over Kafka records; it returns table_batch's counts. `report` gets the averages
    over all sensors of the windows that a batch changed, the newest of them if they are very many."""
    averages, readings = pipeline.table(TABLE), pipeline.table(READINGS)
    with alone(averages):
        create_table(spark, averages, COLUMNS)

    def renew(changes: DataFrame, counts: Row) -> None:
        if counts.blind:
            raise FraudstreamError(
                "an update of temperature_readings has no before image, so the window it changed is unknown; run "
                "ALTER TABLE public.temperature_readings REPLICA IDENTITY FULL, then start over with --reset."
            )
        where = _changed(changes, windows, zone) if counts.truncated is None else "true"
        if where is None:
            return
        rows = window_averages(spark.read.format("delta").load(readings).where("not deleted"), windows)
        replaced = f"engine = '{ENGINE}' and window_seconds = {windows.length} and {where}"
        replace_where(rows.where(where).selectExpr(f"'{ENGINE}' as engine", "*"), averages, replaced)
        if report:
            found = spark.read.format("delta").load(averages).where(f"{replaced} and all_sensors")
            newest = found.orderBy("window_end", ascending=False).limit(_MOST_LISTED)
            report(window_rows(newest)[::-1])

    return table_batch(spark, pipeline, table, generation, renew)


def window_averages(readings: DataFrame, windows: Windows) -> DataFrame:
    """The columns of temperature_averages but for `engine`, of all windows with a reading."""
    placed = readings.where("recorded_at is not null").selectExpr(
        "sensor_id", f"if({USABLE}, temperature, null) as usable",
        f"explode({_ends_sql('unix_micros(recorded_at)', windows)}) as window_end",
    )  # fmt: skip
    scopes = "explode(array(true, false)) as all_sensors"
    scoped = placed.selectExpr("window_end", "usable", "sensor_id as sensor", scopes)
    keyed = scoped.selectExpr("*", "if(all_sensors, null, sensor) as sensor_id")
    found = keyed.groupBy("window_end", "all_sensors", "sensor_id").agg(*map(F.expr, _AGGREGATES))
    made = {
        "window_start": f"window_end - interval {windows.length} seconds",
        "window_seconds": f"cast({windows.length} as long)",
        "average": "cast(round(total / cast(readings as decimal(10,0)), 4) as decimal(18,4))",
        "computed_at": "current_timestamp()",
    }
    return found.selectExpr(*(f"{made.get(name, name)} as {name}" for name in names(COLUMNS)[1:]))


def _ends_sql(micros: str, windows: Windows) -> str:
    """SQL: the array of the ends of the windows that hold the instant, which may lie in none."""
    interval, length = windows.interval * 1_000_000, windows.length * 1_000_000

    def multiple(text: str) -> str:
        return f"(({text} - pmod({text}, {interval})) div {interval})"

    first, last = f"({multiple(micros)} + 1)", multiple(f"({micros} + {length})")
    every = f"transform(sequence({first}, greatest({first}, {last})), n -> timestamp_micros(n * {interval}))"
    return f"if({last} >= {first}, {every}, array())"


def _changed(changes: DataFrame, windows: Windows, zone: str) -> str | None:
    """SQL: the windows of which the changes added or took away a reading; None for none."""
    images = (instant_sql(f"{image}.recorded_at", zone) for image in ("before", "after"))
    times = changes.selectExpr(f"explode(array({', '.join(images)})) as time").where("time is not null")
    ends = times.selectExpr(f"explode({_ends_sql('unix_micros(time)', windows)}) as window_end").distinct()
    listed = ends.selectExpr("unix_seconds(window_end)").limit(_MOST_LISTED + 1).collect()
    if len(listed) <= _MOST_LISTED:
        return f"window_end in ({literals([_instant(row[0]) for row in listed])})" if listed else None
    # Too many to name (a first start, say): all from the first to the last; those between come out as they were.
    edges = ends.selectExpr("unix_seconds(min(window_end))", "unix_seconds(max(window_end))").collect()[0]
    first, last = (literals([_instant(each)]) for each in edges)
    return f"window_end between {first} and {last}"


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
