"""Cases: a user's alerts that follow each other closely, looked at together."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from fraudstream.triage.desk import CONFIRMED, DISMISSED, Alert, Desk


@dataclass(frozen=True)
class Case:
    """Alerts of one user. `status`: confirmed if a transaction is, dismissed if every one is, snoozed if every alert
    without a label is, withdrawn if every alert is (by a correction), else open. `cents` counts each transaction
    once."""

    case_id: str
    user_id: int
    first: int
    last: int
    status: str
    rules: tuple[str, ...]
    alerts: int
    transactions: int
    cents: int
    confirmed: int  # transactions
    dismissed: int  # transactions
    snoozed: int  # alerts
    withdrawn: int  # alerts
    alert_ids: tuple[str, ...]


def cases(desk: Desk, gap: int) -> list[Case]:
    """The alerts by user, where one that comes over `gap` microseconds after the user's last begins a new case; in the
    order of their first alerts."""
    by_user: dict[int, list[Alert]] = defaultdict(list)
    for alert in desk.alerts:
        by_user[alert.user_id].append(alert)
    found = [_case(desk, part) for alerts in by_user.values() for part in _parts(alerts, gap)]
    return sorted(found, key=lambda case: (case.first, case.case_id))


def case_id(first: Alert) -> str:
    """12 hex digits of the SHA-256 of `case|user_id|alert_id` of the case's first alert."""
    return hashlib.sha256(f"case|{first.user_id}|{first.alert_id}".encode()).hexdigest()[:12]


def _parts(alerts: list[Alert], gap: int) -> Iterator[list[Alert]]:
    part = alerts[:1]
    for alert in alerts[1:]:
        if alert.at - part[-1].at > gap:
            yield part
            part = []
        part.append(alert)
    yield part


def _case(desk: Desk, alerts: list[Alert]) -> Case:
    amounts = {alert.transaction_id: alert.cents for alert in alerts}
    labels = {alert.transaction_id: desk.label(alert) for alert in alerts}
    return Case(
        case_id=case_id(alerts[0]),
        user_id=alerts[0].user_id,
        first=alerts[0].at,
        last=alerts[-1].at,
        status=_status(desk, alerts),
        rules=tuple(sorted({alert.rule for alert in alerts})),
        alerts=len(alerts),
        transactions=len(amounts),
        cents=sum(amounts.values()),
        confirmed=sum(label == CONFIRMED for label in labels.values()),
        dismissed=sum(label == DISMISSED for label in labels.values()),
        snoozed=sum(desk.is_snoozed(alert) for alert in alerts),
        withdrawn=sum(alert.withdrawn for alert in alerts),
        alert_ids=tuple(alert.alert_id for alert in alerts),
    )


def _status(desk: Desk, alerts: list[Alert]) -> str:
    labels = {desk.label(alert) for alert in alerts}
    if CONFIRMED in labels:
        return CONFIRMED
    if labels == {DISMISSED}:
        return DISMISSED
    if all(alert.withdrawn for alert in alerts):
        return "withdrawn"
    waiting = [alert for alert in alerts if desk.label(alert) is None and not alert.withdrawn]
    if not waiting:
        return DISMISSED
    return "snoozed" if all(desk.is_snoozed(alert) for alert in waiting) else "open"
