"""Whether a run could have failed: deliberate mistakes, and how many decisions each would have changed."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fraudstream.check.oracle import (
    SECOND_US,
    Anomaly,
    Arrival,
    Defined,
    HighAmount,
    Settings,
    Velocity,
    Verdict,
    judge_topic,
)

ALERTS_NEEDED = 100
LATE_ANOMALIES_NEEDED = 20
WINDOW_DECISIONS_NEEDED = 20
_ENDLESS = 10**15


@dataclass(frozen=True)
class Mistake:
    """A wrong setting of a rule; `window`: one of those whose changed decisions are summed up."""

    name: str
    settings: Settings
    window: bool = True


def mistakes_of(right: Settings) -> list[Mistake]:
    """The mistakes that are tried for a rule with these settings."""
    if isinstance(right, Anomaly):
        return _anomaly_mistakes(right)
    if isinstance(right, Defined):
        return [Mistake("redelivered changes judged", replace(right, remembered=0), window=False)]
    return _velocity_mistakes(right) if isinstance(right, Velocity) else _high_amount_mistakes(right)


def _anomaly_mistakes(right: Anomaly) -> list[Mistake]:
    n = right.history
    return [
        Mistake(f"history of {n - 1}", replace(right, history=n - 1)),
        Mistake(f"history of {n + 1}", replace(right, history=n + 1)),
        Mistake("history never evicted", replace(right, history=_ENDLESS)),
        Mistake(">= the mean", replace(right, over_mean=operator.ge)),
        Mistake(">= the floor", replace(right, over_floor=operator.ge)),
        Mistake(f"minimum of {right.minimum - 1}", replace(right, minimum=right.minimum - 1), window=False),
        Mistake(f"minimum of {right.minimum + 1}", replace(right, minimum=right.minimum + 1), window=False),
        Mistake("redelivered changes judged", replace(right, remembered=0), window=False),
    ]


def _velocity_mistakes(right: Velocity) -> list[Mistake]:
    seconds = right.window // SECOND_US
    return [
        Mistake(f"window of {seconds - 1} s", replace(right, window=right.window - SECOND_US)),
        Mistake(f"window of {seconds + 1} s", replace(right, window=right.window + SECOND_US)),
        Mistake("lower edge closed", replace(right, after_edge=operator.ge)),
        Mistake("late times never evicted", replace(right, lateness=_ENDLESS)),
        Mistake(">= the amount", replace(right, over_amount=operator.ge)),
        Mistake(f"more than {right.more_than - 1}", replace(right, more_than=right.more_than - 1), window=False),
        Mistake(f"more than {right.more_than + 1}", replace(right, more_than=right.more_than + 1), window=False),
        Mistake(">= the score", replace(right, over_score=operator.ge), window=False),
        Mistake("redelivered changes judged", replace(right, remembered=0), window=False),
    ]


def _high_amount_mistakes(right: HighAmount) -> list[Mistake]:
    return [Mistake(">= the amount", replace(right, over_amount=operator.ge), window=False)]


def power(topic: Sequence[Arrival], verdicts: Mapping[str, tuple[Settings, Verdict]]) -> dict[str, Any]:
    """What the topic can tell apart: per rule (by name) its alerts, and the decisions each mistake changes; `proven`
    and, where it is not, `reasons`."""
    rows = [arrival for arrival in topic if arrival.entry in ("judge", "history")]
    by_mistake: dict[str, dict[str, int]] = {}
    window_decisions = 0
    for name, (settings, verdict) in verdicts.items():
        by_mistake[name] = {}
        right = _decisions(verdict)
        for mistake in mistakes_of(settings):
            changed = len(right ^ _decisions(judge_topic(rows, mistake.settings)))
            by_mistake[name][mistake.name] = changed
            window_decisions += changed if mistake.window else 0
        if not isinstance(settings, HighAmount):
            by_mistake[name]["ordered by LSN"] = len(right ^ _decisions(judge_topic(_by_lsn(rows), settings)))
    stateful = {name: found for name, found in verdicts.items() if not isinstance(found[0], HighAmount)}
    alerts = {name: len({alert.transaction_id for alert in verdict.alerts}) for name, (_, verdict) in stateful.items()}
    late = {name: _late(*found) for name, found in stateful.items() if isinstance(found[0], Anomaly)}
    reasons = _shortcomings(alerts, late, window_decisions)
    return {
        "proven": not reasons,
        "reasons": reasons,
        "alerts": alerts,
        "late_anomalies": sum(late.values()),
        "window_decisions": window_decisions,
        "mistakes": by_mistake,
    }


def _decisions(verdict: Verdict) -> set[tuple[int, int, int]]:
    return {(alert.transaction_id, alert.arrival.partition, alert.arrival.offset) for alert in verdict.alerts}


def _by_lsn(rows: Sequence[Arrival]) -> list[Arrival]:
    return sorted(rows, key=lambda row: (row.partition, (row.event.lsn if row.event else 0) or 0, row.offset))


def _late(settings: Settings, verdict: Verdict) -> int:
    assert isinstance(settings, Anomaly)
    return sum(alert.figures["earlier"] > settings.history for alert in verdict.alerts)


def _shortcomings(alerts: Mapping[str, int], late: Mapping[str, int], window_decisions: int) -> list[str]:
    reasons = [
        f"not proven: {name} has {count} alerts, {ALERTS_NEEDED} are needed"
        for name, count in alerts.items()
        if count < ALERTS_NEEDED
    ]
    reasons += [
        f"not proven: {name} has {count} alerts after a full history, {LATE_ANOMALIES_NEEDED} are needed"
        for name, count in late.items()
        if count < LATE_ANOMALIES_NEEDED
    ]
    if window_decisions < WINDOW_DECISIONS_NEEDED:
        reasons.append(
            f"not proven: wrong windows and edges would change {window_decisions} decisions, "
            f"{WINDOW_DECISIONS_NEEDED} are needed"
        )
    return reasons
