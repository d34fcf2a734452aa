"""A message of any form as a change event, in Spark's own expressions.

These are many, and code generated for all of them would be too large for the JVM to compile. They are therefore put
into a lambda, which Spark interprets, and only for messages that `columns` cannot tell with a few comparisons.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.cdc import shape
from fraudstream.cdc.parse import is_one_value, parsed_message

# A field of the record, by its path.
At = Callable[[str], Column]
FIELDS = (
    "entry", "reason", "op", "id", "user_id", "cents", "card_type", "merchant_id", "created_at", "lsn", "tx_id",
    "committed_ms", "captured_ms", "snapshot", "moved", "before_id", "before_user_id",
)  # fmt: skip
_META = {
    "lsn": ("source.lsn", "__source_lsn"),
    "tx_id": ("source.txId", "__source_txId"),
    "committed_ms": ("source.ts_ms", "__source_ts_ms"),
    "snapshot": ("source.snapshot", "__source_snapshot"),
}
_PASSED = ("fault", "op", "row", "complete", "captured_ms", *_META, "moved", "before_id", "before_user_id", "like_row")


def event_of_any_form(value: Column, headers: Column, max_bytes: int) -> Column:
    """FIELDS as a struct, from a record's value and headers."""

    def with_message(record: Column) -> Column:
        parsed = parsed_message(record["value"], shape.MESSAGE, max_bytes)
        return _let(F.struct(parsed.alias("parsed"), *_record(record)), with_parsed)

    def with_parsed(record: Column) -> Column:
        parsed = record["parsed"]
        named = [parsed[name].alias(name) for name in ("m", "end", "bad")]
        is_wrapped = parsed["m"]["payload"].isNotNull().alias("wrapped")
        return _let(F.struct(is_wrapped, *named, *_record(record)), with_fields)

    def with_fields(record: Column) -> Column:
        return _let(F.struct(*_fields(_at(record), max_bytes)), with_values)

    def with_values(fields: Column) -> Column:
        at = _at(fields)
        return _let(F.struct(*(at(name).alias(name) for name in _PASSED), *_values(at)), with_reason)

    def with_reason(values: Column) -> Column:
        return _let(F.struct(values.alias("v"), _reason(_at(values)).alias("reason")), with_result)

    def with_result(judged: Column) -> Column:
        def at(path: str) -> Column:
            return judged["reason"] if path == "reason" else _at(judged["v"])(path)

        return F.struct(*(_result(at, name).alias(name) for name in FIELDS))

    return _let(F.struct(value.alias("value"), headers.alias("headers")), with_message)


def _record(record: Column) -> list[Column]:
    return [record[name].alias(name) for name in ("value", "headers")]


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """`body` of a value that is computed once."""
    return F.transform(F.array(value), body)[0]


def _at(record: Column) -> At:
    def field(path: str) -> Column:
        found = record
        for name in path.split("."):
            found = found[name]
        return found

    return field


def _of(at: At, path: str) -> Column:
    """A field of the payload, or of the message itself where it is not wrapped."""
    return F.when(at("wrapped"), at(f"m.payload.{path}")).otherwise(at(f"m.{path}"))


def _fields(at: At, max_bytes: int) -> list[Column]:
    """What the forms hold in different places, in one place."""
    flat = _of(at, "op").isNull() & _of(at, "__op").isNotNull()
    op = F.coalesce(_of(at, "op"), _of(at, "__op"))
    flat_row = F.when(flat, F.struct(*(_of(at, name).alias(name) for name in shape.ROW_FIELDS)))
    row = F.when(flat, flat_row).when(op == "d", _of(at, "before")).otherwise(_of(at, "after"))
    complete = ~flat | (_of(at, "__source_ts_ms").isNotNull() & _of(at, "__deleted").isNotNull())
    metas = {name: F.when(flat, _of(at, theirs)).otherwise(_of(at, ours)) for name, (ours, theirs) in _META.items()}
    has_before = ~flat & (op != "t") & _of(at, "before.id").isNotNull() & _of(at, "before.user_id").isNotNull()
    return [
        _fault(at, max_bytes).alias("fault"),
        F.when(at("value").isNull(), "tombstone")
        .when(op.isNull() & _is_heartbeat(at), "heartbeat")
        .when(~op.isin(*shape.OPERATIONS), "unknown")  # it may be one of the words above
        .otherwise(op)
        .alias("op"),
        row.alias("row"),
        complete.alias("complete"),
        F.when(op.isNotNull(), F.coalesce(F.when(flat, None).otherwise(_of(at, "ts_ms")), metas["committed_ms"]))
        .otherwise(_of(at, "ts_ms"))
        .alias("captured_ms"),
        *(column.alias(name) for name, column in metas.items()),
        is_moved(at("headers")).alias("moved"),
        F.when(has_before, _of(at, "before.id")).alias("before_id"),
        F.when(has_before, _of(at, "before.user_id")).alias("before_user_id"),
        (_of(at, "id").isNotNull() & _of(at, "user_id").isNotNull()).alias("like_row"),
        *_descriptions(at),
    ]


