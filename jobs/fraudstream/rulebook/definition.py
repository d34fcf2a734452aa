"""How a rule file defines its rule: a decorated function whose keyword-only arguments are the parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from fraudstream.rulebook.expressions import micros
from fraudstream.rulebook.labels import Labels, read_labels
from fraudstream.rulebook.transaction import Alert, Transaction

KEYS = ("user_id", "merchant_id")
_GREATEST, _PLACES = 10**12, 6  # of a decimal parameter: far more than money needs, and products stay small


@dataclass(frozen=True)
class Range:
    """The values a number may take, both ends included."""

    low: Decimal | int
    high: Decimal | int


@dataclass(frozen=True)
class Duration:
    """A text parameter that is a duration like "60s", from `low` to `high`."""

    low: str
    high: str

    def holds(self, value: str) -> bool:
        """Whether the duration lies in the range. Raises ValueError if it is none."""
        return micros(self.low) <= micros(value) <= micros(self.high)


@dataclass(frozen=True)
class Definition:
    """A rule as its file declares it. `code` is the version of its logic: raise it when alerts change."""

    key: str
    code: int
    body: Callable[..., Alert]
    parameters: Mapping[str, Parameter]

    def alert(self, values: Mapping[str, Any]) -> Alert:
        """The rule's expressions with these parameters."""
        return self.body(Transaction(), **values)


@dataclass(frozen=True)
class Parameter:
    """A parameter's default and what it may be."""

    default: Any
    kind: Any
    limits: Range | Duration | None

    def read(self, value: Any) -> Any:
        """The value in the parameter's type. Raises ValueError saying what is allowed."""
        read = _READERS.get(get_origin(self.kind) or self.kind, _as_is)(value, self)
        if isinstance(self.limits, Range) and not self.limits.low <= read <= self.limits.high:
            raise ValueError(f"it must lie between {self.limits.low} and {self.limits.high}")
        if isinstance(self.limits, Duration) and not self.limits.holds(read):
            raise ValueError(f"it must lie between {self.limits.low} and {self.limits.high}")
        return read


def rule(*, key: str = "user_id", code: int = 1) -> Callable[[Callable[..., Alert]], Definition]:
    """Declare the decorated function as the rule of its file; `key` is the column whose values have a history each."""
    if key not in KEYS:
        raise ValueError(f"a rule's key is one of {', '.join(KEYS)}, not {key!r}")

    def define(body: Callable[..., Alert]) -> Definition:
        return Definition(key, code, body, _parameters(body))

    return define


def _parameters(body: Callable[..., Alert]) -> dict[str, Parameter]:
    kinds = get_type_hints(body, include_extras=True)
    found = {}
    for name, argument in inspect.signature(body).parameters.items():
        if argument.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if argument.default is inspect.Parameter.empty:
            raise ValueError(f"parameter {name} of rule {body.__name__} needs a default")
        kind = kinds.get(name, type(argument.default))
        extras = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
        limits = next((each for each in extras if isinstance(each, Range | Duration)), None)
        default = plain_decimal(argument.default) if isinstance(argument.default, Decimal) else argument.default
        found[name] = Parameter(default, get_args(kind)[0] if extras else kind, limits)
    return found


def _integer(value: Any, parameter: Parameter) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("it must be a whole number")
    return value


def _decimal(value: Any, parameter: Parameter) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("it must be a number")
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("it must be a number") from None
    if not found.is_finite() or found.copy_abs() > _GREATEST or found != round(found, _PLACES):
        raise ValueError(f"it must lie between {-_GREATEST} and {_GREATEST}, with at most {_PLACES} decimal places")
    return plain_decimal(found)


def plain_decimal(value: Decimal) -> Decimal:
    """The same number without trailing zeros or an exponent: 3.0 and 3 are one parameter, whose text may be part of an
    alert."""
    return Decimal(format(value.normalize() + 0, "f"))


def _choice(value: Any, parameter: Parameter) -> str:
    allowed = get_args(parameter.kind)
    if value not in allowed:
        raise ValueError(f"it must be one of {', '.join(allowed)}")
    return str(value)


def _text(value: Any, parameter: Parameter) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it must be a text like {parameter.default!r}")
    return value


def _table(value: Any, parameter: Parameter) -> dict[str, Decimal]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError("it must be a mapping of texts to numbers")
    return {name: _decimal(number, parameter) for name, number in value.items()}


def _labels(value: Any, parameter: Parameter) -> Labels:
    if not isinstance(value, str):
        raise ValueError("it must name a CSV file of labels")
    return read_labels(value)


def _as_is(value: Any, parameter: Parameter) -> Any:
    kinds = "int, Decimal, str, Literal, dict or Labels"
    raise ValueError(f"parameters of type {parameter.kind} are not supported; use {kinds}")


_READERS: dict[Any, Callable[[Any, Parameter], Any]] = {
    int: _integer,
    Decimal: _decimal,
    str: _text,
    Literal: _choice,
    dict: _table,
    Labels: _labels,
}
