"""Change events as Spark columns: the same outcomes as fraudstream.cdc.envelope, without Python on the executors.

The connector's own messages (a whole envelope, no schema wrapper, the amount with a point) are told by a few
comparisons; every other form, and whatever is unreadable, takes `anyform`. Its many expressions cost a micro-batch of
6,000 rows 0.29 of 0.42 CPU seconds for planning alone, so that queries of short batches leave such messages, which
are few or none, to other means: `connector_events` names them only.

A message is parsed once. `inline(array(...))` is what makes sure of that: Spark copies the expression of a plain
projection into every filter and projection above it, and would parse for each, but never a generator's.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import arrow_udf

from fraudstream.cdc import shape
from fraudstream.cdc.anyform import FIELDS, event_of_any_form, is_moved
from fraudstream.cdc.parse import parsed_message
from fraudstream.masking import Mask, masked_ids

OTHER = "other"
RECORD_COLUMNS = ("key", "value", "topic", "partition", "offset", "timestamp", "headers")
_POSITION = ("topic", "partition", "offset")
RAW_COLUMNS = tuple(name for name in RECORD_COLUMNS if name not in _POSITION)
EVENT_COLUMNS = (*_POSITION, *FIELDS)
_PLAIN_AMOUNT = r"\A-?[0-9]{1,11}\.[0-9]{1,2}\z"
_ESCAPE = r"\u"  # of a letter that the connector writes as it is; it may be half a surrogate pair
_PLAIN_MICROS = r"\A[0-9]{15,16}\z"  # from 1973; the last of 16 digits is in 2286


def change_events(records: DataFrame, max_bytes: int = shape.MAX_BYTES, mask: Mask | None = None) -> DataFrame:
    """EVENT_COLUMNS of Kafka `records` (RECORD_COLUMNS), one row each, and RAW_COLUMNS, null where these are not needed
    to read the event.

    `entry` is judge, history, unjudged, ignored or unreadable, the last with its `reason` and no field that could not
    be read; `created_at` is in microseconds, the `_ms` in milliseconds since 1970. User ids are masked by `mask`.
    """
    found = _connector_events(records, max_bytes)
    any_form = event_of_any_form(F.col("value"), F.col("headers"), max_bytes)
    event = F.when(F.col("entry") == OTHER, any_form).otherwise(F.struct(*FIELDS))
    # The event is computed below the generator: Spark generates code for a projection, not for a generator's input.
    events = found.select(*_POSITION, *RAW_COLUMNS, event.alias("event"))
    return _masked(events.select(*_POSITION, F.inline(F.array("event")), *RAW_COLUMNS), mask)


def connector_events(records: DataFrame, max_bytes: int = shape.MAX_BYTES, mask: Mask | None = None) -> DataFrame:
    """As `change_events`, for messages of the connector's own form.

    What any other message is remains to be seen: its `entry` is OTHER, RAW_COLUMNS are its own, and of the fields only
    `user_id` and `merchant_id` mean something: if the message brings a new row, they are the row's."""
    return _masked(_connector_events(records, max_bytes), mask)


def _connector_events(records: DataFrame, max_bytes: int) -> DataFrame:
    parsed = records.select(
        *RECORD_COLUMNS, F.inline(F.array(parsed_message(F.col("value"), shape.CONNECTOR_MESSAGE, max_bytes)))
    )
    row = F.when(F.col("m.op") == "d", F.col("m.before")).otherwise(F.col("m.after"))
    known = parsed.withColumns({"row": row}).withColumns({"known": _is_known()})
    return known.select(
        *_POSITION,
        *(column.alias(name) for name, column in _fields().items()),
        *(F.when(~F.col("known"), F.col(name)).alias(name) for name in RAW_COLUMNS),
    )


def _masked(events: DataFrame, mask: Mask | None) -> DataFrame:
    """The events with their user ids masked."""
    if mask is None:
        return events

    def masked(ids: pa.Array) -> pa.Array:
        found = masked_ids(pc.fill_null(ids, 0).to_numpy(zero_copy_only=False), mask)
        return pa.array(found, mask=ids.is_null().to_numpy(zero_copy_only=False))

    column = arrow_udf(masked, "long")  # type: ignore[call-overload]
    return events.withColumns({name: column(name) for name in ("user_id", "before_user_id")})


