"""lake/temperature_averages with Spark, and the engine that asks with Spark's JDBC source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from fraudstream.jdbc.source import pushed_down
from fraudstream.streams.tables import create_table, names
from fraudstream.temperature.averages import COLUMNS, Average, table_row
from fraudstream.temperature.query import averages_sql
from fraudstream.temperature.table import alone, place
from fraudstream.temperature.windows import Window


def read_averages_with_spark(spark: SparkSession, dsn: str, window: Window, zone: str) -> list[Average]:
    """The window's averages: PostgreSQL computes them, Spark's JDBC source asks."""
    return [Average(*row) for row in pushed_down(spark, dsn, averages_sql(window, zone)).collect()]


def replace_windows_with_spark(
    spark: SparkSession, path: str, engine: str, averages: Mapping[Window, Sequence[Average]]
) -> None:
    """Replace the windows' rows. Repeating it changes no row but its computed_at."""
    now = datetime.now(UTC)
    rows = [table_row(engine, window, each, now) for window, found in averages.items() for each in found]
    schema = StructType.fromDDL(COLUMNS)
    assert isinstance(schema, StructType)
    with alone(path):
        create_table(spark, path, COLUMNS)
    replace_where(spark.createDataFrame(rows, schema), path, place(engine, list(averages)))


def replace_where(rows: DataFrame, path: str, condition: str) -> None:
    """Put `rows`, all of which meet the condition, in place of those of the table that do, in one commit."""
    with alone(path):
        ordered = rows.selectExpr(*names(COLUMNS)).coalesce(1)
        ordered.write.format("delta").mode("overwrite").option("replaceWhere", condition).save(path)


def window_rows(rows: DataFrame) -> list[tuple[Window, Average]]:
    """Rows of the table, in their order."""
    ends = ("unix_seconds(window_start) as first", "unix_seconds(window_end) as last")
    found = rows.selectExpr(*ends, *Average._fields).collect()
    return [
        (Window(*(datetime.fromtimestamp(each, UTC) for each in (first, last))), Average(*average))
        for first, last, *average in found
    ]
