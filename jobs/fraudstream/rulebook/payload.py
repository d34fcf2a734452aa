"""The alert's payload from a judged row: its explanation in figures and in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from fraudstream import alerts
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.evaluation import Judged, number
from fraudstream.rulebook.exact import Integers

NULL = int(np.iinfo(np.int64).min)  # stands for null in integer columns


def alert_payloads(rule: Rule, judged: Judged, changes: Mapping[str, Integers], topic: str) -> list[dict[str, Any]]:
    """The payloads of the judged rows, all of which alert; `changes` are their columns of the batch."""
    evidence = {name: (number(each, judged), each.money) for name, each in rule.alert.evidence.items()}
    score = number(rule.alert.score, judged) if rule.alert.score else None
    payloads = []
    for row in range(len(judged.positions)):
        change = {name: column[row] for name, column in changes.items()}
        figures = {name: figure(column.at(row), money) for name, (column, money) in evidence.items()}
        scored = figure(score.at(row), False) if score else None
        payloads.append(_payload(rule, change, figures, scored, topic))
    return payloads


def figure(value: Fraction | None, money: bool) -> int | str | None:
    """A figure as it stands in the evidence: an integer, else a text with two decimals (half a cent rounds up)."""
    if value is None:
        return None
    if value.denominator == 1 and not money:
        return int(value)
    return alerts.format_cents((value * 100 + Fraction(1, 2)).__floor__())


def sentence(template: str, figures: Mapping[str, Any], amount: str, score: Any) -> str:
    """The rule's reason with its figures filled in."""
    return template.format_map({**figures, "amount": amount, "score": score})


def _payload(
    rule: Rule, change: Mapping[str, Any], figures: Mapping[str, Any], score: Any, topic: str
) -> dict[str, Any]:
    transaction_id = int(change["id"])
    amount = alerts.format_cents(int(change["cents"]))
    return {
        "alert_id": alerts.alert_id(rule.name, rule.version, transaction_id),
        "rule": rule.name,
        "rule_version": rule.version,
        "severity": rule.severity,
        "user_id": int(change["user_id"]),
        "transaction_id": transaction_id,
        "amount": amount,
        "card_type": change["card_type"],
        "merchant_id": _nullable(change["merchant_id"]),
        "score": score,
        "reason": sentence(rule.alert.reason, figures, amount, score),
        "evidence": dict(figures),
        "event_time": alerts.format_micros(int(change["created_at"])),
        "lsn": _nullable(change["lsn"]),
        "tx_id": _nullable(change["tx_id"]),
        "topic": topic,
        "partition": int(change["partition"]),
        "offset": int(change["offset"]),
        "committed_at": _time(change["committed_ms"]),
        "captured_at": _time(change["captured_ms"]),
    }


def _nullable(value: Any) -> int | None:
    return None if int(value) == NULL else int(value)


def _time(millis: Any) -> str | None:
    return None if int(millis) == NULL else alerts.format_millis(int(millis))
