"""The same amount at the same merchant again and again."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fraudstream.rulebook.definition import Duration, Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction


@rule(key="user_id", code=1)
def repeated_amount(
    tx: Transaction,
    *,
    window: Annotated[str, Duration("1s", "7d")] = "1h",
    times: Annotated[int, Range(2, 1000)] = 4,
    amount_over: Annotated[Decimal, Range(0, 10**9)] = Decimal(25),
) -> Alert:
    """The user's `times`-th payment of one amount, over `amount_over`, at one merchant within `window`, and each later
    one.

    Catches a card that is milked in equal steps (gift cards, top-ups), and a terminal or a program that charges twice
    and more. Misses amounts that vary by a cent and merchants that change; the bus ticket bought for four friends one
    by one looks the same, hence the least amount. Source: the rule "repeat card acquiring" of Marble's rules library
    (checkmarble.com/rules-library), for equal amounts.
    """
    alike = tx.within(window).same("merchant_id", "amount")
    count = 1 + alike.count()
    return tx.alert(
        when=(count >= times) & (tx.amount > amount_over),
        reason=f"{{count}} payments of {{amount}} at one merchant within {window}",
        evidence={"count": count, "sum": tx.amount + alike.sum("amount")},
    )
