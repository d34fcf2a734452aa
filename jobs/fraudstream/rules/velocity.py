"""Many transactions of a user in a short time, one of them large."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fraudstream.rulebook.definition import Duration, Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction, points

_Score = Annotated[Decimal, Range(0, 1000)]


@rule(key="user_id", code=1)
def velocity(
    tx: Transaction,
    *,
    window: Annotated[str, Duration("1s", "24h")] = "60s",
    more_than: Annotated[int, Range(0, 10_000)] = 5,
    count_score: _Score = Decimal(40),
    amount_over: Annotated[Decimal, Range(0, 10**9)] = Decimal(4000),
    amount_score: _Score = Decimal(50),
    score_over: _Score = Decimal(70),
    surcharge: dict[str, Decimal] = {},  # noqa: B006  read only
) -> Alert:
    """A score over `score_over`, from `count_score` for more than `more_than` transactions within `window` (this one
    included), `amount_score` for an amount over `amount_over` and a `surcharge` per card type.

    Catches a card emptied in a hurry. Misses bursts of small amounts and patient thieves. From the course exercise.
    """
    count = 1 + tx.within(window).count()
    score = (
        points(count > more_than, count_score)
        + points(tx.amount > amount_over, amount_score)
        + tx.card_points(surcharge)
    )
    return tx.alert(
        when=score > score_over,
        score=score,
        reason=f"{{count}} transactions within {window}, this one of {{amount}}: score {{score}}",
        evidence={"count": count},
    )
