"""Change events as Spark columns: the same outcomes as fraudstream.cdc.envelope, without Python on the executors.

A message is parsed once. `inline(array(...))` is what makes sure of that: Spark copies the expression of a plain
projection into every filter and projection above it, and would parse for each, but never a generator's.

The connector's own messages (a whole envelope, no schema wrapper, the amount with a point) are told by a few
comparisons; any other form, and whatever is unreadable, goes to `anyform`. Generated code for all forms together was
770 kB, which the JVM does not compile.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from fraudstream.cdc import shape
from fraudstream.cdc.anyform import FIELDS, event_of_any_form

_POSITION = ("topic", "partition", "offset")
RAW_COLUMNS = ("key", "value", "timestamp")
EVENT_COLUMNS = (*_POSITION, *FIELDS)
# The message is parsed as {"m": message, "end": 1}: `end` is found only if the message is one whole JSON value, with
# nothing behind it, which from_json alone does not look for.
_PARSED = f"m {shape.ddl(shape.MESSAGE)}, `end` long, bad string"
_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": "bad",
    "maxNestingDepth": str(shape.MAX_DEPTH + 1),
    "maxNumLen": str(shape.MAX_DIGITS),
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}
_PLAIN_AMOUNT = r"\A-?[0-9]{1,11}\.[0-9]{1,2}\z"
_PLAIN_MICROS = r"\A[0-9]{15,16}\z"  # from 1973; the last of 16 digits is in 2286


def change_events(records: DataFrame, max_bytes: int = shape.MAX_BYTES, *, raw: bool = False) -> DataFrame:
    """EVENT_COLUMNS of Kafka `records` (key, value, topic, partition, offset, timestamp, headers), one row each.

    `entry` is judge, history, unjudged, ignored or unreadable, the last with its `reason` and no field that could not
    be read; `created_at` is in microseconds, the `_ms` in milliseconds since 1970. `raw` adds RAW_COLUMNS.
    """
    passed = (*_POSITION, *(RAW_COLUMNS if raw else ()))
    kept = dict.fromkeys((*passed, "value", "headers"))
    parsed = records.select(*kept, F.inline(F.array(_parse(F.col("value"), max_bytes))))
    with_row = parsed.withColumn("row", F.when(F.col("m.op") == "d", F.col("m.before")).otherwise(F.col("m.after")))
    texts = with_row.select(*kept, "m", "end", "bad", "row", *_texts())
    any_form = event_of_any_form(F.struct("m", "end", "bad", "value", "headers"), max_bytes)
    event = F.when(_is_plain(), _plain_event()).otherwise(any_form)
    # The event is computed below the generator: Spark generates code for a projection, not for a generator's input.
    found = texts.select(*passed, event.alias("event")).select(*passed, F.inline(F.array("event")))
    return found.select(*EVENT_COLUMNS, *passed[len(_POSITION) :])


def _parse(value: Column, max_bytes: int) -> Column:
    text = value.cast("string")
    readable = F.when((F.octet_length(value) <= max_bytes) & F.is_valid_utf8(text), text)
    return F.from_json(F.concat(F.lit('{"m":'), readable, F.lit(',"end":1}')), _PARSED, _OPTIONS)


def _texts() -> list[Column]:
    """Amount and card type as texts; null where they are objects or arrays."""
    return [
        F.try_variant_get(F.col(f"row.{name}"), "$", "string").alias(f"{name}_text") for name in ("amount", "card_type")
    ]


def _is_plain() -> Column:
    """Whether the message is one that the connector writes for a row, each field of which is told by its look alone."""
    # A text that begins with a capital is no number, true or false of JSON; nor is it the unavailable value's mark.
    card = F.col("card_type_text")
    has_card_text = (F.col("row.card_type").isNull() & card.isNull()) | ((card >= "A") & (card < "["))
    return F.coalesce(
        F.col("end").isNotNull()
        & F.col("bad").isNull()
        & F.col("m.payload").isNull()
        & F.col("m.op").isin("c", "u", "d", "r")
        & F.col("row.id").isNotNull()
        & F.col("row.user_id").isNotNull()
        & F.col("amount_text").rlike(_PLAIN_AMOUNT)
        & has_card_text
        & F.col("row.created_at").rlike(_PLAIN_MICROS)
        & F.col("m.source.ts_ms").between(0, shape.LAST_MS)
        & F.col("m.ts_ms").between(0, shape.LAST_MS)
        & _snapshot().isin(*shape.SNAPSHOTS),
        F.lit(False),
    )


def _snapshot() -> Column:
    return F.coalesce(F.col("m.source.snapshot"), F.lit("false"))


def _plain_event() -> Column:
    """FIELDS of a plain message; the meaning of each is that of `anyform`."""
    moved = F.coalesce(F.arrays_overlap(F.col("headers.key"), F.array(*map(F.lit, shape.MOVED_HEADERS))), F.lit(False))
    snapshot, op, created_at = _snapshot(), F.col("m.op"), F.col("row.created_at").cast("long")
    in_time = created_at <= (F.col("m.ts_ms") + shape.DAY_MS) * 1000
    ignored = op.isin("u", "d") | moved | (snapshot == "incremental")
    entry = (
        F.when(ignored, "ignored").when(~in_time, "unjudged").otherwise(F.when(op == "c", "judge").otherwise("history"))
    )
    before = F.col("m.before")
    has_before = before["id"].isNotNull() & before["user_id"].isNotNull()
    values = {
        "entry": entry,
        "reason": F.lit(None).cast("string"),
        "op": op,
        "id": F.col("row.id"),
        "user_id": F.col("row.user_id"),
        "cents": F.rint(F.col("amount_text").cast("double") * 100).cast("long"),
        "card_type": F.col("card_type_text"),
        "merchant_id": F.col("row.merchant_id"),
        "created_at": created_at,
        "lsn": F.col("m.source.lsn"),
        "tx_id": F.col("m.source.txId"),
        "committed_ms": F.col("m.source.ts_ms"),
        "captured_ms": F.col("m.ts_ms"),
        "snapshot": snapshot,
        "moved": moved,
        "before_id": F.when(has_before, before["id"]),
        "before_user_id": F.when(has_before, before["user_id"]),
    }
    return F.struct(*(values[name].alias(name) for name in FIELDS))
