"""The alerts as an analyst has them on the desk: each with its newest label, and whether it is snoozed."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from fraudstream import lake
from fraudstream.canary import NOT_CANARY
from fraudstream.triage import tables
from fraudstream.triage.times import to_micros

CONFIRMED, DISMISSED = "confirmed", "dismissed"
LABELS = (CONFIRMED, DISMISSED)


class Alert(NamedTuple):
    """An alert of lake/alerts; `at` is its event time (where that is not known, the time of detection)."""

    alert_id: str
    rule: str
    user_id: int
    transaction_id: int
    cents: int
    at: int
    withdrawn: bool = False


class Label(NamedTuple):
    """A person's judgement of a transaction."""

    transaction_id: int
    label: str
    at: int
    alert_id: str | None = None
    by: str = ""
    note: str | None = None


class Snooze(NamedTuple):
    """From `since` on, until before `until`, a rule's alerts on a user are not to be looked at."""

    user_id: int
    rule: str
    since: int
    until: int
    by: str = ""
    note: str | None = None


@dataclass(frozen=True)
class Desk:
    """What was known at the moment `at`."""

    at: int
    alerts: Sequence[Alert]
    labels: Mapping[int, Label]  # by transaction: the newest, and of two at the same time the confirmed one
    snoozes: Sequence[Snooze]

    def label(self, alert: Alert) -> str | None:
        """The newest label of the alert's transaction."""
        found = self.labels.get(alert.transaction_id)
        return found.label if found else None

    def snooze(self, alert: Alert) -> Snooze | None:
        """What the alert is snoozed by: the newest snooze of its user and rule that had begun at its event time, if it
        lasted until after it."""
        known = self._snoozes.get((alert.user_id, alert.rule), [])
        place = bisect_right(known, alert.at, key=lambda snooze: snooze.since)
        found = known[place - 1] if place else None
        return found if found is not None and alert.at < found.until else None

    def is_snoozed(self, alert: Alert) -> bool:
        """Whether a snooze covers the alert."""
        return self.snooze(alert) is not None

    def is_replaced(self, snooze: Snooze) -> bool:
        """Whether a newer snooze of the same user and rule has taken its place before it expired."""
        known = self._snoozes[snooze.user_id, snooze.rule]
        return any(each.since < snooze.until for each in known[known.index(snooze) + 1 :])

    @cached_property
    def _snoozes(self) -> dict[tuple[int, str], list[Snooze]]:
        """By user and rule, in order; of two that begin at the same time the shorter one counts, and stands last."""
        found: dict[tuple[int, str], list[Snooze]] = defaultdict(list)
        for snooze in sorted(self.snoozes, key=lambda snooze: (snooze.since, -snooze.until)):
            found[snooze.user_id, snooze.rule].append(snooze)
        return found


def desk_at(at: int | None, alerts: Iterable[Alert], labels: Iterable[Label], snoozes: Iterable[Snooze]) -> Desk:
    """The desk at a moment. None: at the newest alert, and whatever people decided since is known, so that an old lake
    can be worked on. The alerts are in the order of their times."""
    known = sorted(alerts, key=lambda alert: (alert.at, alert.alert_id))
    last = known[-1].at if known else 0
    newest: dict[int, Label] = {}
    for label in in_order(labels):
        if at is None or label.at <= at:
            newest[label.transaction_id] = label
    return Desk(
        at=last if at is None else at,
        alerts=[alert for alert in known if at is None or alert.at <= at],
        labels=newest,
        snoozes=[snooze for snooze in snoozes if at is None or snooze.since <= at],
    )


def in_order(labels: Iterable[Label]) -> list[Label]:
    """The labels by time, and of two of a transaction at the same time the confirmed one last."""
    return sorted(labels, key=lambda label: (label.at, label.label == CONFIRMED))


def open_desk(folder: str, at: int | None = None) -> Desk:
    """The desk of a lake, without the canary's alerts. Raises FraudstreamError if it has no alerts table."""
    return desk_at(at, _alerts(folder), recorded_labels(folder), _snoozes(folder))


def _alerts(folder: str) -> list[Alert]:
    is_withdrawn = "status = 'withdrawn'" if "status" in lake.columns(folder, "alerts") else "false"
    found = lake.query(
        folder,
        "alerts",
        f"""
        SELECT alert_id, rule, user_id, transaction_id, CAST(coalesce(amount, 0) * 100 AS BIGINT) AS cents,
               CAST(coalesce(event_time, committed_at, detected_at) AS BIGINT) AS at,
               coalesce({is_withdrawn}, false) AS withdrawn
        FROM alerts WHERE {NOT_CANARY}
        """,
    )
    columns = (found[name].to_pylist() for name in Alert._fields)
    return [Alert(*row) for row in zip(*columns, strict=True)]


def recorded_labels(folder: str) -> list[Label]:
    """Every label of lake/labels."""
    return [
        Label(
            row["transaction_id"], row["label"], to_micros(row["labelled_at"]), row["alert_id"], row["by"], row["note"]
        )
        for row in tables.rows(folder, "labels")
    ]


def _snoozes(folder: str) -> list[Snooze]:
    return [
        Snooze(row["user_id"], row["rule"], to_micros(row["since"]), to_micros(row["until"]), row["by"], row["note"])
        for row in tables.rows(folder, "snoozes")
    ]
