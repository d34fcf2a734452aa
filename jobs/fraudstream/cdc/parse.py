"""The JSON of a message, parsed by Spark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.cdc import shape

_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": "bad",
    "maxNestingDepth": str(shape.MAX_DEPTH + 1),
    "maxNumLen": str(shape.MAX_DIGITS),
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}


def parsed_message(value: Column, message: Mapping[str, Any], max_bytes: int) -> Column:
    """A struct of the parsed JSON `m` in the types of `message`; `end`, null unless what is behind it could stand in an
    object, which from_json alone does not look for; and `bad`, null unless a field has another type."""
    text = value.cast("string")
    readable = F.when((F.octet_length(value) <= max_bytes) & F.is_valid_utf8(text), text)
    whole = F.concat(F.lit('{"m":'), readable, F.lit(',"end":1}'))
    return F.from_json(whole, f"m {shape.ddl(message)}, `end` long, bad string", _OPTIONS)


def is_one_value(value: Column) -> Column:
    """Whether a message with an `end` is one JSON value and nothing else: what is behind it could stand in an object,
    so that nothing is if it could stand in a list as well."""
    return F.coalesce(F.json_array_length(F.concat(F.lit("["), value.cast("string"), F.lit("]"))) == 1, F.lit(False))
