"""Change events as Spark columns: the same outcomes as fraudstream.cdc.envelope, without Python on the executors.

A message is parsed once. `inline(array(from_json(...)))` is what makes sure of that: Spark copies the expression of a
plain projection into every filter and projection above it, and would parse for each, but never a generator's.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from fraudstream.cdc import shape

EVENT_COLUMNS = (
    "topic", "partition", "offset", "entry", "reason", "op", "id", "user_id", "cents", "card_type", "merchant_id",
    "created_at", "lsn", "tx_id", "committed_ms", "captured_ms", "snapshot", "moved", "before_id",
    "before_user_id",
)  # fmt: skip
RAW_COLUMNS = ("key", "value", "timestamp")
_POSITION = ("topic", "partition", "offset")
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
_META = {
    "lsn": ("source.lsn", "__source_lsn"),
    "tx_id": ("source.txId", "__source_txId"),
    "committed_ms": ("source.ts_ms", "__source_ts_ms"),
    "snapshot": ("source.snapshot", "__source_snapshot"),
}


def change_events(records: DataFrame, max_bytes: int = shape.MAX_BYTES, *, raw: bool = False) -> DataFrame:
    """EVENT_COLUMNS of Kafka `records` (key, value, topic, partition, offset, timestamp, headers), one row each.

    `entry` is judge, history, unjudged, ignored or unreadable, the last with its `reason` and no field that could not
    be read; `created_at` is in microseconds, the `_ms` in milliseconds since 1970. `raw` adds RAW_COLUMNS.
    """
    passed = (*_POSITION, *(RAW_COLUMNS if raw else ()))
    kept = dict.fromkeys((*passed, "value", "headers"))
    parsed = records.select(*kept, F.inline(F.array(_parse(F.col("value"), max_bytes))))
    found = parsed.select(*kept, "m", "end", "bad", F.col("m.payload").isNotNull().alias("wrapped"))
    fields = found.select(*kept, *_fields(max_bytes))
    values = fields.select(*passed, "fault", "op", "row", "complete", "captured_ms", *_META, *_values())
    checked = values.select("*", _reason().alias("reason"))
    return checked.select(*(_result(name).alias(name) for name in EVENT_COLUMNS), *passed[len(_POSITION) :])


def _parse(value: Column, max_bytes: int) -> Column:
    text = value.cast("string")
    readable = F.when((F.octet_length(value) <= max_bytes) & F.is_valid_utf8(text), text)
    return F.from_json(F.concat(F.lit('{"m":'), readable, F.lit(',"end":1}')), _PARSED, _OPTIONS)


def _of(path: str) -> Column:
    """A field of the payload, or of the message itself where it is not wrapped."""
    return F.when(F.col("wrapped"), F.col(f"m.payload.{path}")).otherwise(F.col(f"m.{path}"))


def _fields(max_bytes: int) -> list[Column]:
    """What the forms hold in different places, in one place."""
    flat = _of("op").isNull() & _of("__op").isNotNull()
    op = F.coalesce(_of("op"), _of("__op"))
    flat_row = F.when(flat, F.struct(*(_of(name).alias(name) for name in shape.ROW_FIELDS)))
    row = F.when(flat, flat_row).when(op == "d", _of("before")).otherwise(_of("after"))
    complete = ~flat | (_of("__source_ts_ms").isNotNull() & _of("__deleted").isNotNull())
    metas = {name: F.when(flat, _of(theirs)).otherwise(_of(ours)) for name, (ours, theirs) in _META.items()}
    has_before = ~flat & _of("before.id").isNotNull() & _of("before.user_id").isNotNull()
    is_moved = [F.array_contains(F.col("headers.key"), name) for name in shape.MOVED_HEADERS]
    return [
        _fault(max_bytes).alias("fault"),
        F.when(F.col("value").isNull(), "tombstone")
        .when(op.isNull() & _is_heartbeat(), "heartbeat")
        .otherwise(op)
        .alias("op"),
        row.alias("row"),
        complete.alias("complete"),
        F.when(op.isNotNull(), F.coalesce(F.when(flat, None).otherwise(_of("ts_ms")), metas["committed_ms"]))
        .otherwise(_of("ts_ms"))
        .alias("captured_ms"),
        *(column.alias(name) for name, column in metas.items()),
        F.coalesce(is_moved[0] | is_moved[1], F.lit(False)).alias("moved"),
        F.when(has_before, _of("before.id")).alias("before_id"),
        F.when(has_before, _of("before.user_id")).alias("before_user_id"),
        (_of("id").isNotNull() & _of("user_id").isNotNull()).alias("like_row"),
        *_descriptions(),
    ]


def _fault(max_bytes: int) -> Column:
    """Why the message is not JSON of the right types; null if it is."""
    value = F.col("value")
    unparsed = (
        F.when(value.isNull(), None)
        .when(F.octet_length(value) > max_bytes, shape.too_large(max_bytes))
        .when(~F.is_valid_utf8(value.cast("string")), shape.NOT_UTF8)
        .otherwise(shape.NOT_JSON)
    )
    return (
        F.when(F.col("end").isNull(), unparsed)
        .when(F.col("m").isNull(), shape.NOT_EVENT)
        .when(F.col("bad").isNotNull(), shape.WRONG_TYPE)
    )


def _is_heartbeat() -> Column:
    by_shape = F.col("value").cast("string").rlike(_whole(shape.HEARTBEAT_TEXT))
    named = F.col("wrapped") & (F.col("m.schema.name") == shape.HEARTBEAT_SCHEMA)
    return _of("ts_ms").isNotNull() & (by_shape | named)


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


def _descriptions() -> list[Column]:
    """What a schema wrapper tells of the columns amount and created_at."""
    fields = F.col("m.schema.fields")
    is_envelope = F.array_contains(fields["field"], "after")
    columns = F.when(is_envelope, _at(fields["fields"], fields["field"], "after"))

    def described(column: str, part: str) -> Column:
        inner, outer = _at(columns[part], columns["field"], column), _at(fields[part], fields["field"], column)
        return F.when(F.col("wrapped"), F.when(is_envelope, inner).otherwise(outer))

    return [
        described("amount", "field").isNotNull().alias("described"),
        F.coalesce(described("amount", "name") == shape.DECIMAL_SCHEMA, F.lit(False)).alias("is_decimal"),
        described("amount", "parameters")["scale"].alias("scale"),
        described("created_at", "name").alias("unit"),
    ]


def _at(values: Column, names: Column, name: str) -> Column:
    return F.get(values, F.array_position(names, name).cast("int") - 1)


def _values() -> list[Column]:
    kind = F.schema_of_variant(F.col("row.amount"))
    card_kind = F.schema_of_variant(F.col("row.card_type"))
    text = F.when(kind == "STRING", F.try_variant_get(F.col("row.amount"), "$", "string"))
    no_number = kind.isNull() | (kind == "VOID") | text.rlike(_whole(shape.NO_NUMBER_TEXT))
    cents = F.when(no_number, None).when(kind == "STRING", _cents_of_text(text)).otherwise(_cents_of_other(kind))
    return [
        *(F.col(name) for name in ("moved", "before_id", "before_user_id", "like_row")),
        F.coalesce(no_number, F.lit(False)).alias("no_number"),
        F.when(F.abs(cents) < shape.CENTS_LIMIT, cents).alias("cents"),
        (~F.col("described") & text.rlike(_whole(shape.AMBIGUOUS_TEXT))).alias("ambiguous"),
        (card_kind.isNull() | card_kind.isin("STRING", "VOID")).alias("card_is_text"),
        F.try_variant_get(F.col("row.card_type"), "$", "string").alias("card_type"),
        _micros().alias("created_at"),
    ]


def _cents_of_text(text: Column) -> Column:
    decimal = F.rint(text.try_cast("double") * 100).cast("long")
    scale = F.when(F.col("scale").isNull(), shape.DEFAULT_SCALE).when(
        F.col("scale").rlike(_whole(shape.SCALE_TEXT)), F.col("scale").try_cast("int")
    )
    return F.when(~F.col("is_decimal") & text.rlike(_whole(shape.DECIMAL_TEXT)), decimal).when(
        F.col("is_decimal") | ~F.col("described"), _cents_of_base64(text, scale)
    )


def _cents_of_other(kind: Column) -> Column:
    amount = F.col("row.amount")
    number = F.try_variant_get(amount, "$", "double")
    cents = F.rint(number * 100)
    is_number = kind.isin("BIGINT", "DOUBLE") | kind.startswith("DECIMAL")
    is_exact = (F.abs(number) < shape.CENTS_LIMIT // 100) & (cents / 100 == number)
    scale = F.try_variant_get(amount, "$.scale", "int")
    struct = _cents_of_base64(F.try_variant_get(amount, "$.value", "string"), F.when(scale.between(0, 17), scale))
    return F.when(is_number, F.when(is_exact, cents.cast("long"))).when(
        kind == "OBJECT<scale: BIGINT, value: STRING>", struct
    )


def _cents_of_base64(text: Column, scale: Column) -> Column:
    """Cents of a big-endian two's complement integer of at most 8 bytes; null if it is none or has more places."""
    digits = F.hex(F.unbase64(text))
    sign = F.when(F.substring(digits, 1, 1) >= "8", "F").otherwise("0")
    unscaled = F.conv(F.lpad(digits, 16, sign), 16, -10).cast("long")
    tens = F.array(*(F.lit(10**power) for power in range(16)))
    divisor = F.get(tens, scale - 2)
    is_base64 = text.rlike(_whole(shape.BASE64_TEXT)) & (F.length(digits) <= 16)
    reduced = F.when(unscaled % divisor == 0, F.try_divide(unscaled, divisor).cast("long"))
    return F.when(is_base64, F.when(scale > 2, reduced).otherwise(F.try_multiply(unscaled, F.get(tens, 2 - scale))))


