"""What both readers look for in a message, within which limits, and the words for what they cannot read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Spark SQL types of the fields. A `string` field may be any JSON value, of which the reader looks at the text;
# a `variant` keeps its JSON type; Spark refuses one with half a surrogate pair in a text.
_ROW = {
    "id": "long",
    "user_id": "long",
    "amount": "variant",
    "card_type": "variant",
    "merchant_id": "long",
    "created_at": "string",
}
_SOURCE = {"ts_ms": "long", "snapshot": "string", "txId": "long", "lsn": "long"}
_FLAT = {
    **_ROW,
    "__op": "string",
    "__deleted": "string",
    "__source_ts_ms": "long",
    "__source_snapshot": "string",
    "__source_txId": "long",
    "__source_lsn": "long",
}
_ENVELOPE = {"before": _ROW, "after": _ROW, "source": _SOURCE, "op": "string", "ts_ms": "long", **_FLAT}
_COLUMN = {"field": "string", "name": "string", "parameters": {"scale": "string"}}
_SCHEMA = {"name": "string", "fields": [{**_COLUMN, "fields": [_COLUMN]}]}
MESSAGE: Mapping[str, Any] = {"schema": _SCHEMA, "payload": _ENVELOPE, **_ENVELOPE}
ROW_FIELDS = tuple(_ROW)

# The connector's own form: MESSAGE with texts for what `amount` and `card_type` may be and for the fields of a
# flattened message, and of a wrapped one no more than tells whose row it is.
ROW_KEYS = ("user_id", "merchant_id")
FLAT_FIELDS = tuple(_FLAT)
_KEYS = dict.fromkeys(ROW_KEYS, "long")
_TEXT_ROW = {**_ROW, "amount": "string", "card_type": "string"}
CONNECTOR_MESSAGE: Mapping[str, Any] = {
    "before": _TEXT_ROW,
    "after": _TEXT_ROW,
    "source": _SOURCE,
    "op": "string",
    "ts_ms": "long",
    "schema": "string",
    "payload": {"op": "string", "after": _KEYS, **_KEYS},
    **dict.fromkeys(FLAT_FIELDS, "string"),
}

MAX_BYTES = 262_144
MAX_DEPTH = 64
MAX_DIGITS = 1000  # of one number: Jackson's own limit
MAX_CARD = 10_000  # characters of a card_type: an alert that names it fits into any broker's message
MAX_KEY = 16_384  # bytes of a message key of which the columns are looked for

OPERATIONS = ("c", "u", "d", "r", "t")
SNAPSHOTS = ("true", "false", "first", "first_in_data_collection", "last_in_data_collection", "last", "incremental")
MOVED_HEADERS = ("__debezium.newkey", "__debezium.oldkey")
UNAVAILABLE = "__debezium_unavailable_value"
HEARTBEAT_SCHEMA = "io.debezium.connector.common.Heartbeat"
DECIMAL_SCHEMA = "org.apache.kafka.connect.data.Decimal"
MICROS, NANOS = "io.debezium.time.MicroTimestamp", "io.debezium.time.NanoTimestamp"
MILLIS = ("io.debezium.time.Timestamp", "org.apache.kafka.connect.data.Timestamp")
# Without a schema a whole number in this range is milliseconds (1973-03-03 to 5138-11-16), any other microseconds.
MILLIS_RANGE = (10**11, 10**14 - 1)
DAY_MS = 86_400_000
LAST_MS = 253_402_300_799_999  # the end of year 9999
CENTS_LIMIT = 10**15
DEFAULT_SCALE = 2

_HALF_PAIR = re.compile("[\ud800-\udfff]")
# Regular expressions with one meaning in Python and Java; each must match the whole text.
HEARTBEAT_TEXT = r'[ \t\r\n]*\{[ \t\r\n]*"ts_ms"[ \t\r\n]*:[ \t\r\n]*[0-9]{1,18}[ \t\r\n]*\}[ \t\r\n]*'
DECIMAL_TEXT = r"-?[0-9]{1,13}(?:\.[0-9]{1,2}0*)?"
AMBIGUOUS_TEXT = r"(?:[0-9]{4}){1,3}"  # both a decimal and base64
NO_NUMBER_TEXT = r"NaN|NAN|-?Infinity|(?:POSITIVE|NEGATIVE)_INFINITY"  # in capitals: decimal.handling.mode=string
BASE64_TEXT = r"(?:[A-Za-z0-9+/]{4}){0,3}(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
SCALE_TEXT = r"[0-9]|1[0-7]"
WHOLE_TEXT = r"-?[0-9]{1,19}"
TIME_TEXT = (
    r"(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-7]):[0-5][0-9])?"
)
# A time before year 1 or after 9999, PostgreSQL's infinity among them, keeps nothing but its side.
FAR_TIME_TEXT = r"[+-][0-9]{4,9}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z?|-?infinity"
FAR_PAST, FAR_FUTURE = -(2**63), 2**63 - 1

ADD_FIELDS = "op,source.lsn,source.txId,source.ts_ms,source.snapshot"
NOT_UTF8 = "not UTF-8"
NOT_JSON = f"not JSON of at most {MAX_DEPTH} levels"
NOT_EVENT = "not a change event"
WRONG_TYPE = "a field has the wrong type"
NOT_COMPLETE = f"flattened without add.fields={ADD_FIELDS} or rewritten deletes"
BAD_CLOCK = "source.ts_ms or ts_ms is no time"
BAD_SNAPSHOT = "source.snapshot is unknown"
NO_ROW = "no row image"
NO_ID = "no id"
NO_USER = "no user_id"
BAD_AMOUNT = "amount is not a decimal with at most two places"
AMBIGUOUS_AMOUNT = "amount is digits alone, a decimal or base64: enable schemas"
BAD_CARD = "card_type is not text"
LONG_CARD = f"card_type is longer than {MAX_CARD} characters"
NO_CARD = "card_type is missing: set REPLICA IDENTITY FULL"
BAD_TIME = "created_at is not a time"


def too_large(max_bytes: int) -> str:
    """The reason for a message of more than `max_bytes` bytes."""
    return f"larger than {max_bytes} bytes"


def ddl(shape: Any) -> str:
    """The Spark SQL type of (a part of) MESSAGE."""
    if isinstance(shape, str):
        return shape
    if isinstance(shape, list):
        return f"array<{ddl(shape[0])}>"
    return f"struct<{', '.join(f'`{name}` {ddl(part)}' for name, part in shape.items())}>"


def conforms(value: Any, shape: Any) -> bool:
    """Whether parsed JSON has the types of `shape`; null and absent fields do."""
    if value is None or shape == "string":
        return True
    if shape == "variant":
        return _is_unicode(value)
    if shape == "long":
        return type(value) is int and -(2**63) <= value < 2**63
    if isinstance(shape, list):
        return isinstance(value, list) and all(conforms(item, shape[0]) for item in value)
    if not isinstance(value, dict):
        return False
    for name, part in value.items():
        if part is not None and name in shape and not conforms(part, shape[name]):
            return False
    return True


def _is_unicode(value: Any) -> bool:
    if isinstance(value, str):
        return not _HALF_PAIR.search(value)
    if isinstance(value, dict):
        return all(map(_is_unicode, (*value, *value.values())))
    return not isinstance(value, list) or all(map(_is_unicode, value))