def is_moved(headers: Column) -> Column:
    """Whether a record with these headers is half of a key change."""
    names = F.array(*map(F.lit, shape.MOVED_HEADERS))
    return F.coalesce(F.arrays_overlap(headers.getField("key"), names), F.lit(False))


def _fault(at: At, max_bytes: int) -> Column:
    """Why the message is not JSON of the right types; null if it is."""
    value = at("value")
    unparsed = (
        F.when(value.isNull(), None)
        .when(F.octet_length(value) > max_bytes, shape.too_large(max_bytes))
        .when(~F.is_valid_utf8(value.cast("string")), shape.NOT_UTF8)
        .otherwise(shape.NOT_JSON)
    )
    return (
        F.when(at("end").isNull() | ~is_one_value(value), unparsed)
        .when(at("m").isNull(), shape.NOT_EVENT)
        .when(at("bad").isNotNull(), shape.WRONG_TYPE)
    )


def _is_heartbeat(at: At) -> Column:
    by_shape = at("value").cast("string").rlike(_whole(shape.HEARTBEAT_TEXT))
    named = at("wrapped") & (at("m.schema.name") == shape.HEARTBEAT_SCHEMA)
    return _of(at, "ts_ms").isNotNull() & (by_shape | named)


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


def _descriptions(at: At) -> list[Column]:
    """What a schema wrapper tells of the columns amount and created_at."""
    fields = at("m.schema.fields")
    is_envelope = F.array_contains(fields["field"], "after")
    columns = F.when(is_envelope, _element(fields["fields"], fields["field"], "after"))

    def described(column: str, part: str) -> Column:
        inner, outer = (
            _element(columns[part], columns["field"], column),
            _element(fields[part], fields["field"], column),
        )
        return F.when(at("wrapped"), F.when(is_envelope, inner).otherwise(outer))

    return [
        described("amount", "field").isNotNull().alias("described"),
        F.coalesce(described("amount", "name") == shape.DECIMAL_SCHEMA, F.lit(False)).alias("is_decimal"),
        described("amount", "parameters")["scale"].alias("scale"),
        described("created_at", "name").alias("unit"),
    ]


def _element(values: Column, names: Column, name: str) -> Column:
    return F.get(values, F.array_position(names, name).cast("int") - 1)


def _values(at: At) -> list[Column]:
    kind = F.schema_of_variant(at("row.amount"))
    card_kind = F.schema_of_variant(at("row.card_type"))
    text = F.when(kind == "STRING", F.try_variant_get(at("row.amount"), "$", "string"))
    no_number = kind.isNull() | (kind == "VOID") | text.rlike(_whole(shape.NO_NUMBER_TEXT))
    cents = (
        F.when(no_number, None).when(kind == "STRING", _cents_of_text(at, text)).otherwise(_cents_of_other(at, kind))
    )
    return [
        F.coalesce(no_number, F.lit(False)).alias("no_number"),
        F.when(F.abs(cents) < shape.CENTS_LIMIT, cents).alias("cents"),
        (~at("described") & text.rlike(_whole(shape.AMBIGUOUS_TEXT))).alias("ambiguous"),
        (card_kind.isNull() | card_kind.isin("STRING", "VOID")).alias("card_is_text"),
        F.try_variant_get(at("row.card_type"), "$", "string").alias("card_type"),
        _micros(at).alias("created_at"),
    ]


