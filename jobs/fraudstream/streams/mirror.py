"""The mirror: every change in lake/transaction_changes, the current rows in lake/transactions, and what could not be
read in lake/quarantine. This query alone writes the three."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.cdc.columns import OTHER, RECORD_COLUMNS, change_events
from fraudstream.cdc.matching import ENTRIES
from fraudstream.config import Pipeline
from fraudstream.streams.progress import parts_of
from fraudstream.streams.tables import CHANGES, QUARANTINE, TRANSACTIONS, create_table, names
from fraudstream.streams.upkeep import CountedBatch

TABLES = {"transaction_changes": CHANGES, "transactions": TRANSACTIONS, "quarantine": QUARANTINE}
# Years 1 to 9999: what readers of the tables can show. The exact number stays in created_us.
_SHOWABLE = "created_at between -62135596800000000 and 253402300799999999"

# A change wins over the row it meets: by offset within a partition, but a snapshot row wins over a streamed change
# only with a higher LSN. A change of user_id moves a row to another partition; changes of one row wait for each
# other's commit, so there the LSN orders them, and of the two halves of one update the delete comes first.
# A row of an incremental snapshot has no LSN: the connector leaves out those that a streamed change has overtaken, so
# it is as new as its place, and where the other partition has its place, the time of its reading decides.
_NEWER = """
case when change.partition = current.partition
     then change.offset > current.offset
          and (change.op <> 'r' or current.op = 'r' or change.lsn is null or change.lsn > current.lsn)
     when change.lsn is null or current.lsn is null then change.committed_at > current.committed_at
     else change.lsn > current.lsn
          or (change.lsn = current.lsn and change.op <> 'd' and current.op = 'd')
end"""


# Expressions are texts here, not Columns: Python makes each Column by several calls into the JVM, every batch again.
_EXPRESSIONS = {
    "amount": "cast(cast(cents as decimal(18,0)) / 100 as decimal(18,2))",
    "created_at": f"case when {_SHOWABLE} then timestamp_micros(created_at) end",
    "created_us": "created_at",
    "committed_at": "timestamp_millis(committed_ms)",
    "captured_at": "timestamp_millis(captured_ms)",
    "deleted": "op = 'd'",
}
BOUNDS = 1 << 16
"""Ids in a range by which a MERGE looks for files."""
LISTED = 500
"""Ids that it looks for one by one among them, at most."""
# With files of any size the 19th batch of 20,000 rows copied 896,000 and took 4.3 s, with these 79,000 and 2.5 s.
_MERGED_ROWS = 20_000
# Changes that one task reduces to the newest of each row: it needs no shuffle, of which there are two else, each with
# files and a stage.
_ONE_TASK = 100_000
IS_CHANGE = "entry <> 'unreadable' and op in ('c', 'u', 'd', 'r', 't')"
_COUNTS = (
    "count(1) as read",
    *(f"count_if(entry = '{entry}') as {entry}" for entry in ENTRIES),
    f"count_if({IS_CHANGE}) as changes",
    f"count_if(entry = '{OTHER}') as {OTHER}",
    f"min(case when {IS_CHANGE} then lsn end) as lowest_lsn",
    f"min(case when {IS_CHANGE} then id end) as first_id",
    f"max(case when {IS_CHANGE} then id end) as last_id",
    "max(case when op = 't' then lsn end) as truncated",
)


def _all_read(events: DataFrame, pipeline: Pipeline) -> DataFrame:
    """Change events with those among them read that are not in the connector's own form."""
    others = events.where(f"entry = '{OTHER}'").select(*RECORD_COLUMNS)
    read = change_events(others, pipeline.max_message_bytes, pipeline.mask)
    return events.where(f"entry <> '{OTHER}'").unionByName(read)


def _counted(events: DataFrame) -> dict[str, int]:
    counts: dict[str, int] = events.selectExpr(*_COUNTS).collect()[0].asDict()
    return counts


def rows_of(events: DataFrame, table: str) -> DataFrame:
    """Change events in the columns of a table."""
    return events.selectExpr(*(f"{_EXPRESSIONS.get(name, name)} as {name}" for name in names(TABLES[table])))


def newest_changes(changes: DataFrame) -> DataFrame:
    """The winning change event of each row id, in the columns of TRANSACTIONS; truncates are left out."""
    rows = rows_of(changes.where("op in ('c', 'u', 'd', 'r')"), "transactions")
    row = f"struct({', '.join(names(TRANSACTIONS))})"

    def last(condition: str) -> str:
        return f"max_by(case when {condition} then {row} end, case when {condition} then offset end)"

    placed, snapshot = last("op <> 'r' or lsn is null"), last("op = 'r' and lsn is not null")
    by_partition = rows.groupBy("id", "partition").agg(F.expr(f"struct({placed} as s, {snapshot} as r) as at"))
    snapshot_wins = "at.s is null or (at.r.offset > at.s.offset and (at.s.op = 'r' or at.r.lsn > at.s.lsn))"
    winners = by_partition.selectExpr("id", f"case when {snapshot_wins} then at.r else at.s end as change")
    by_lsn, by_time = (f"max_by(change, struct(change.{name}, change.op <> 'd'))" for name in ("lsn", "committed_at"))
    newest = F.expr(f"case when bool_or(change.lsn is null) then {by_time} else {by_lsn} end as change")
    return winners.groupBy("id").agg(newest).selectExpr("change.*")


