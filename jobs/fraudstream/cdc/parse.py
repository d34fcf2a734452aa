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
    """A struct of the parsed JSON `m` in the types of `message`; `end`, null unless the value is one JSON value and
    nothing else; and `bad`, null unless a field has another type."""
    text = value.cast("string")
    is_text = (F.octet_length(value) <= max_bytes) & F.is_valid_utf8(text)
    whole = F.concat(F.lit('{"m":'), F.when(is_text & _is_one_value(text), text), F.lit(',"end":1}'))
    return F.from_json(whole, f"m {shape.ddl(message)}, `end` long, bad string", _OPTIONS)


def _is_one_value(text: Column) -> Column:
    """False if there is something behind the value that could stand in a list; from_json does not look behind a value,
    and `end` only tells what could not stand in an object. It reads the message's tokens once more, which takes 8 % of
    the time of `connector_events` (1M messages of 241 bytes: 6.5 s against 6.05 s)."""
    return F.json_array_length(F.concat(F.lit("["), text, F.lit("]"))) == 1
