"""The current rows of a captured table in Delta, kept from its change events. The transactions, whose rows move between
partitions, have fraudstream.streams.mirror."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.cdc.rows import IGNORED, row_changes
from fraudstream.config import Pipeline
from fraudstream.streams.kafka import read_stream, topic_id, wait_for_topic
from fraudstream.streams.manifest import claim_checkpoint, hold_table
from fraudstream.streams.start_over import require_not_gone, start_tables_over
from fraudstream.streams.tables import QUARANTINE, create_table, names
from fraudstream.streams.upkeep import CountedBatch, keeping_up

_POSITION = {
    "deleted": "boolean", "op": "string", "topic": "string", "partition": "int", "offset": "long", "lsn": "long",
    "committed_at": "timestamp",
}  # fmt: skip
# Changes of one row wait for each other's commits, so that for them the LSN is an order; copies of a redelivered
# change share it.
_NEWER = "change.lsn > current.lsn or (change.lsn = current.lsn and change.offset > current.offset)"
_COUNTS = (
    "count(1) as read", f"count_if(op <> '{IGNORED}') as changes", "count_if(op is null) as unreadable",
    "max(if(op = 't', lsn, null)) as truncated", "count_if(op = 'u' and before is null) as blind",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CapturedTable:
    """A table of the lake and the topic that keeps it."""

    name: str
    topic: str
    row: Mapping[str, str]
    """Columns in the types that they have in messages; the first is the primary key."""
    columns: Mapping[str, str]
    """Columns in the types of the lake's table."""
    values: Mapping[str, str] = field(default_factory=dict)
    """SQL, over the struct `row`, of columns that are more than the row's own value."""

    @property
    def quarantine(self) -> str:
        """The lake's table of the messages that cannot be read."""
        return f"{self.name}_quarantine"

    @property
    def ddl(self) -> str:
        """The lake's table."""
        return ", ".join(f"{name} {kind}" for name, kind in {**self.columns, **_POSITION}.items())


def row_values(changes: DataFrame, table: CapturedTable) -> DataFrame:
    """The rows that the changes c, r, u and d bring, in the columns of the table."""
    rows = changes.where("op in ('c', 'r', 'u', 'd')").withColumn("row", F.expr("if(op = 'd', before, after)"))
    made = {"deleted": "op = 'd'", "committed_at": "timestamp_millis(committed_ms)"}
    own = {name: table.values.get(name, f"row.{name}") for name in table.columns}
    return rows.selectExpr(*(f"{({**own, **made}).get(name, name)} as {name}" for name in names(table.ddl)))


def newest_rows(rows: DataFrame, table: CapturedTable) -> DataFrame:
    """Of rows with the same primary key the newest."""
    key, every = next(iter(table.row)), ", ".join(names(table.ddl))
    newest = F.expr(f"max_by(struct({every}), struct(lsn, offset)) as newest")
    return rows.groupBy(key).agg(newest).selectExpr("newest.*")


def apply_changes(current: DeltaTable, table: CapturedTable, changes: DataFrame, truncated: int | None) -> None:
    """Merge changes into the table; changes that it has already change nothing. A truncate, of which `truncated` is the
    LSN, marks what was written before it as deleted."""
    key = next(iter(table.row))
    (
        current.alias("current")
        .merge(newest_rows(row_values(changes, table), table).alias("change"), f"current.{key} = change.{key}")
        .whenMatchedUpdateAll(_NEWER)
        .whenNotMatchedInsertAll()
        .execute()
    )
    if truncated is not None:
        current.update(f"not deleted and lsn < {truncated}", {"deleted": "true", "op": "'t'"})


def table_batch(
    spark: SparkSession,
    pipeline: Pipeline,
    table: CapturedTable,
    generation: str,
    after: Callable[[DataFrame, Row], None] | None = None,
) -> CountedBatch:
    """The batch function of the query that keeps the table, over Kafka records; it returns its counts. It writes
    lake/NAME, and to lake/NAME_quarantine what is unreadable. `after` gets the batch's changes, when the table has
    them, and their counts: `truncated`, the LSN of the last truncate or null, and `blind`, updates without a before
    image. What it does is repeated with a batch that is repeated."""
    path, quarantine = pipeline.table(table.name), pipeline.table(table.quarantine)
    create_table(spark, path, table.ddl)
    create_table(spark, quarantine, QUARANTINE)
    current = DeltaTable.forPath(spark, path)

    def write(batch: DataFrame, batch_id: int) -> dict[str, int | None]:
        messages = row_changes(batch, table.row, pipeline.max_message_bytes).persist()
        try:
            counts = messages.selectExpr(*_COUNTS).collect()[0]
            if counts.unreadable:
                _set_aside(messages.where("op is null"), quarantine, f"{generation}:{table.name}", batch_id)
            changes = messages.where(f"op <> '{IGNORED}'")
            if counts.changes:
                apply_changes(current, table, changes, counts.truncated)
            if counts.changes and after:
                after(changes, counts)
        finally:
            messages.unpersist()
        return counts.asDict()

    return write


def _set_aside(messages: DataFrame, path: str, writer: str, batch_id: int) -> None:
    rows = messages.select(*names(QUARANTINE)).coalesce(1)
    rows.write.format("delta").mode("append").option("txnAppId", writer).option("txnVersion", batch_id).save(path)


def claim_table(
    spark: SparkSession, pipeline: Pipeline, query: str, table: CapturedTable, made_with: Mapping[str, str | int]
) -> str:
    """Lock for this process the checkpoint of the query that alone writes the table and its quarantine, and the two;
    the checkpoint's generation. Raises GuardError when another process has one of them, when the checkpoint is gone but
    the table is not, or when it was made of another topic or `made_with` other values."""
    require_not_gone(pipeline, query, f"{pipeline.table(table.name)}/_delta_log")
    made_from = {"topic": table.topic, "topic_id": topic_id(spark, pipeline.kafka, table.topic)}
    generation = claim_checkpoint(pipeline.checkpoint(query), {**made_from, **made_with})
    for name in (table.name, table.quarantine):
        hold_table(pipeline.table(name))
    return generation


def start_table(
    spark: SparkSession, pipeline: Pipeline, table: CapturedTable, *, until_caught_up: bool = False
) -> StreamingQuery:
    """The query, named like the table, that alone writes lake/NAME and lake/NAME_quarantine. Raises GuardError as
    claim_table does."""
    wait_for_topic(spark, pipeline.kafka, table.topic)
    generation = claim_table(spark, pipeline, table.name, table, {})
    tables = [table.name, table.quarantine]
    function = keeping_up(spark, pipeline, table.name, tables, table_batch(spark, pipeline, table, generation))
    writer = read_stream(spark, pipeline.kafka, table.topic).writeStream.foreachBatch(function)
    interval = pipeline.triggers.mirror_transactions
    writer = writer.trigger(availableNow=True) if until_caught_up else writer.trigger(processingTime=interval)
    return writer.queryName(table.name).option("checkpointLocation", pipeline.checkpoint(table.name)).start()


def reset(spark: SparkSession, pipeline: Pipeline, table: CapturedTable) -> None:
    """Forget the table and what its query has done: it starts from the beginning of the topic. Raises GuardError where
    the topic has lost that."""
    start_tables_over(spark, pipeline, table.name, table.topic, [table.name, table.quarantine])
