"""The lists of triage as a person reads them. Each says up to when, and how many alerts are snoozed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fraudstream.alerts import format_cents
from fraudstream.cli import paint
from fraudstream.columns import aligned
from fraudstream.triage.budget import Spent
from fraudstream.triage.cases import Case
from fraudstream.triage.desk import CONFIRMED, DISMISSED, LABELS, Alert, Desk, Snooze
from fraudstream.triage.quality import Fraud, Quality
from fraudstream.triage.times import DAY_US, shown

ID_DIGITS = 12  # of an alert_id in a list: enough for `label` and `explain_alert` to find it


def alerts_text(desk: Desk, alerts: Sequence[Alert], limit: int) -> Iterator[str]:
    """The alerts, the newest first, at most `limit` (0: all)."""
    yield summary(desk, alerts)
    if not alerts:
        return
    newest = alerts[::-1][: limit or None]
    yield from aligned(
        ("alert", "event time", "rule", "user", "transaction", "amount", "state"),
        [
            (
                alert.alert_id[:ID_DIGITS], shown(alert.at), alert.rule, str(alert.user_id),
                str(alert.transaction_id), format_cents(alert.cents), state(desk, alert),
            )
            for alert in newest
        ],
    )  # fmt: skip
    yield from _rest(len(alerts) - len(newest), "alerts")


def summary(desk: Desk, alerts: Sequence[Alert]) -> str:
    """How many alerts there are, in which state."""
    if not alerts:
        return f"No alerts until {shown(desk.at)} UTC."
    states = [state(desk, alert) for alert in alerts]
    snoozed = sum(desk.is_snoozed(alert) for alert in alerts)
    return (
        f"{_counted(len(alerts), 'alert')} until {shown(desk.at)} UTC: {states.count(CONFIRMED):,} confirmed, "
        f"{states.count(DISMISSED):,} dismissed, {states.count('open'):,} open; {snoozed:,} snoozed, "
        f"{sum(alert.withdrawn for alert in alerts):,} withdrawn"
    )


def state(desk: Desk, alert: Alert) -> str:
    """The alert's label; without one withdrawn, snoozed or open."""
    unlabelled = "withdrawn" if alert.withdrawn else "snoozed" if desk.is_snoozed(alert) else "open"
    return desk.label(alert) or unlabelled


def cases_text(desk: Desk, found: Sequence[Case], limit: int) -> Iterator[str]:
    """The cases, open ones first and of these the newest first, at most `limit` (0: all)."""
    if not found:
        yield f"No cases until {shown(desk.at)} UTC."
        return
    alerts, snoozed = sum(case.alerts for case in found), sum(case.snoozed for case in found)
    waiting = sum(case.status == "open" for case in found)
    yield (
        f"{_counted(len(found), 'case')}, {waiting:,} of them open, of {_counted(alerts, 'alert')} until "
        f"{shown(desk.at)} UTC; {_counted(snoozed, 'alert')} {'is' if snoozed == 1 else 'are'} snoozed"
    )
    listed = by_urgency(found)[: limit or None]
    yield from aligned(
        ("case", "status", "user", "first alert", "last alert", "rules", "alerts", "snoozed", "transactions", "amount"),
        [
            (
                case.case_id, case.status, str(case.user_id), shown(case.first), shown(case.last),
                ", ".join(case.rules), case.alerts, case.snoozed, case.transactions, format_cents(case.cents),
            )
            for case in listed
        ],
    )  # fmt: skip
    yield from _rest(len(found) - len(listed), "cases")


def by_urgency(found: Sequence[Case]) -> list[Case]:
    """Open cases first; of each status the newest first."""
    order = {status: place for place, status in enumerate(("open", *LABELS, "snoozed", "withdrawn"))}
    return sorted(found, key=lambda case: (order[case.status], -case.last, case.case_id))


def snoozes_text(desk: Desk) -> Iterator[str]:
    """Every snooze that was recorded, in the order of their beginnings, with the alerts that it covers."""
    if not desk.snoozes:
        yield f"No snoozes until {shown(desk.at)} UTC."
        return
    yield f"{_counted(len(desk.snoozes), 'snooze')} until {shown(desk.at)} UTC; their alerts stay in lake/alerts"
    covered = Counter(desk.snooze(alert) for alert in desk.alerts)
    rows = [
        (
            str(snooze.user_id), snooze.rule, shown(snooze.since), shown(snooze.until), _progress(desk, snooze),
            covered[snooze], snooze.by, snooze.note or "",
        )
        for snooze in sorted(desk.snoozes, key=lambda each: (each.since, each.user_id, each.rule))
    ]  # fmt: skip
    yield from aligned(("user", "rule", "from", "until", "now", "alerts", "by", "note"), rows)


