"""An amount far above the user's usual ones."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from fraudstream.rulebook.definition import Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction


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
    if minimum > history:
        raise ValueError(f"minimum is {minimum}, history only {history}, so it would never alert")
    past = tx.previous(history)
    mean, deviation = past.mean("amount"), past.std("amount")
    evidence = {"n": past.count(), "sum": past.sum("amount"), "mean": mean, "ratio": tx.amount / mean}
    if method == "sigma":
        threshold = mean + factor * deviation
        usual = f"the mean {{mean}} plus {factor} standard deviations of {{deviation}}"
        evidence["deviation"] = deviation
    else:
        threshold = factor * mean
        usual = f"{factor} times the mean {{mean}}"
    return tx.alert(
        when=(past.count() >= minimum) & (tx.amount > threshold) & (tx.amount > floor),
        reason=f"{{amount}} is over {{threshold}}, {usual} of the user's last {{n}} transactions",
        evidence={**evidence, "threshold": threshold},
    )
