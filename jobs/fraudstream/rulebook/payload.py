"""The alert's payload from a judged row: its explanation in figures and in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from fraudstream import alerts
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.deviation import rounded, split
from fraudstream.rulebook.evaluation import Judged, number, variance
from fraudstream.rulebook.exact import NULL as NULL
from fraudstream.rulebook.expressions import Expression
from fraudstream.rulebook.transaction import sentence_parts

_CHANGE = (
    "id", "user_id", "cents", "card_type", "merchant_id", "created_at", "lsn", "tx_id", "partition", "offset",
    "committed_ms", "captured_ms",
)  # fmt: skip


def alert_payloads(rule: Rule, judged: Judged, topic: str) -> list[dict[str, Any]]:
    """The payloads of the judged rows, all of which alert."""
    alert = rule.alert
    figures = {name: _figures(each, judged) for name, each in sorted(alert.evidence.items())}
    scores = _figures(alert.score, judged) if alert.score else [None] * len(judged.positions)
    columns = {name: judged.column(name).tolist() for name in _CHANGE}
    return [
        _payload(
            rule,
            {name: column[row] for name, column in columns.items()},
            {name: column[row] for name, column in figures.items()},
            scores[row],
            topic,
        )
        for row in range(len(scores))
    ]


def figure(value: Fraction | None, whole: bool) -> int | str | None:
    """A figure as it stands in the evidence: an integer where all are `whole`, else a text with two decimals (half a
    cent rounds up)."""
    if value is None:
        return None
    if whole:
        return int(value)
    return alerts.format_cents(rounded(value * 100, Fraction(0), Fraction(0)))


def _figures(expression: Expression, judged: Judged) -> list[int | str | None]:
    """The expression's figure for each judged row."""
    rest, factor, window = split(expression)
    values, rows = number(rest, judged), range(len(judged.positions))
    if window is None:
        return [figure(values.at(row), expression.whole) for row in rows]
    squares = variance(window, judged)
    return [_deviating(values.at(row), factor, squares.at(row)) for row in rows]


def _deviating(rest: Fraction | None, factor: Fraction, squared: Fraction | None) -> str | None:
    if rest is None or squared is None:
        return None
    return alerts.format_cents(rounded(rest * 100, factor * 100, squared))


def sentence(reason: str, figures: Mapping[str, Any]) -> str:
    """The reason with its figures filled in; a null one is "nothing"."""
    shown = {"": "", **{name: "nothing" if value is None else str(value) for name, value in figures.items()}}
    return "".join(text + shown[name] for text, name in sentence_parts(reason))


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
        "reason": sentence(rule.alert.reason, {**figures, "amount": amount, "score": score}),
        "evidence": figures,
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
