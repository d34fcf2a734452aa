"""One user at many merchants in a short time."""

from __future__ import annotations

from typing import Annotated

from fraudstream.rulebook.definition import Duration, Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction, points


@rule(key="user_id", code=1)
def many_merchants(
    tx: Transaction,
    *,
    window: Annotated[str, Duration("1s", "7d")] = "30m",
    merchants: Annotated[int, Range(2, 1000)] = 6,
) -> Alert:
    """A payment at a merchant that is the user's `merchants`-th or a later one within `window`.

    Catches a card that is used up at one shop after the other, or on many sites by a program, whatever the amounts.
    Misses a thief who stays at one merchant or takes breaks; an hour on a market or in a food court looks the same. A
    payment without a merchant counts as one at another merchant. Source: counts over sliding windows as in Whitrow et
    al., Transaction aggregation as a strategy for credit card fraud detection (2009), here of merchants.
    """
    past = tx.within(window)
    is_new = past.same("merchant_id").count() < 1
    count = past.distinct("merchant_id") + points(is_new, 1)
    return tx.alert(
        when=is_new & (count >= merchants),
        reason=f"{{merchants}} merchants within {window}, in {{payments}} payments of {{sum}} together",
        evidence={"merchants": count, "payments": 1 + past.count(), "sum": tx.amount + past.sum("amount")},
    )
