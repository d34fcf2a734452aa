"""Small payments that try a stolen card, then a large one."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fraudstream.rulebook.definition import Duration, Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction


@rule(key="user_id", code=1)
def card_testing(
    tx: Transaction,
    *,
    window: Annotated[str, Duration("1s", "7d")] = "30m",
    small: Annotated[Decimal, Range(0, 10**6)] = Decimal(5),
    at_least: Annotated[int, Range(1, 1000)] = 3,
    amount_over: Annotated[Decimal, Range(0, 10**9)] = Decimal(100),
) -> Alert:
    """An amount over `amount_over` after at least `at_least` payments of at most `small` within `window`.

    Catches a thief who tries with a few cheap payments whether a card still works before using it in earnest. Misses
    tests that nothing follows, tests at payments of usual size, and a thief who waits for longer than the window. An
    honest user of parking meters and vending machines who then buys something large looks the same. Source: Stripe's
    documentation of card testing (docs.stripe.com/disputes/prevention/card-testing).
    """
    past = tx.within(window)
    tests = past.where(past.amount <= small)
    return tx.alert(
        when=(tests.count() >= at_least) & (tx.amount > amount_over),
        reason=f"{{amount}} follows {{tests}} payments of at most {{small}} within {window}",
        evidence={"tests": tests.count(), "sum": tests.sum("amount"), "small": small},
    )