def _is_known() -> Column:
    """Whether the message is one that the connector writes for a row, each field of which is told by its look alone
    (or a tombstone, which follows a delete with the connector's defaults)."""
    # A text that begins with a capital is no number, true or false of JSON; nor is it the unavailable value's mark.
    card = F.col("row.card_type")
    is_row = (
        F.col("end").isNotNull()
        & F.col("bad").isNull()
        & F.col("m.payload").isNull()
        & F.coalesce(*(F.col(f"m.{name}") for name in ("schema", *shape.FLAT_FIELDS))).isNull()
        & F.col("m.op").isin("c", "u", "d", "r")
        & F.col("row.id").isNotNull()
        & F.col("row.user_id").isNotNull()
        & F.col("row.amount").rlike(_PLAIN_AMOUNT)
        & (card.isNull() | ((card >= "A") & (card < "[") & (F.octet_length(card) <= shape.MAX_CARD)))
        & ~F.col("value").cast("string").contains(_ESCAPE)
        & _is_alone()
        & F.col("row.created_at").rlike(_PLAIN_MICROS)
        & F.col("m.source.ts_ms").between(0, shape.LAST_MS)
        & F.col("m.ts_ms").between(0, shape.LAST_MS)
        & _snapshot().isin(*shape.SNAPSHOTS)
    )
    return F.col("value").isNull() | F.coalesce(is_row, F.lit(False))


def _is_alone() -> Column:
    """Whether nothing stands behind a message of flat rows and source: their braces are all there are, and the last
    ends the text. (A regular expression of the whole text says the same, but took 9 % of the CPU at 2,000 rows/s.)"""
    text = F.col("value").cast("string")
    images = (F.when(F.col(f"m.{image}").isNotNull(), 1).otherwise(0) for image in ("before", "after"))
    objects = reduce(add, images, F.lit(2))

    def count(brace: str) -> Column:
        return F.octet_length(text) - F.octet_length(F.replace(text, F.lit(brace), F.lit("")))

    return text.endswith("}") & (count("{") == objects) & (count("}") == objects)


def _key(name: str) -> Column:
    """The row's user_id or merchant_id, of a message of any form that brings a new row."""

    def of(message: str, flat: Column) -> Column:
        return F.when(F.col(f"{message}.op").isNull(), flat).otherwise(F.col(f"{message}.after.{name}"))

    wrapped, alone = of("m.payload", F.col(f"m.payload.{name}")), of("m", F.col(f"m.{name}").try_cast("long"))
    of_other = F.when(F.col("m.payload").isNotNull(), wrapped).otherwise(alone)
    return F.when(F.col("known"), F.col(f"row.{name}")).otherwise(of_other)


def _snapshot() -> Column:
    return F.coalesce(F.col("m.source.snapshot"), F.lit("false"))


def _fields() -> dict[str, Column]:
    """FIELDS of a known message; the meaning of each is that of `anyform`."""
    known, snapshot, op = F.col("known"), _snapshot(), F.col("m.op")
    created_at = F.when(known, F.col("row.created_at").cast("long"))
    moved = is_moved(F.col("headers"))
    before = F.col("m.before")
    has_before = before["id"].isNotNull() & before["user_id"].isNotNull()
    is_tombstone = F.col("value").isNull()
    ignored = is_tombstone | op.isin("u", "d") | moved | (snapshot == "incremental")
    in_time = created_at <= (F.col("m.ts_ms") + shape.DAY_MS) * 1000
    fields = {
        "entry": F.when(~known, OTHER)
        .when(ignored, "ignored")
        .when(~in_time, "unjudged")
        .otherwise(F.when(op == "c", "judge").otherwise("history")),
        "reason": F.lit(None).cast("string"),
        "op": F.when(is_tombstone, "tombstone").otherwise(op),
        "id": F.col("row.id"),
        "user_id": _key("user_id"),
        "cents": F.when(known, F.rint(F.col("row.amount").cast("double") * 100).cast("long")),
        "card_type": F.col("row.card_type"),
        "merchant_id": _key("merchant_id"),
        "created_at": created_at,
        "lsn": F.col("m.source.lsn"),
        "tx_id": F.col("m.source.txId"),
        "committed_ms": F.col("m.source.ts_ms"),
        "captured_ms": F.col("m.ts_ms"),
        "snapshot": snapshot,
        "moved": moved & ~is_tombstone,
        "before_id": F.when(has_before, before["id"]),
        "before_user_id": F.when(has_before, before["user_id"]),
    }
    return {name: fields[name] for name in FIELDS}
