"""The alert's payload from a judged row: its explanation in figures and in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from fraudstream import alerts
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.corrections import Change
from fraudstream.rulebook.deviation import rounded, split
from fraudstream.rulebook.evaluation import Judged, number, variance
from fraudstream.rulebook.exact import NULL as NULL
from fraudstream.rulebook.exact import Exact, Integers
from fraudstream.rulebook.expressions import Expression
from fraudstream.rulebook.transaction import sentence_parts

_CHANGE = (
    "id", "user_id", "cents", "card_type", "merchant_id", "created_at", "lsn", "tx_id", "partition", "offset",
    "committed_ms", "captured_ms",
)  # fmt: skip
_CHANGED = "withdrawn: the transaction, as it was changed, does not alert"
_WITHDRAWN = {
    Change.REPLACE: _CHANGED,
    Change.JOIN: _CHANGED,
    Change.FOLLOW: _CHANGED,
    Change.BLANK: "withdrawn: the transaction, as it was changed, cannot be judged",
    Change.DELETE: "withdrawn: the transaction was deleted",
    Change.LEAVE: "withdrawn: the transaction was moved to another user or id",
}


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


def withdrawal_payloads(rule: Rule, changes: Mapping[str, Integers], topic: str) -> list[dict[str, Any]]:
    """The payloads of the changes that end an alert, which have no figures."""
    columns = {name: changes[name].tolist() for name in (*_CHANGE, "change")}
    rows = ({name: column[row] for name, column in columns.items()} for row in range(len(columns["id"])))
    return [_payload(rule, row, {}, None, topic, reason=_WITHDRAWN[row["change"]]) for row in rows]


def revised(payload: Mapping[str, Any], status: str, revision: int) -> dict[str, Any]:
    """The payload of a rule with corrections; `revision` 0 is the judgement of the transaction itself."""
    change = f"{payload['topic']}-{payload['partition']}-{payload['offset']}" if revision else None
    return {**payload, "status": status, "revision": revision, "changed_by": change}


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
        return _plain_figures(values, expression.whole)
    squares = variance(window, judged)
    return [_deviating(values.at(row), factor, squares.at(row)) for row in rows]


def _plain_figures(values: Exact, whole: bool) -> list[int | str | None]:
    """`figure` of each value, without a fraction object for it: these took half of the time that an alert costs."""
    dens = [1] * len(values.num) if values.den is None else values.den.tolist()
    found: list[int | str | None] = []
    for num, den in zip(values.num.tolist(), dens, strict=True):
        parts = int(den) * values.unit
        if not parts:
            found.append(None)
        elif whole:
            found.append(abs(int(num)) // parts * (1 if num > 0 else -1))
        else:
            found.append(alerts.format_cents((200 * int(num) + parts) // (2 * parts)))
    return found


def _deviating(rest: Fraction | None, factor: Fraction, squared: Fraction | None) -> str | None:
    if rest is None or squared is None:
        return None
    return alerts.format_cents(rounded(rest * 100, factor * 100, squared))


def sentence(reason: str, figures: Mapping[str, Any]) -> str:
    """The reason with its figures filled in; a null one is "nothing"."""
    shown = {"": "", **{name: "nothing" if value is None else str(value) for name, value in figures.items()}}
    return "".join(text + shown[name] for text, name in sentence_parts(reason))


def _payload(
    rule: Rule, change: Mapping[str, Any], figures: Mapping[str, Any], score: Any, topic: str, reason: str = ""
) -> dict[str, Any]:
    transaction_id = int(change["id"])
    cents, created_at = _nullable(change["cents"]), _nullable(change["created_at"])
    amount = None if cents is None else alerts.format_cents(cents)
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
        "reason": reason or sentence(rule.alert.reason, {**figures, "amount": amount, "score": score}),
        "evidence": figures,
        "event_time": None if created_at is None else alerts.format_micros(created_at),
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
