"""An amount far above the user's usual ones."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from fraudstream.rulebook.definition import Range, rule
from fraudstream.rulebook.expressions import Alert, Transaction


@rule(key="user_id", code=1)
def anomaly(
    tx: Transaction,
    *,
    history: Annotated[int, Range(1, 1000)] = 50,
    minimum: Annotated[int, Range(1, 1000)] = 3,
    factor: Annotated[Decimal, Range(0, 1000)] = Decimal(3),
    floor: Annotated[Decimal, Range(0, 10**9)] = Decimal(500),
    method: Literal["mean", "sigma"] = "mean",
) -> Alert:
    """An amount over `factor` times the mean of the user's last `history` amounts (method mean), or over their mean
    plus `factor` population standard deviations (method sigma), and over `floor`.

    Catches a stolen card used for much more than its owner spends. Misses slow drift (the mean follows) and users with
    fewer than `minimum` amounts. From the course exercise; sigma is its common variant.
    """
    past = tx.previous(history)
    mean = past.mean("amount")
    is_unusual = tx.amount > factor * mean if method == "mean" else past.is_exceeded_by_sigmas("amount", factor)
    return tx.alert(
        when=(past.count() >= minimum) & is_unusual & (tx.amount > floor),
        reason="{amount} is {ratio} times the mean {mean} of the user's last {n} transactions",
        evidence={"n": past.count(), "sum": past.sum("amount"), "mean": mean, "ratio": tx.amount / mean},
    )
