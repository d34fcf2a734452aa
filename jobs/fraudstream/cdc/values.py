"""Exact values of a row's columns, from whichever JSON the connector's settings make of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fraudstream.cdc import shape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECIMAL, _AMBIGUOUS, _NO_NUMBER, _BASE64, _SCALE, _WHOLE, _TIME, _FAR_TIME = (
    re.compile(pattern)
    for pattern in (
        shape.DECIMAL_TEXT,
        shape.AMBIGUOUS_TEXT,
        shape.NO_NUMBER_TEXT,
        shape.BASE64_TEXT,
        shape.SCALE_TEXT,
        shape.WHOLE_TEXT,
        shape.TIME_TEXT,
        shape.FAR_TIME_TEXT,
    )
)


class UnreadableValue(ValueError):
    """A value of the wrong form; the text is one of the reasons of `shape`."""


def cents_of(amount: Any, column: Mapping[str, Any]) -> int | None:
    """Exact cents of an amount in any of its forms; None for null, NaN and the infinities.

    `column` is the schema wrapper's description of the column, empty without one. Raises UnreadableValue.
    """
    if amount is None or (isinstance(amount, str) and _NO_NUMBER.fullmatch(amount)):
        return None
    cents = None
    if isinstance(amount, str):
        cents = _cents_of_text(amount, column)
    elif isinstance(amount, dict) and amount.keys() == {"scale", "value"}:
        cents = _cents_of_struct(amount["scale"], amount["value"])
    elif type(amount) in (int, float):
        cents = _cents_of_number(amount)
    if cents is None or abs(cents) >= shape.CENTS_LIMIT:
        raise UnreadableValue(shape.BAD_AMOUNT)
    return cents


def _cents_of_text(amount: str, column: Mapping[str, Any]) -> int | None:
    if not column and _AMBIGUOUS.fullmatch(amount):
        raise UnreadableValue(shape.AMBIGUOUS_AMOUNT)
    if column.get("name") != shape.DECIMAL_SCHEMA and _DECIMAL.fullmatch(amount):
        return round(float(amount) * 100)
    if column and column.get("name") != shape.DECIMAL_SCHEMA:
        return None
    scale = (column.get("parameters") or {}).get("scale")
    text = str(shape.DEFAULT_SCALE if scale is None else scale)
    return _cents_of_base64(amount, int(text)) if _SCALE.fullmatch(text) else None


def _cents_of_struct(scale: Any, value: Any) -> int | None:
    is_pair = type(scale) is int and 0 <= scale <= 17 and isinstance(value, str)
    return _cents_of_base64(value, scale) if is_pair else None


def _cents_of_number(amount: int | float) -> int | None:
    """A double is the amount c / 100 iff dividing gives the same double: division rounds correctly, and below 10^15
    cents doubles lie closer together than cents."""
    if not abs(amount) < shape.CENTS_LIMIT // 100:
        return None
    cents = round(float(amount) * 100)
    return cents if cents / 100 == float(amount) else None


def _cents_of_base64(text: str, scale: int) -> int | None:
    if not _BASE64.fullmatch(text):
        return None
    bytes_ = base64.b64decode(text)
    unscaled = int.from_bytes(bytes_, "big", signed=True)
    if len(bytes_) > 8 or (scale > 2 and unscaled % 10 ** (scale - 2)):
        return None
    return int(unscaled // 10 ** (scale - 2) if scale > 2 else unscaled * 10 ** (2 - scale))


def micros_of(created_at: Any, column: Mapping[str, Any]) -> int | None:
    """Microseconds since 1970 (UTC) of a time in any of its forms; None for null.

    Texts of times outside of the years 1 to 9999 give the least or the greatest int64. Raises UnreadableValue.
    """
    if created_at is None:
        return None
    text = str(created_at) if type(created_at) is int else created_at
    if isinstance(text, str) and _WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        micros = _micros_of_number(int(text), column.get("name"))
        if -(2**63) <= micros < 2**63:
            return micros
    elif isinstance(text, str) and _TIME.fullmatch(text):
        return _micros_of_text(text)
    elif isinstance(text, str) and _FAR_TIME.fullmatch(text):
        return shape.FAR_PAST if text.startswith("-") else shape.FAR_FUTURE
    raise UnreadableValue(shape.BAD_TIME)


def _micros_of_number(number: int, unit: Any) -> int:
    if unit == shape.NANOS:
        return number // 1000
    low, high = shape.MILLIS_RANGE
    is_millis = unit in shape.MILLIS if isinstance(unit, str) else low <= number <= high
    return number * 1000 if is_millis else number


def _micros_of_text(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UnreadableValue(shape.BAD_TIME) from None
    return (time.replace(tzinfo=time.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1)