def mirror_batch(spark: SparkSession, pipeline: Pipeline, generation: str) -> CountedBatch:
    """The batch function of the mirror query over connector_events; it returns the conservation law's parts.
    `generation` names its checkpoint: a repeated batch appends nothing twice (Delta's txnAppId), and a new checkpoint
    is not taken for the old one."""
    for name, columns in TABLES.items():
        create_table(spark, pipeline.table(name), columns)
    current = DeltaTable.forPath(spark, pipeline.table("transactions"))
    keep = _keeper(spark, pipeline.table("transactions"))
    truncated = last_truncate(spark.read.format("delta").load(pipeline.table("transaction_changes")))

    def append(events: DataFrame, table: str, batch_id: int) -> None:
        (
            rows_of(events, table)
            .coalesce(1)
            .write.format("delta")
            .mode("append")
            .option("txnAppId", f"{generation}:{table}")
            .option("txnVersion", batch_id)
            .save(pipeline.table(table))
        )

    def mirror(batch: DataFrame, batch_id: int) -> dict[str, int]:
        events = batch.persist()
        read = events
        try:
            counts = _counted(events)
            if counts[OTHER]:
                read = _all_read(events, pipeline).persist()
                counts = _counted(read)
            return write(read, counts, batch_id)
        finally:
            events.unpersist()
            read.unpersist()

    def write(events: DataFrame, counts: dict[str, int], batch_id: int) -> dict[str, int]:
        nonlocal truncated
        if counts["unreadable"]:
            append(events.where("entry = 'unreadable'"), "quarantine", batch_id)
        changes = events.where(IS_CHANGE)
        if counts["changes"] <= _ONE_TASK:
            changes = changes.coalesce(1)
        if counts["changes"]:
            append(changes, "transaction_changes", batch_id)
        if counts["first_id"] is not None:
            keep(changes, counts["first_id"], counts["last_id"])
        truncated = max(truncated, counts["truncated"] or -1)
        # The truncate itself is the lowest change where it comes with rows written after it.
        if (counts["lowest_lsn"] or 0) <= truncated:
            current.update(f"not deleted and lsn < {truncated}", {"deleted": "true", "op": "'t'"})
        return parts_of(counts, None)

    return mirror


def _keeper(spark: SparkSession, path: str) -> Callable[[DataFrame, int, int], None]:
    """What keeps the current rows, which lie at `path`, from changes of rows from a first to a last id.

    Rows above every id that the table has had are new, and appended. A MERGE, which the others need, would join them
    with the table and write them into one file with the rows that it copies: as the newest rows are the ones that are
    changed, each batch copied the table. At 2,000 rows/s the mirror was 590,000 rows behind after an hour. For the same
    reason a MERGE writes files of _MERGED_ROWS: the next one copies those near the newest, not all that the last did.
    """
    merging = spark.newSession()
    merging.conf.set("spark.sql.files.maxRecordsPerFile", str(_MERGED_ROWS))
    # A list of any length is handed to the generated code (_among).
    merging.conf.set("spark.sql.optimizer.inSetConversionThreshold", "0")
    current = DeltaTable.forPath(merging, path)
    highest = current.toDF().agg(F.max("id")).collect()[0][0]
    highest = -(2**63) if highest is None else highest

    def keep(changes: DataFrame, first_id: int, last_id: int) -> None:
        nonlocal highest
        # Noted first: what is tried again after a failure is merged.
        known, highest = highest, max(highest, last_id)
        is_new = _is_over(known)
        if last_id > known:
            rows = newest_changes(changes.where(is_new)).coalesce(1)
            rows.write.format("delta").mode("append").save(path)
        if first_id <= known:
            older = changes.where(f"id is not null and not ({is_new})")
            merge_newest(current, newest_changes(older), older.select("id").distinct().toPandas()["id"].tolist())

    return keep


def _is_over(known: int) -> str:
    """SQL: whether a row's id is above this one.

    Spark writes a number into the code that it generates, so that each batch had code of its own: about ten classes of
    up to 3,000 lines, whose making took 3 s of a minute at a batch in 10 s, and which ran before the JVM had compiled
    them. A struct is handed to the code.
    """
    return f"struct(id) > struct({known}L)"


def merge_newest(current: DeltaTable, changes: DataFrame, ids: Sequence[int]) -> None:
    """Merge changes of the rows with these ids. That they are named changes nothing but that files without them, most
    of a large table, are not read: Delta does not find them out by itself."""
    (
        current.alias("current")
        .merge(changes.alias("change"), f"current.id = change.id and {_among(ids)}")
        .whenMatchedUpdateAll(_NEWER)
        .whenNotMatchedInsertAll()
        .execute()
    )


def _among(ids: Sequence[int]) -> str:
    """SQL: holds of a row `current` that has one of these ids, and of few others.

    Delta reads the files that may have ids between the least and the greatest of a list or of bounds. A list is handed
    to the code that Spark generates, as _is_over's struct is; bounds stand in it, and both stand in the code that
    selects files. So they begin and end with whole ranges of BOUNDS ids, and fit the next batches too.
    """
    low, high = min(ids) // BOUNDS * BOUNDS, max(ids) // BOUNDS * BOUNDS + BOUNDS - 1
    if len(ids) > LISTED:
        return f"current.id between {low} and {high}"
    return f"current.id in ({', '.join(map(str, (low, *ids, high)))})"


def last_truncate(changes: DataFrame) -> int:
    """LSN of the newest truncate among the mirrored changes; -1 for none. A partition that lags behind may still
    bring rows written before it."""
    return changes.where("op = 't'").agg(F.max("lsn")).collect()[0][0] or -1