def _micros() -> Column:
    text = F.col("row.created_at")
    number, unit = text.try_cast("long"), F.col("unit")
    is_millis = F.when(unit.isNull(), number.between(*shape.MILLIS_RANGE)).otherwise(unit.isin(*shape.MILLIS))
    whole = (
        F.when(unit == shape.NANOS, F.floor(number / 1000))
        .when(is_millis, F.try_multiply(number, F.lit(1000)))
        .otherwise(number)
    )
    zoned = F.when(text.rlike("(?:Z|[+-][0-9:]{5})$"), text).otherwise(F.concat(text, F.lit("Z")))
    far = F.when(text.startswith("-"), shape.FAR_PAST).otherwise(F.lit(shape.FAR_FUTURE))
    return (
        F.when(text.rlike(_whole(shape.WHOLE_TEXT)), whole)
        .when(text.rlike(_whole(shape.TIME_TEXT)), F.unix_micros(zoned.try_cast("timestamp")))
        .when(text.rlike(_whole(shape.FAR_TIME_TEXT)), far)
    )


def _reason() -> Column:
    op, row = F.col("op"), F.col("row")
    clocks = F.coalesce(F.col("committed_ms"), F.lit(0)).between(0, shape.LAST_MS) & F.coalesce(
        F.col("captured_ms"), F.lit(0)
    ).between(0, shape.LAST_MS)
    return (
        F.when(F.col("fault").isNotNull(), F.col("fault"))
        .when(op == "tombstone", None)
        .when(op == "heartbeat", F.when(~clocks, shape.BAD_CLOCK))
        .when(op.isNull(), F.when(F.col("like_row"), shape.NOT_COMPLETE).otherwise(shape.NOT_EVENT))
        .when(~op.isin(*shape.OPERATIONS), shape.NOT_EVENT)
        .when(~F.col("complete"), shape.NOT_COMPLETE)
        .when(~clocks, shape.BAD_CLOCK)
        .when(~F.coalesce(F.col("snapshot"), F.lit("false")).isin(*shape.SNAPSHOTS), shape.BAD_SNAPSHOT)
        .when(op == "t", None)
        .when(row.isNull(), shape.NO_ROW)
        .when(row["id"].isNull(), shape.NO_ID)
        .when(row["user_id"].isNull(), shape.NO_USER)
        .when(F.col("ambiguous"), shape.AMBIGUOUS_AMOUNT)
        .when(~F.col("no_number") & F.col("cents").isNull(), shape.BAD_AMOUNT)
        .when(~F.col("card_is_text"), shape.BAD_CARD)
        .when(F.col("card_type") == shape.UNAVAILABLE, shape.NO_CARD)
        .when(row["created_at"].isNotNull() & F.col("created_at").isNull(), shape.BAD_TIME)
    )


