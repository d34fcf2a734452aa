"""The oracle's definitions of the library's rules: figures of a row among those before it, from docs/semantics.md.

`before` are the user's (or the merchant's) rows in order, None for an empty place; `newest` is the greatest event time
up to the row. Cents and microseconds; the figures stand under the names that an alert's evidence gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fraudstream.cdc.envelope import Row
from fraudstream.check.oracle import LATENESS_US, Figures, Number

Before = Sequence[Row | None]


def within(before: Before, row: Row, newest: int, window: int) -> list[Row]:
    """The rows that a time window shows."""
    now = _time(row)
    after = max(now - window, newest - window - LATENESS_US)
    return [each for each in before if each is not None and after < _time(each) <= now]


def card_testing(*, window: int, small: Number, at_least: int, amount_over: Number) -> Figures:
    """Small payments, then a large one."""

    def figures(before: Before, row: Row, newest: int) -> dict[str, Number] | None:
        tests = [_cents(each) for each in within(before, row, newest, window) if _cents(each) <= small]
        if len(tests) < at_least or _cents(row) <= amount_over:
            return None
        return {"tests": len(tests), "sum": sum(tests)}

    return figures


def repeated_amount(*, window: int, times: int, amount_over: Number) -> Figures:
    """One amount at one merchant again and again."""

    def figures(before: Before, row: Row, newest: int) -> dict[str, Number] | None:
        wanted = (row.merchant_id, row.cents)
        alike = [each for each in within(before, row, newest, window) if (each.merchant_id, each.cents) == wanted]
        count = 1 if row.merchant_id is None else 1 + len(alike)
        if count < times or _cents(row) <= amount_over:
            return None
        return {"count": count, "sum": count * _cents(row)}

    return figures


def dormant_burst(*, payments: int, window: int, dormant: int, sum_over: Number) -> Figures:
    """Some payments in a hurry after a long pause."""

    def figures(before: Before, row: Row, newest: int) -> dict[str, Number] | None:
        last = [each for each in before[-payments:] if each is not None]
        if len(last) < payments:
            return None
        pause, first = _time(last[1]) - _time(last[0]), _time(last[1])
        total = sum(_cents(each) for each in last[1:]) + _cents(row)
        if pause < dormant or _time(row) - first > window or total <= sum_over:
            return None
        return {"payments": payments, "sum": total}

    return figures


def many_merchants(*, window: int, merchants: int) -> Figures:
    """One merchant after the other."""

    def figures(before: Before, row: Row, newest: int) -> dict[str, Number] | None:
        shown = within(before, row, newest, window)
        seen = {each.merchant_id for each in shown if each.merchant_id is not None}
        if row.merchant_id in seen or len(seen) + 1 < merchants:
            return None
        total = sum(map(_cents, shown)) + _cents(row)
        return {"merchants": len(seen) + 1, "payments": len(shown) + 1, "sum": total}

    return figures


def spending_limit(*, window: int, limit: Number) -> Figures:
    """The payment that crosses the limit."""

    def figures(before: Before, row: Row, newest: int) -> dict[str, Number] | None:
        shown = within(before, row, newest, window)
        spent = sum(map(_cents, shown))
        if not spent <= limit < spent + _cents(row):
            return None
        return {"payments": len(shown) + 1, "sum": spent + _cents(row)}

    return figures


def compromised_merchant(
    *, known_at: Mapping[int, int], delay: int, window: int, at_least: int, share_over: Number
) -> Figures:
    """A merchant of whose payments many are confirmed as fraud; `known_at`: transaction -> time of its label."""

    def figures(before: Before, row: Row, newest: int) -> dict[str, Number] | None:
        shown = within(before, row, newest, window)
        known = [each for each in shown if each.id in known_at and known_at[each.id] + delay <= _time(row)]
        if len(known) < at_least or len(known) <= share_over * len(shown):
            return None
        return {"confirmed": len(known), "payments": len(shown)}

    return figures


def _cents(row: Row) -> int:
    assert row.cents is not None
    return row.cents


def _time(row: Row) -> int:
    assert row.created_at is not None
    return row.created_at
