"""Alert budgets: how many alerts a day people can look at, rule by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.budget import per_day
from fraudstream.triage.desk import Desk
from fraudstream.triage.times import DAY_US


@dataclass(frozen=True)
class Spent:
    """A rule's alerts by day (days since 1970, UTC; the last one up to the desk's moment) against its budget.
    Snoozed alerts count as well: the rule has made them."""

    rule: str
    budget: int | None
    by_day: Mapping[int, int]
    snoozed: int

    @property
    def days_over(self) -> list[int]:
        """The days with more alerts than the budget."""
        return [] if self.budget is None else [day for day, count in self.by_day.items() if count > self.budget]


def parse_budgets(text: str) -> dict[str, int]:
    """The budgets of "anomaly=50/day,velocity=20/day". Raises FraudstreamError for another text."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        rule, _, budget = part.partition("=")
        try:
            found[rule.strip()] = per_day(budget)
        except ValueError as error:
            raise FraudstreamError(f"--budget: {part!r}: {error}, as in anomaly=50/day,velocity=20/day.") from None
    return found


def spent(desk: Desk, days: int, budgets: Mapping[str, int]) -> list[Spent]:
    """Each rule's alerts on the desk's day and the days before it, `days` in all; also of rules with a budget and no
    alert. Withdrawn alerts count: they were on the desk."""
    last = desk.at // DAY_US
    window = range(last - days + 1, last + 1)
    alerts = [alert for alert in desk.alerts if alert.at // DAY_US in window]
    counts = Counter((alert.rule, alert.at // DAY_US) for alert in alerts)
    snoozed = Counter(alert.rule for alert in alerts if desk.is_snoozed(alert))
    return [
        Spent(rule, budgets.get(rule), {day: counts[rule, day] for day in window}, snoozed[rule])
        for rule in sorted({*budgets, *(alert.rule for alert in alerts)})
    ]
