"""A burst of payments of a user who had long paid nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fraudstream.rulebook.definition import Duration, Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction, seconds


@rule(key="user_id", code=1)
def dormant_burst(
    tx: Transaction,
    *,
    payments: Annotated[int, Range(2, 1000)] = 4,
    window: Annotated[str, Duration("1s", "7d")] = "2h",
    dormant: Annotated[str, Duration("1h", "3650d")] = "21d",
    sum_over: Annotated[Decimal, Range(0, 10**9)] = Decimal(200),
) -> Alert:
    """The last of `payments` payments within `window`, over `sum_over` together, before which the user paid nothing for
    at least `dormant`.

    Catches a card from a drawer, or an account taken over, that is used in a hurry; one alert per burst. Misses the
    patient thief, the first payments, and a user without any earlier payment; a traveller on the first day of a yearly
    journey looks the same. Needs no time window: it looks at the times of the last payments. Where event times fall in
    the order, the gap between neighbours in the order counts. Source: the dormant account among the red flags of the
    FFIEC BSA/AML Examination Manual (appendix F), for cards.
    """
    before = tx.previous(payments)
    first = before.nth(payments - 1, "time")
    gap = first - before.nth(payments, "time")
    total = tx.amount + tx.previous(payments - 1).sum("amount")
    return tx.alert(
        when=(gap >= seconds(dormant)) & (tx.time - first <= seconds(window)) & (total > sum_over),
        reason=f"{{payments}} payments of {{sum}} together within {window}, after {{days}} days without any",
        evidence={"payments": payments, "sum": total, "days": gap / 86_400},
    )
