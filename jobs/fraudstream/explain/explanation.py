"""The explanation of an alert, and the comparison of what is stored with what the lake gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from fraudstream import alerts
from fraudstream.explain.conditions import Clause, clauses, window_words
from fraudstream.explain.corrected import CorrectedHistory, corrected_history
from fraudstream.explain.find import find_alert
from fraudstream.explain.history import History, history_of
from fraudstream.explain.versions import rule_of_version
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.payload import NULL

Verdict = Literal["match", "mismatch", "unknown"]
# The severity is no part of a rule's version: it may have been raised since, and nothing else with it.
_COMPARED = tuple(name for name in alerts.ALERT_FIELDS if name not in ("evidence", "severity"))
_OPERATIONS = {"c": "", "r": "of a snapshot", "u": "update", "d": "delete"}
_BEFORE = 3  # rows in front of the windows that are shown


@dataclass(frozen=True)
class Check:
    """A field or figure of the alert, as it is stored and as the lake gives it."""

    name: str
    stored: Any
    recomputed: Any

    @property
    def same(self) -> bool:
        """Whether both are equal, and of one type."""
        return type(self.stored) is type(self.recomputed) and bool(self.stored == self.recomputed)


@dataclass(frozen=True)
class Row:
    """A transaction that the rule had seen; `counted` names the windows that showed it."""

    offset: int
    transaction_id: int
    event_time: str | None
    amount: str | None
    card_type: str | None
    merchant_id: int | None
    counted: tuple[str, ...]
    remark: str


@dataclass(frozen=True)
class Explanation:
    """An alert with what the rule saw. `verdict` is unknown where the rule's version is not known; `remark` says why,
    or else names the file that the version was found in."""

    alert: Mapping[str, Any]
    rule: Rule | None
    remark: str
    verdict: Verdict
    rows: tuple[Row, ...] = ()
    windows: tuple[str, ...] = ()
    clauses: tuple[Clause, ...] = ()
    checks: tuple[Check, ...] = ()


def explain_alert(lake: str, wanted: str, rules_file: Path) -> Explanation:
    """Explain the alert whose id begins with `wanted`. Raises FraudstreamError if there is not one such alert, or if
    the lake has not the change that it is of."""
    return explain(lake, find_alert(lake, wanted), rules_file)


def explain(lake: str, alert: Mapping[str, Any], rules_file: Path) -> Explanation:
    """Explain a row of lake/alerts."""
    known = rule_of_version(alert["rule"], alert["rule_version"], rules_file, lake)
    if known.rule is None:
        return Explanation(alert, None, known.where, "unknown")
    if "revision" in _object(alert.get("payload")):
        return _of_corrected(alert, known.rule, known.where, corrected_history(lake, alert, known.rule))
    history = history_of(lake, alert, replace(known.rule, corrections="off"))
    checks = tuple(compare(alert, history.judgement()))
    windows = [(window_words(window), places) for window, places in history.windows()]
    return Explanation(
        alert=alert,
        rule=known.rule,
        remark=known.where,
        verdict=_verdict(checks),
        rows=tuple(_rows(history, windows)),
        windows=tuple(words for words, _ in windows),
        clauses=tuple(clauses(known.rule.alert.when, history.now, history.earlier)),
        checks=checks,
    )


def _of_corrected(alert: Mapping[str, Any], rule: Rule, where: str, history: CorrectedHistory) -> Explanation:
    """Of an alert whose rule has corrections: its changes in order, and every revision's outcome compared."""
    latest = history.messages[-1] if history.messages else {}
    revisions = (Check(name, alert.get(name), latest.get(name)) for name in alerts.REVISION_FIELDS)
    checks = (*compare(alert, history.standing(alert["offset"])), *revisions)
    rows = (
        _row(history.batch, place, (), "judged" if history.batch["offset"][place] == alert["offset"] else words)
        for place, words in enumerate(_OPERATIONS[operation] for operation in history.operations)
    )
    return Explanation(alert, rule, where, _verdict(checks), tuple(rows), checks=checks)


def _verdict(checks: Sequence[Check]) -> Verdict:
    return "match" if all(check.same for check in checks) else "mismatch"


def compare(stored: Mapping[str, Any], recomputed: Mapping[str, Any] | None) -> Iterator[Check]:
    """Each field of a row of lake/alerts against the payload that the rule gives now (None: it does not alert)."""
    if recomputed is None:
        yield Check("alert", "yes", "no")
        return
    for name in _COMPARED:
        yield Check(name, _as_in_payload(name, stored.get(name), recomputed[name]), recomputed[name])
    figures = _object(stored.get("evidence"))
    for name in sorted({*figures, *recomputed["evidence"]}):
        yield Check(f"evidence {name}", figures.get(name), recomputed["evidence"].get(name))
    payload = _object(stored.get("payload"))
    yield Check("payload", payload, {**recomputed, "severity": payload.get("severity")})


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _as_in_payload(name: str, stored: Any, recomputed: Any) -> Any:
    """A column's value in the form that the payload gives it."""
    if name == "score" and isinstance(stored, Decimal):
        # The column has one scale for all rules, the payload the rule's own.
        return recomputed if recomputed is not None and stored == Decimal(str(recomputed)) else str(stored)
    if name == "event_time" and stored is None and str(recomputed).startswith("+"):
        return recomputed  # a year that a timestamp column cannot show
    if name == "amount" and stored is not None:
        return str(stored)
    if hasattr(stored, "isoformat"):
        digits = "microseconds" if name == "event_time" else "milliseconds"
        return f"{stored.replace(tzinfo=None).isoformat(timespec=digits)}Z"
    return stored


def _rows(history: History, windows: list[tuple[str, list[int]]]) -> Iterator[Row]:
    """The rows of the windows, some before them, those that did not enter, and the judged one, in order."""
    counted = {place for _, places in windows for place in places}
    entered = set(history.entered)
    first = max(0, min(counted, default=history.judged) - _BEFORE)
    for place in range(first, history.judged + 1):
        remark = "" if place in entered else _left_out(history, place)
        shown_in = tuple(words for words, places in windows if place in places)
        yield _row(history.batch, place, shown_in, "judged" if place == history.judged else remark)


def _row(batch: Batch, place: int, counted: tuple[str, ...], remark: str) -> Row:
    row = {name: column[place] for name, column in batch.items()}
    known = {
        name: None if int(row[name]) == NULL else int(row[name]) for name in ("created_at", "cents", "merchant_id")
    }
    return Row(
        offset=int(row["offset"]),
        transaction_id=int(row["id"]),
        event_time=None if known["created_at"] is None else alerts.format_micros(known["created_at"]),
        amount=None if known["cents"] is None else alerts.format_cents(known["cents"]),
        card_type=row["card_type"],
        merchant_id=known["merchant_id"],
        counted=counted,
        remark=remark,
    )


def _left_out(history: History, place: int) -> str:
    """Why the row did not enter the history."""
    ids = history.batch["id"]
    return "redelivered" if ids[place] in ids[:place] else "a snapshot's, which the stream had overtaken"
