"""Where and how Spark's JDBC source reads: connection options, one snapshot for all partitions, whole tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import parse_dsn
from pyspark.sql import DataFrame, SparkSession

from fraudstream.errors import FraudstreamError
from fraudstream.input.database import explained

FETCH_ROWS = 10_000
_DRIVER = "org.postgresql.Driver"
# libpq's names of what the driver takes as properties of its own.
_PROPERTIES = {
    "application_name": "ApplicationName",
    "connect_timeout": "connectTimeout",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
}


class Snapshot(NamedTuple):
    """A state of the database that other sessions may read as long as the session that exported it lives."""

    id: str
    low: int
    """Smallest and greatest key of the table in it; 0 and -1 for an empty one."""
    high: int


def jdbc_options(dsn: str) -> dict[str, str]:
    """Options of Spark's JDBC source from a libpq connection string. Raises FraudstreamError for one that is none."""
    try:
        found = parse_dsn(dsn)
    except psycopg2.ProgrammingError as error:
        raise FraudstreamError(f"--dsn is no libpq connection string: {' '.join(str(error).split())}") from None
    address = f"{found.get('host', 'localhost')}:{found.get('port', '5432')}"
    options = {"url": f"jdbc:postgresql://{address}/{found.get('dbname', 'postgres')}", "driver": _DRIVER}
    options |= {name: str(found[name]) for name in ("user", "password") if name in found}
    return options | {theirs: str(found[ours]) for ours, theirs in _PROPERTIES.items() if ours in found}


def pushed_down(spark: SparkSession, dsn: str, sql: str, options: Mapping[str, str] | None = None) -> DataFrame:
    """The result of a query that PostgreSQL computes."""
    return spark.read.format("jdbc").options(**jdbc_options(dsn), **(options or {}), query=sql).load()


def naive_table(spark: SparkSession, dsn: str, table: str) -> DataFrame:
    """The table as tutorials read it: one partition, one statement, the driver's default of fetching all at once."""
    return spark.read.format("jdbc").options(**jdbc_options(dsn), dbtable=table).load()


def table_of(spark: SparkSession, dsn: str, table: str, key: str, snapshot: Snapshot, partitions: int) -> DataFrame:
    """The table as of the snapshot, read by `partitions` sessions, each a range of the integer `key`.

    Without a snapshot each partition reads what is committed when its own statement starts, and a row that moves is
    seen twice or not at all.
    """
    options = in_snapshot(snapshot) | {
        "dbtable": table,
        "partitionColumn": key,
        "lowerBound": str(snapshot.low),
        "upperBound": str(max(snapshot.low, snapshot.high) + 1),
        "numPartitions": str(partitions),
    }
    return spark.read.format("jdbc").options(**jdbc_options(dsn), **options).load()


def in_snapshot(snapshot: Snapshot) -> dict[str, str]:
    """Options of Spark's JDBC source by which its sessions enter the snapshot before they read. Spark has turned
    autocommit off by then, which it does where a fetchsize is set."""
    enter = f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot.id}'"
    return {"fetchsize": str(FETCH_ROWS), "sessionInitStatement": enter}


@contextmanager
def exported_snapshot(dsn: str, table: str, key: str) -> Iterator[Snapshot]:
    """A snapshot that readers may enter until the block ends; vacuum cannot clean behind it meanwhile.

    Raises FraudstreamError when the database does not answer or has no such table.
    """
    try:
        with closing(psycopg2.connect(dsn)) as connection:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT pg_export_snapshot(), coalesce(min({key}), 0), coalesce(max({key}), -1) FROM {table}"
                )
                found = cursor.fetchone()
            assert found is not None
            yield Snapshot(*found)
    except psycopg2.Error as error:
        raise FraudstreamError(explained(error)) from None
