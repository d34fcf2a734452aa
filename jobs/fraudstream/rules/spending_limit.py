"""Spending in a sliding window that crosses a limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fraudstream.rulebook.definition import Duration, Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction


@rule(key="user_id", code=1)
def spending_limit(
    tx: Transaction,
    *,
    window: Annotated[str, Duration("1s", "31d")] = "24h",
    limit: Annotated[Decimal, Range(0, 10**9)] = Decimal(2000),
) -> Alert:
    """The payment with which the user's spending within `window` crosses `limit`.

    Catches a card that is emptied in many steps, none of them remarkable. Alerts when the limit is crossed, not for
    every payment above it, so a week of holidays is a few alerts. Misses whatever stays below one limit for all users;
    who always spends much is a false alarm until the limit is raised. Source: sums over sliding windows as in Whitrow
    et al., Transaction aggregation as a strategy for credit card fraud detection (2009), and card limits as banks know
    them.
    """
    past = tx.within(window)
    before = past.sum("amount")
    total = before + tx.amount
    return tx.alert(
        when=(total > limit) & (before <= limit),
        reason=f"{{payments}} payments of {{sum}} together within {window}, over {{limit}}",
        evidence={"payments": 1 + past.count(), "sum": total, "limit": limit},
    )
