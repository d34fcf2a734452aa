"""The tables of the lake: their columns and how they are made."""

from __future__ import annotations

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

# The fields of an alert's message, and beside them when and where it was found.
ALERT_PAYLOAD = (
    "alert_id string, rule string, rule_version string, severity string, user_id long, transaction_id long, "
    "amount decimal(18,2), card_type string, merchant_id long, score decimal(18,4), reason string, evidence string, "
    "event_time timestamp, lsn long, tx_id long, topic string, partition int, offset long, committed_at timestamp, "
    "captured_at timestamp, revision int, status string, changed_by string"
)
ALERTS = f"{ALERT_PAYLOAD}, detected_at timestamp, alert_partition int, alert_offset long, payload string"
_ROW = (
    "id long, user_id long, amount decimal(18,2), card_type string, merchant_id long, "
    "created_at timestamp, created_us long"
)
_POSITION = (
    "topic string, partition int, offset long, lsn long, tx_id long, committed_at timestamp, captured_at timestamp"
)
CHANGES = f"op string, {_ROW}, before_user_id long, snapshot string, moved boolean, entry string, {_POSITION}"
TRANSACTIONS = f"{_ROW}, deleted boolean, op string, {_POSITION}"
QUARANTINE = "topic string, partition int, offset long, reason string, key binary, value binary, timestamp timestamp"
# Readers without Spark (deltalake) do not know deletion vectors.
_PROPERTIES = {"delta.enableDeletionVectors": "false"}


def names(columns: str) -> list[str]:
    """The column names of a table's DDL."""
    return [column.split()[0] for column in columns.split(", ")]


def create_table(spark: SparkSession, path: str, columns: str) -> None:
    """Make the Delta table at `path` if it is not there."""
    schema = StructType.fromDDL(columns)
    assert isinstance(schema, StructType)
    builder = DeltaTable.createIfNotExists(spark).location(path).addColumns(schema)
    for name, value in _PROPERTIES.items():
        builder = builder.property(name, value)
    builder.execute()
    _add_missing(spark, path, schema)


def _add_missing(spark: SparkSession, path: str, schema: StructType) -> None:
    """Give a table of an earlier version the columns that have come since; they are null in its rows."""
    found = spark.read.format("delta").load(path).columns
    missing = [f"{field.name} {field.dataType.simpleString()}" for field in schema if field.name not in found]
    if missing:
        spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({', '.join(missing)})")
