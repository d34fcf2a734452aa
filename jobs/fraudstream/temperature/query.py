"""The average asked of the database: one SQL text for psycopg2 and for Spark's JDBC source."""

from __future__ import annotations

from contextlib import closing
from zoneinfo import ZoneInfo

import psycopg2

from fraudstream.errors import FraudstreamError
from fraudstream.input.database import explained
from fraudstream.temperature.averages import USABLE, Average
from fraudstream.temperature.windows import Window


def checked_zone(name: str) -> str:
    """The name of a time zone. Raises FraudstreamError for an unknown one."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise FraudstreamError(
            f"--zone is {name!r}; it must be a name of the IANA database, such as UTC or Europe/Vienna."
        ) from None
    return name


def averages_sql(window: Window, zone: str) -> str:
    """The columns of Average for one window, as PostgreSQL computes them.

    `recorded_at` is a local time of `zone`. PostgreSQL's AT TIME ZONE decides what it means where clocks change: of a
    time that comes twice the later one, and one that is left out is an hour later by the new clock. The comparison
    with plain days comes first because an index on recorded_at can serve it.
    """
    start, end = (f"timestamptz '{each.isoformat()}'" for each in window)
    return f"""
SELECT grouping(sensor_id) = 1 AS all_sensors, sensor_id, count(usable) AS readings,
    count(*) - count(usable) AS skipped, avg(usable::numeric(20,6))::numeric(18,4) AS average,
    min(usable) AS lowest, max(usable) AS highest
FROM (
    SELECT sensor_id, CASE WHEN {USABLE} THEN temperature END AS usable
    FROM public.temperature_readings
    WHERE recorded_at >= timestamp '{window.start:%Y-%m-%d %H:%M:%S}' - interval '1 day'
        AND recorded_at < timestamp '{window.end:%Y-%m-%d %H:%M:%S}' + interval '1 day'
        AND recorded_at AT TIME ZONE '{zone}' >= {start} AND recorded_at AT TIME ZONE '{zone}' < {end}
) AS reading
GROUP BY GROUPING SETS ((), (sensor_id))
HAVING count(*) > 0
""".strip()


def read_averages(dsn: str, window: Window, zone: str) -> list[Average]:
    """The window's averages, asked with psycopg2. Raises FraudstreamError when the database does not answer."""
    try:
        with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(averages_sql(window, zone))
            return [Average(*row) for row in cursor.fetchall()]
    except psycopg2.Error as error:
        raise FraudstreamError(explained(error)) from None
