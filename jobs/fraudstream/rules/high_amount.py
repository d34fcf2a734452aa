"""A large amount, whoever pays it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fraudstream.rulebook.definition import Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction


@rule(key="user_id", code=1)
def high_amount(tx: Transaction, *, over: Annotated[Decimal, Range(0, 10**9)] = Decimal(4500)) -> Alert:
    """An amount over `over`.

    Catches nothing that is small; says nothing about whether the amount is usual for the user. Needs no history, so it
    alerts in real-time mode within milliseconds.
    """
    return tx.alert(when=tx.amount > over, reason="{amount} is over {limit}", evidence={"limit": over})
