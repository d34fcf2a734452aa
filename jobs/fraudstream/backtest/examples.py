"""Transactions of each cell of the confusion matrix, to open and look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fraudstream import alerts
from fraudstream.backtest.figures import Bools, Period, confusion
from fraudstream.backtest.source import History, Ints
from fraudstream.backtest.truth import FRAUD, HONEST
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.exact import NULL

_EARLIER = 8  # transactions in front of an example
_STATES = {FRAUD: "fraud", HONEST: "honest"}


def examples(
    history: History, period: Period, alerted: Bools, messages: Mapping[int, dict[str, Any]], key: str, count: int
) -> dict[str, list[dict[str, Any]]]:
    """Up to `count` transactions of each cell. Alerts: spread over the time. Frauds without one: the largest of each
    kind in turn. Honest ones without one: the largest. `key` is the column whose earlier rows are shown with each."""
    cells = confusion(period, alerted)
    chosen = {
        "tp": _spread(np.flatnonzero(cells["tp"]), count),
        "fp": _spread(np.flatnonzero(cells["fp"]), count),
        "fn": _by_kind(period, np.flatnonzero(cells["fn"]), count),
        "tn": _largest(period, np.flatnonzero(cells["tn"]))[:count],
        "unknown": _spread(np.flatnonzero(cells["unknown"]), count),
    }
    return {
        cell: [_example(history, period, place, messages, key) for place in places.tolist()]
        for cell, places in chosen.items()
    }


def _spread(places: Ints, count: int) -> Ints:
    steps = (2 * np.arange(count) + 1) * len(places) // (2 * count)
    return places[np.unique(steps)] if len(places) else places


def _largest(period: Period, places: Ints) -> Ints:
    return places[np.lexsort((places, -period.cents[places]))]


def _by_kind(period: Period, places: Ints, count: int) -> Ints:
    """The largest of each kind, then the second of each, and so on."""
    sorted_ = _largest(period, places)
    kinds = period.truth.kind[sorted_]
    rank = np.zeros(len(sorted_), dtype=np.int64)
    for kind in np.unique(kinds).tolist():
        rank[kinds == kind] = np.arange(np.count_nonzero(kinds == kind))
    return sorted_[np.argsort(rank, kind="stable")][:count]


def _example(
    history: History, period: Period, place: int, messages: Mapping[int, dict[str, Any]], key: str
) -> dict[str, Any]:
    row = int(period.place[place])
    transaction = _told(history.batch, row)
    message = messages.get(transaction["transaction_id"])
    return {
        **transaction,
        "state": _STATES.get(int(period.truth.state[place]), "unknown"),
        "kind": period.truth.kinds[int(period.truth.kind[place])],
        "reason": message["reason"] if message else None,
        "evidence": message["evidence"] if message else None,
        "earlier": [_told(history.batch, each) for each in _earlier(history, key, row)],
    }


def _earlier(history: History, key: str, row: int) -> list[int]:
    """The last places in front of the row with its key, in order."""
    column = history.batch[key][:row]
    window = 200_000  # nearly always enough, and much less than all
    for start in (max(0, row - window), 0):
        found = np.flatnonzero(column[start:] == history.batch[key][row]) + start
        if len(found) >= _EARLIER or start == 0:
            break
    places: list[int] = found[-_EARLIER:].tolist()
    return places


def _told(batch: Batch, row: int) -> dict[str, Any]:
    merchant = int(batch["merchant_id"][row])
    return {
        "transaction_id": int(batch["id"][row]),
        "user_id": int(batch["user_id"][row]),
        "merchant_id": None if merchant == NULL else merchant,
        "card_type": batch["card_type"][row],
        "amount": alerts.format_cents(int(batch["cents"][row])),
        "event_time": alerts.format_micros(int(batch["created_at"][row])),
    }