def _progress(desk: Desk, snooze: Snooze) -> str:
    if snooze.since == snooze.until:
        return "an end"
    if desk.is_replaced(snooze):
        return "replaced"
    return "expired" if snooze.until <= desk.at else "active"


def quality_text(found: Quality) -> Iterator[str]:
    """The rules, then the confirmed frauds that no rule has alerted on."""
    yield f"Rules by the labels, from {shown(found.since)} until {shown(found.until)} UTC"
    if found.rules:
        yield from aligned(
            ("rule", "alerts", "snoozed", "withdrawn", "confirmed", "dismissed", "unlabelled", "precision", "caught",
             "amount confirmed"),
            [
                (
                    rule.rule, rule.alerts, rule.snoozed, rule.withdrawn, rule.confirmed, rule.dismissed,
                    rule.unlabelled, percent(rule.confirmed, rule.confirmed + rule.dismissed),
                    percent(rule.confirmed, len(found.frauds)), format_cents(rule.confirmed_cents),
                )
                for rule in found.rules
            ],
        )  # fmt: skip
        yield "precision: confirmed of the labelled transactions; caught: of all confirmed frauds of that time"
    else:
        yield "No alerts and no rules in that time."
    yield from _misses(found.frauds, found.missed)
    if found.undated:
        unknown = _counted(found.undated, "confirmed transaction")
        yield f"Not counted: {unknown} without a time in lake/transactions."


def _misses(frauds: Sequence[Fraud], missed: Sequence[Fraud]) -> Iterator[str]:
    if not frauds:
        yield "No transaction of that time is confirmed as fraud."
        return
    if not missed:
        yield f"Of {_counted(len(frauds), 'confirmed fraud')} none was missed by every rule."
        return
    were = "was" if len(missed) == 1 else "were"
    yield f"Of {_counted(len(frauds), 'confirmed fraud')} {len(missed):,} {were} missed by every rule:"
    rows = [(str(each.transaction_id), str(each.user_id), format_cents(each.cents), shown(each.at)) for each in missed]
    yield from aligned(("transaction", "user", "amount", "time"), rows, indent="  ")


def budget_text(desk: Desk, days: int, found: Sequence[Spent]) -> Iterator[str]:
    """Each rule's alerts a day against its budget."""
    if not found:
        yield f"No alerts in the {days} days until {shown(desk.at)} UTC."
        return
    yield f"Alerts a day in the {days} days until {shown(desk.at)} UTC"
    rows = []
    for rule in found:
        peak = max(rule.by_day, key=lambda day: (rule.by_day[day], day))
        total = sum(rule.by_day.values())
        rows.append(
            (rule.rule, None if rule.budget is None else f"{rule.budget}/day", total, rule.snoozed,
             f"{total / days:.1f}", f"{rule.by_day[peak]:,} on {shown(peak * DAY_US)[:10]}",
             None if rule.budget is None else len(rule.days_over))
        )  # fmt: skip
    yield from aligned(("rule", "budget", "alerts", "snoozed", "mean a day", "most", "days over"), rows)
    over = [rule for rule in found if rule.days_over]
    for rule in over:
        days_over = ", ".join(f"{rule.by_day[day]:,} on {shown(day * DAY_US)[:10]}" for day in rule.days_over)
        yield paint(f"{rule.rule} exceeds its budget of {rule.budget}/day: {days_over}", "red")
    if not over:
        yield "No rule exceeds a budget." if any(rule.budget is not None for rule in found) else "No rule has a budget."


def percent(part: int, whole: int) -> str | None:
    """ "93.1 %"; None of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else None


def _counted(number: int, what: str) -> str:
    """ "1 alert", "1,200 alerts"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _rest(number: int, what: str) -> Iterator[str]:
    if number > 0:
        yield f"({number:,} more {what}; --limit 0 shows all)"