def _cents_of_text(at: At, text: Column) -> Column:
    decimal = F.rint(text.try_cast("double") * 100).cast("long")
    scale = F.when(at("scale").isNull(), shape.DEFAULT_SCALE).when(
        at("scale").rlike(_whole(shape.SCALE_TEXT)), at("scale").try_cast("int")
    )
    return F.when(~at("is_decimal") & text.rlike(_whole(shape.DECIMAL_TEXT)), decimal).when(
        at("is_decimal") | ~at("described"), _cents_of_base64(text, scale)
    )


def _cents_of_other(at: At, kind: Column) -> Column:
    amount = at("row.amount")
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


def _micros(at: At) -> Column:
    text = at("row.created_at")
    number, unit = text.try_cast("long"), at("unit")
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


def _reason(at: At) -> Column:
    op, row = at("op"), at("row")
    clocks = F.coalesce(at("committed_ms"), F.lit(0)).between(0, shape.LAST_MS) & F.coalesce(
        at("captured_ms"), F.lit(0)
    ).between(0, shape.LAST_MS)
    return (
        F.when(at("fault").isNotNull(), at("fault"))
        .when(op == "tombstone", None)
        .when(op == "heartbeat", F.when(~clocks, shape.BAD_CLOCK))
        .when(op.isNull(), F.when(at("like_row"), shape.NOT_COMPLETE).otherwise(shape.NOT_EVENT))
        .when(~op.isin(*shape.OPERATIONS), shape.NOT_EVENT)
        .when(~at("complete"), shape.NOT_COMPLETE)
        .when(~clocks, shape.BAD_CLOCK)
        .when(~F.coalesce(at("snapshot"), F.lit("false")).isin(*shape.SNAPSHOTS), shape.BAD_SNAPSHOT)
        .when(op == "t", None)
        .when(row.isNull(), shape.NO_ROW)
        .when(row["id"].isNull(), shape.NO_ID)
        .when(row["user_id"].isNull(), shape.NO_USER)
        .when(at("ambiguous"), shape.AMBIGUOUS_AMOUNT)
        .when(~at("no_number") & at("cents").isNull(), shape.BAD_AMOUNT)
        .when(~at("card_is_text"), shape.BAD_CARD)
        .when(at("card_type") == shape.UNAVAILABLE, shape.NO_CARD)
        .when(F.char_length(at("card_type")) > shape.MAX_CARD, shape.LONG_CARD)
        .when(row["created_at"].isNotNull() & at("created_at").isNull(), shape.BAD_TIME)
    )


def _entry(at: At) -> Column:
    last = (at("captured_ms") + shape.DAY_MS) * 1000
    judgeable = (
        at("cents").isNotNull() & (at("created_at") >= 0) & (at("captured_ms").isNull() | (at("created_at") <= last))
    )
    is_row = at("op").isin("c", "r") & ~at("moved") & (F.coalesce(at("snapshot"), F.lit("")) != "incremental")
    return (
        F.when(at("reason").isNotNull(), "unreadable")
        .when(~F.coalesce(is_row, F.lit(False)), "ignored")
        .when(~F.coalesce(judgeable, F.lit(False)), "unjudged")
        .otherwise(F.when(at("op") == "c", "judge").otherwise("history"))
    )


def _result(at: At, name: str) -> Column:
    """An output column; what an unreadable message holds is not shown, its raw bytes tell."""
    if name == "entry":
        return _entry(at)
    if name == "reason":
        return at("reason")
    is_row = at("reason").isNull() & at("row").isNotNull() & (at("op") != "t")
    if name in ("id", "user_id", "merchant_id"):
        return F.when(is_row, at(f"row.{name}"))
    if name in ("cents", "card_type", "created_at"):
        return F.when(is_row, at(name))
    if name == "snapshot":
        return F.when(at("reason").isNull(), F.coalesce(at(name), F.lit("false")))
    if name == "moved":
        return at("reason").isNull() & at("moved") & at("op").isin(*shape.OPERATIONS)
    return F.when(at("reason").isNull(), at(name))
