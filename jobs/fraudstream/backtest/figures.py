"""How good alerts are by what is known of the transactions: precision, recall, money, time to detection, by kind.

The measures are those of Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection (2022),
chapters 4 (precision, recall, F1, card precision top-k); time to detection is from the first payment of a fraud to the
first of its payments that alerts.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fraudstream.backtest.source import History, Ints
from fraudstream.backtest.truth import FRAUD, HONEST, UNKNOWN, Truth
from fraudstream.triage.times import DAY_US

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Period:
    """The transactions that count: each once, with an event time from `since` until before `until`, in the order of the
    history; the arrays are as long as each other. `day` counts from that of `since`."""

    since: int
    until: int
    place: Ints
    user: Ints
    cents: Ints
    at: Ints
    truth: Truth  # of these rows

    @cached_property
    def day(self) -> Ints:
        """The day (UTC) of each, from 0."""
        found: Ints = self.at // DAY_US - self.since // DAY_US
        return found

    @property
    def days(self) -> int:
        """How many days (UTC) the period touches."""
        return (self.until - 1) // DAY_US - self.since // DAY_US + 1

    def is_state(self, state: int) -> Bools:
        """Which are FRAUD, HONEST or UNKNOWN."""
        found: Bools = self.truth.state == state
        return found


def period_of(history: History, truth: Truth, since: int, until: int, snapshot: bool = False) -> Period:
    """The transactions of the history that have an event time in [since, until) and are judged: those that were
    inserted, with `snapshot` also the rows of a snapshot."""
    batch = history.batch
    counts = np.zeros(history.rows, dtype=bool)
    counts[history.by_id[1]] = True
    counts &= (batch["created_at"] >= since) & (batch["created_at"] < until) & (batch["judge"] | snapshot)
    place = np.flatnonzero(counts)
    chosen = Truth(truth.state[place], truth.kind[place], truth.episode[place], truth.kinds)
    user, cents, at = (batch[name][place] for name in ("user_id", "cents", "created_at"))
    return Period(since, until, place, user, cents, at, chosen)


def confusion(period: Period, alerted: Bools) -> dict[str, Bools]:
    """Masks: tp, fp, fn, tn, and the unknown ones that alert (unknown)."""
    fraud, honest = period.is_state(FRAUD), period.is_state(HONEST)
    return {
        "tp": alerted & fraud,
        "fp": alerted & honest,
        "fn": ~alerted & fraud,
        "tn": ~alerted & honest,
        "unknown": alerted & period.is_state(UNKNOWN),
    }


def figures(period: Period, alerted: Bools) -> dict[str, Any]:
    """The figures of alerts on the masked transactions; a share without anything to share is None."""
    cells = confusion(period, alerted)
    counts = {name: int(cell.sum()) for name, cell in cells.items()}
    tp = counts["tp"]
    fraud = period.is_state(FRAUD)
    by_day = np.bincount(period.day[alerted], minlength=period.days)
    users = len(np.unique(np.stack([period.day[alerted], period.user[alerted]]), axis=1).T)
    return {
        "alerts": int(alerted.sum()),
        "alerts_per_day": _rounded(float(by_day.mean())) if period.days else None,
        "users_per_day": _rounded(users / period.days),
        "by_day": by_day.tolist(),
        **counts,
        "precision": share(tp, tp + counts["fp"]),
        "recall": share(tp, tp + counts["fn"]),
        "f1": share(2 * tp, 2 * tp + counts["fp"] + counts["fn"]),
        "false_alarms_per_10_000": share(10_000 * counts["fp"], counts["fp"] + counts["tn"]),
        "fraud_cents": int(period.cents[fraud].sum()),
        "caught_cents": int(period.cents[cells["tp"]].sum()),
        "money_share": share(int(period.cents[cells["tp"]].sum()), int(period.cents[fraud].sum())),
        **detection(period, alerted, fraud),
        "kinds": {name: _of_kind(period, alerted, number) for number, name in enumerate(period.truth.kinds) if name},
    }


def detection(period: Period, alerted: Bools, wanted: Bools) -> dict[str, Any]:
    """Of the episodes of the wanted frauds: how many, how many have an alert, and the time until it in seconds."""
    first, found = _first_by_episode(period, wanted), _first_by_episode(period, wanted & alerted)
    delays = np.array([(found[episode] - first[episode]) / 1e6 for episode in found])
    return {
        "episodes": len(first),
        "episodes_found": len(found),
        "episodes_share": share(len(found), len(first)),
        "detection_p50_s": _rounded(float(np.median(delays))) if len(delays) else None,
        "detection_p90_s": _rounded(float(np.quantile(delays, 0.9, method="inverted_cdf"))) if len(delays) else None,
    }


def _first_by_episode(period: Period, wanted: Bools) -> dict[int, int]:
    """Event time of the first wanted transaction of each episode."""
    episodes, at = period.truth.episode[wanted], period.at[wanted]
    order = np.lexsort((at, episodes))
    numbers, firsts = np.unique(episodes[order], return_index=True)
    return dict(zip(numbers.tolist(), at[order][firsts].tolist(), strict=True))


def _of_kind(period: Period, alerted: Bools, number: int) -> dict[str, Any]:
    of_kind = period.truth.kind == number
    fraud = of_kind & period.is_state(FRAUD)
    is_fraud = bool(fraud.any())
    wanted = fraud if is_fraud else of_kind
    hits = wanted & alerted
    found: dict[str, Any] = {
        "fraud": is_fraud,
        "transactions": int(wanted.sum()),
        "alerts": int(hits.sum()),
        "share": share(int(hits.sum()), int(wanted.sum())),
    }
    if is_fraud:
        money = int(period.cents[fraud].sum())
        found |= {"money_share": share(int(period.cents[hits].sum()), money), **detection(period, alerted, fraud)}
    return found


def card_precision(period: Period, alerted: Bools, score: npt.NDArray[np.float64], k: int) -> dict[str, Any]:
    """The handbook's card precision top-k: of the k users looked at on a day (those whose alerts score highest, and at
    the same score have the largest amounts) the share that have a fraud on that day, whether it is the one that
    alerted; the mean over all days. A user who was found is looked at no more. With fewer alerted users than k the
    others count as looked at in vain; `checked_precision` divides by those looked at instead."""
    compromised = defaultdict(set)
    frauds = np.flatnonzero(period.is_state(FRAUD))
    for day, user in zip(period.day[frauds].tolist(), period.user[frauds].tolist(), strict=True):
        compromised[day].add(user)
    found, checked, by_day = set[int](), 0, []
    order = np.lexsort((period.user, -period.cents, -score))
    order = order[alerted[order]]
    days = period.day[order]
    for day in range(period.days):
        users = list(dict.fromkeys(user for user in period.user[order[days == day]].tolist() if user not in found))[:k]
        hits = [user for user in users if user in compromised[day]]
        found.update(hits)
        checked += len(users)
        by_day.append(len(hits))
    return {
        "k": k,
        "card_precision": _rounded(sum(by_day) / (k * period.days)),
        "checked_per_day": _rounded(checked / period.days),
        "checked_precision": share(sum(by_day), checked),
        "cards_found": len(found),
    }


def share(part: float, whole: float) -> float | None:
    """The part of the whole with six decimals; None of nothing."""
    return _rounded(part / whole) if whole else None


def _rounded(value: float) -> float:
    return round(value, 6)
