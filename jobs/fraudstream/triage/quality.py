"""How good the rules were over the last days, by the labels that people gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fraudstream import lake
from fraudstream.triage.desk import CONFIRMED, DISMISSED, Alert, Desk
from fraudstream.triage.times import DAY_US


@dataclass(frozen=True)
class RuleQuality:
    """A rule's alerts of the time looked at; `confirmed`, `dismissed` and `unlabelled` are their transactions."""

    rule: str
    alerts: int
    snoozed: int
    withdrawn: int
    confirmed: int
    dismissed: int
    unlabelled: int
    confirmed_cents: int


@dataclass(frozen=True)
class Fraud:
    """A transaction that a person confirmed as fraud."""

    transaction_id: int
    user_id: int
    cents: int
    at: int


@dataclass(frozen=True)
class Quality:
    """Of the time in (since, until]: the rules, the confirmed frauds, and of these the ones without any alert that
    stands. `undated` are confirmed transactions whose time the lake does not know."""

    since: int
    until: int
    rules: tuple[RuleQuality, ...]
    frauds: tuple[Fraud, ...]
    missed: tuple[Fraud, ...]
    undated: int


def quality(desk: Desk, days: int, rules: Iterable[str], known: Mapping[int, Fraud]) -> Quality:
    """The quality over the `days` before the desk's moment, also of the `rules` that have no alert. `known` are the
    confirmed transactions that the lake has."""
    since = desk.at - days * DAY_US
    alerts = [alert for alert in desk.alerts if alert.at > since]
    names = sorted({*rules, *(alert.rule for alert in alerts)})
    confirmed = [number for number, label in sorted(desk.labels.items()) if label.label == CONFIRMED]
    frauds = [known[number] for number in confirmed if number in known and since < known[number].at <= desk.at]
    alerted = {alert.transaction_id for alert in desk.alerts if not alert.withdrawn}
    return Quality(
        since=since,
        until=desk.at,
        rules=tuple(_of_rule(desk, name, [alert for alert in alerts if alert.rule == name]) for name in names),
        frauds=tuple(frauds),
        missed=tuple(fraud for fraud in frauds if fraud.transaction_id not in alerted),
        undated=sum(number not in known for number in confirmed),
    )


def _of_rule(desk: Desk, rule: str, alerts: Sequence[Alert]) -> RuleQuality:
    standing = {alert.transaction_id: alert for alert in alerts if not alert.withdrawn}
    labels = {number: desk.label(alert) for number, alert in standing.items()}
    confirmed = [number for number, label in labels.items() if label == CONFIRMED]
    return RuleQuality(
        rule=rule,
        alerts=len(alerts),
        snoozed=sum(desk.is_snoozed(alert) for alert in alerts),
        withdrawn=sum(alert.withdrawn for alert in alerts),
        confirmed=len(confirmed),
        dismissed=sum(label == DISMISSED for label in labels.values()),
        unlabelled=sum(label is None for label in labels.values()),
        confirmed_cents=sum(standing[number].cents for number in confirmed),
    )


def confirmed_transactions(folder: str, desk: Desk) -> dict[int, Fraud]:
    """The confirmed transactions that lake/transactions has with a time, deleted ones too."""
    wanted = sorted(number for number, label in desk.labels.items() if label.label == CONFIRMED)
    if not wanted:
        return {}
    found = lake.query(
        folder,
        "transactions",
        f"""
        SELECT id, user_id, CAST(coalesce(amount, 0) * 100 AS BIGINT) AS cents, created_us FROM transactions
        WHERE created_us IS NOT NULL AND id IN ({", ".join(map(str, wanted))})
        """,
    ).to_pylist()
    return {row["id"]: Fraud(row["id"], row["user_id"], row["cents"], row["created_us"]) for row in found}
