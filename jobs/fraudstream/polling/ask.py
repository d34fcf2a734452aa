"""The two ways in which a poller asks: psycopg2, and Spark's JDBC source."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg2

from fraudstream.errors import FraudstreamError
from fraudstream.input.database import explained
from fraudstream.polling.rows import Ask

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def with_psycopg2(dsn: str) -> Ask:
    """Asks over one connection, which is made anew after it was lost."""
    connection: psycopg2.extensions.connection | None = None

    def ask(sql: str) -> Sequence[Sequence[Any]]:
        nonlocal connection
        try:
            if connection is None:
                connection = psycopg2.connect(dsn)
                connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()
        except psycopg2.Error as error:
            if connection is not None:
                with contextlib.suppress(psycopg2.Error):
                    connection.close()
            connection = None
            raise FraudstreamError(explained(error)) from None

    return ask


def with_spark(spark: SparkSession, dsn: str) -> Ask:
    """Asks by a JDBC query, with a connection of its own each time."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    from fraudstream.jdbc.source import pushed_down

    def ask(sql: str) -> Sequence[Sequence[Any]]:
        try:
            return pushed_down(spark, dsn, sql).collect()
        except (PySparkException, Py4JError) as error:
            raise FraudstreamError(f"PostgreSQL did not answer Spark: {str(error).splitlines()[0]}") from None

    return ask