def _entry() -> Column:
    last = (F.col("captured_ms") + shape.DAY_MS) * 1000
    judgeable = (
        F.col("cents").isNotNull()
        & (F.col("created_at") >= 0)
        & (F.col("captured_ms").isNull() | (F.col("created_at") <= last))
    )
    is_row = F.col("op").isin("c", "r") & ~F.col("moved") & (F.coalesce(F.col("snapshot"), F.lit("")) != "incremental")
    return (
        F.when(F.col("reason").isNotNull(), "unreadable")
        .when(~F.coalesce(is_row, F.lit(False)), "ignored")
        .when(~F.coalesce(judgeable, F.lit(False)), "unjudged")
        .otherwise(F.when(F.col("op") == "c", "judge").otherwise("history"))
    )


def _result(name: str) -> Column:
    """An output column; what an unreadable message holds is not shown, its raw bytes tell."""
    if name == "entry":
        return _entry()
    if name in (*_POSITION, "reason"):
        return F.col(name)
    is_row = F.col("reason").isNull() & F.col("row").isNotNull() & (F.col("op") != "t")
    if name in ("id", "user_id", "merchant_id"):
        return F.when(is_row, F.col(f"row.{name}"))
    if name in ("cents", "card_type", "created_at"):
        return F.when(is_row, F.col(name))
    if name == "snapshot":
        return F.when(F.col("reason").isNull(), F.coalesce(F.col(name), F.lit("false")))
    if name == "moved":
        return F.col("reason").isNull() & F.col("moved") & F.col("op").isin(*shape.OPERATIONS)
    return F.when(F.col("reason").isNull(), F.col(name))
