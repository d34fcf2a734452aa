"""Updates, deletes and key changes for rules with corrections: what each does to a history (corrections.Change)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from fraudstream.cdc import shape
from fraudstream.rulebook.corrections import Change

CORRECTION = "correction"


def with_corrections(events: DataFrame) -> DataFrame:
    """Of cdc.columns.change_events, those that correct a history as entries of their own, and the column `change`."""
    is_change = (F.col("entry") == "ignored") & F.coalesce(
        (F.col("op").isin("u", "d") & (F.col("moved") | (F.col("snapshot") != "incremental")))
        | ((F.col("op") == "c") & F.col("moved")),
        F.lit(False),
    )
    return events.withColumns(
        {
            "entry": F.when(is_change, CORRECTION).otherwise(F.col("entry")),
            "change": F.when(is_change, _change()).otherwise(_as_column(Change.ENTER)),
        }
    )


def in_halves(events: DataFrame) -> DataFrame:
    """An update that moves a row to another user or id as two rows: it leaves the one and joins the other."""
    here = _half("id", "user_id", F.col("change"))
    leaving = _half("before_id", "before_user_id", F.col("change"))
    joining = _half("id", "user_id", _as_column(Change.FOLLOW))
    is_whole = ~((F.col("op") == "u") & (F.col("change") == Change.LEAVE.value))
    halves = (
        F.when(is_whole, F.array(here)).when(_is_judgeable(), F.array(leaving, joining)).otherwise(F.array(leaving))
    )
    others = [name for name in events.columns if name not in ("id", "user_id", "change")]
    return events.select(*others, F.inline(halves))


def _change() -> Column:
    op, before = F.col("op"), F.col("before_id")
    moves = (before != F.col("id")) | (F.col("before_user_id") != F.col("user_id"))
    is_blind = F.col("lsn").isNull() | ((op == "u") & before.isNull())
    return (
        F.when(is_blind, _as_column(Change.BLIND))
        .when(op == "d", F.when(F.col("moved"), _as_column(Change.LEAVE)).otherwise(_as_column(Change.DELETE)))
        .when((op == "u") & moves, _as_column(Change.LEAVE))
        .when(~_is_judgeable(), _as_column(Change.BLANK))
        .when(op == "c", _as_column(Change.JOIN))
        .otherwise(_as_column(Change.REPLACE))
    )


def _half(number: str, user: str, change: Column) -> Column:
    return F.struct(F.col(number).alias("id"), F.col(user).alias("user_id"), change.alias("change"))


def _as_column(change: Change) -> Column:
    return F.lit(change.value)


def _is_judgeable() -> Column:
    """Whether the row has an amount and a time from 1970 to one day after its capture, as for an insert."""
    last = (F.col("captured_ms") + shape.DAY_MS) * 1000
    is_in_time = (F.col("created_at") >= 0) & (F.col("captured_ms").isNull() | (F.col("created_at") <= last))
    return F.coalesce(F.col("cents").isNotNull() & is_in_time, F.lit(False))
