"""A merchant whose customers' payments turn out to be fraud."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fraudstream.rulebook.definition import Duration, Range, rule
from fraudstream.rulebook.labels import Labels
from fraudstream.rulebook.transaction import Alert, Transaction


@rule(key="merchant_id", code=1)
def compromised_merchant(
    tx: Transaction,
    *,
    labels: Labels = Labels(),  # noqa: B008  has no state
    delay: Annotated[str, Duration("0s", "90d")] = "0s",
    window: Annotated[str, Duration("1h", "90d")] = "28d",
    at_least: Annotated[int, Range(1, 10_000)] = 3,
    share_over: Annotated[Decimal, Range(0, 1)] = Decimal("0.1"),
) -> Alert:
    """A payment at a merchant of whose payments within `window` at least `at_least`, and more than `share_over` of all,
    are confirmed as fraud by labels that are `delay` old or older at the time of the payment.

    Catches a terminal that copies cards, or a shop that fraudsters like, for as long as it goes on. Misses the time
    until the first labels are there (days to weeks), and merchants so large that fraud is a small share. `labels` names
    a CSV file (transaction_id,labelled_at); without one nothing is confirmed. Its content is part of the rule's
    version, so new labels take effect as a new version. Needs a topic of one partition, or one keyed by merchant_id.
    Source: the terminal risk with its delay in Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud
    Detection (2022), chapter 3.
    """
    past = tx.within(window)
    confirmed = past.confirmed(labels, delay)
    return tx.alert(
        when=(confirmed >= at_least) & (confirmed > share_over * past.count()),
        reason=f"{{confirmed}} of the merchant's {{payments}} payments within {window} are confirmed as fraud",
        evidence={"confirmed": confirmed, "payments": past.count(), "share": confirmed / past.count()},
    )
