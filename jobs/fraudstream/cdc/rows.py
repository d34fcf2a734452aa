"""Change events of any table as Spark columns, for tables whose messages have Debezium's key: the primary key.

Read are whole envelopes, with the schema wrapper or without it. The transactions, which come in more forms, have
fraudstream.cdc.columns."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from fraudstream.cdc import shape
from fraudstream.cdc.columns import RECORD_COLUMNS
from fraudstream.cdc.parse import parsed_message

IGNORED = "ignored"
_SOURCE = {"ts_ms": "long", "lsn": "long"}


def row_changes(records: DataFrame, row: Mapping[str, str], max_bytes: int = shape.MAX_BYTES) -> DataFrame:
    """RECORD_COLUMNS of Kafka `records`, and what each message is:

    `op` c, u, d, r or t, IGNORED for tombstones and heartbeats, null where it is unreadable, with the `reason`;
    `before` and `after`, structs of the table's columns in the types of `row`, whose first is the primary key; `lsn`
    (-1 where the event has none) and `committed_ms`.
    """
    envelope = {"before": dict(row), "after": dict(row), "source": _SOURCE, "op": "string", "ts_ms": "long"}
    parsed = parsed_message(F.col("value"), {"payload": envelope, **envelope}, max_bytes)
    found = records.select(*RECORD_COLUMNS, F.inline(F.array(parsed)))
    alone = F.struct(*(F.col(f"m.{name}").alias(name) for name in envelope))
    events = found.withColumn("e", F.when(F.col("m.payload").isNotNull(), F.col("m.payload")).otherwise(alone))
    reasoned = events.withColumn("reason", _reason(next(iter(row)), max_bytes))
    is_heartbeat = F.col("e.op").isNull() & F.col("e.source").isNull() & F.col("e.ts_ms").isNotNull()
    op = F.when(F.col("value").isNull() | is_heartbeat, IGNORED).when(F.col("reason").isNull(), F.col("e.op"))
    return reasoned.select(
        *RECORD_COLUMNS,
        op.alias("op"), "e.before", "e.after", F.coalesce("e.source.lsn", F.lit(-1)).alias("lsn"),
        F.col("e.source.ts_ms").alias("committed_ms"),
        F.when(~is_heartbeat, F.col("reason")).alias("reason"),
    )  # fmt: skip


def _reason(key: str, max_bytes: int) -> Column:
    """Why a message cannot be read; null for one that can, and for a tombstone."""
    image = F.when(F.col("e.op") == "d", F.col("e.before")).otherwise(F.col("e.after"))
    is_known = F.coalesce(F.col("e.op").isin(*shape.OPERATIONS), F.lit(False))
    return (
        F.when(F.col("value").isNull(), None)
        .when(F.octet_length("value") > max_bytes, shape.too_large(max_bytes))
        .when(F.col("end").isNull(), shape.NOT_JSON)
        .when(F.col("bad").isNotNull(), shape.WRONG_TYPE)
        .when(~is_known, shape.NOT_EVENT)
        .when((F.col("e.op") != "t") & image.isNull(), shape.NO_ROW)
        .when((F.col("e.op") != "t") & image[key].isNull(), shape.NO_ID)
    )
