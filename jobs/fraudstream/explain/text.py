"""An explanation as a person reads it, and as a machine does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from fraudstream.cli import paint
from fraudstream.columns import aligned
from fraudstream.explain.explanation import Explanation, Row

_VERDICTS = {
    "match": ("green", "match: the lake's changes give the same alert again"),
    "mismatch": ("red", "mismatch: the lake's changes give something else than what is stored"),
    "unknown": ("yellow", "not recomputed"),
}


def as_text(found: Explanation, most_rows: int) -> str:
    """The explanation in lines; at most the last `most_rows` rows that the rule saw (0: all)."""
    return "\n".join((*_head(found.alert), *_body(found, most_rows), *_verdict(found)))


def as_json(found: Explanation) -> str:
    """One JSON object: verdict, remark, alert, rule, windows, rows, conditions and checks."""
    rule = found.rule
    return json.dumps(
        {
            "verdict": found.verdict,
            "remark": found.remark,
            "alert": found.alert,
            "rule": rule and {"name": rule.name, "version": rule.version, "parameters": rule.parameters},
            "windows": found.windows,
            "rows": [asdict(row) for row in found.rows],
            "conditions": [asdict(clause) for clause in found.clauses],
            "checks": [{**asdict(check), "same": check.same} for check in found.checks],
        },
        default=str,
        ensure_ascii=False,
    )


def _head(alert: Mapping[str, Any]) -> Iterator[str]:
    yield f"alert {alert['alert_id']}"
    yield f"  {alert['rule']} ({alert['severity']}), version {alert['rule_version']}"
    yield (
        f"  transaction {alert['transaction_id']}: user {alert['user_id']} paid {alert['amount']} with "
        f"{alert['card_type'] or 'no card type'} at merchant {alert['merchant_id']}, {_time(alert['event_time'])}"
    )
    yield f"  {alert['topic']}, partition {alert['partition']}, offset {alert['offset']}"
    yield f"  {paint(str(alert['reason']), 'bold')}"
    if alert.get("revision"):
        yield f"  {alert['status']}: revision {alert['revision']}, by {alert['changed_by']}"


def _time(moment: Any) -> str:
    return "at an unknown time" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S.%f} UTC"


def _body(found: Explanation, most_rows: int) -> Iterator[str]:
    if found.rule is None:
        return
    parameters = ", ".join(f"{name} {value}" for name, value in found.rule.parameters.items())
    yield f"\nthe rule, from {found.remark}: {parameters}"
    yield f"\n{_heading(found)}"
    rows = found.rows[-most_rows:] if most_rows else found.rows
    if len(rows) < len(found.rows):
        yield f"  ({len(found.rows) - len(rows)} earlier rows are not shown; --rows 0 shows all)"
    header = ("offset", "event time", "amount", "card", "merchant", "transaction", *found.windows, "")
    yield from aligned(header, [_cells(row, found.windows) for row in rows], indent="  ")
    for window in found.windows:
        yield f"  {sum(window in row.counted for row in found.rows)} rows counted {_in(window)}"
    if not found.clauses:
        return
    yield "\nwhy it alerted"
    yield from aligned(
        ("condition", "figures", "held"),
        [
            ("  " * clause.level + clause.words, clause.figures, "yes" if clause.held else "no")
            for clause in found.clauses
        ],
        indent="  ",
    )


def _heading(found: Explanation) -> str:
    if found.windows:
        return "what it saw"
    return "what it saw: this transaction alone" if found.clauses else "the user's changes, corrections among them"


def _in(window: str) -> str:
    return window if window.startswith("within") else f"among {window}"


def _cells(row: Row, windows: tuple[str, ...]) -> tuple[object, ...]:
    marks = ("counted" if window in row.counted else "" for window in windows)
    number, merchant = str(row.transaction_id), None if row.merchant_id is None else str(row.merchant_id)
    return (str(row.offset), row.event_time, row.amount, row.card_type, merchant, number, *marks, row.remark)


def _verdict(found: Explanation) -> Iterator[str]:
    if found.checks:
        figures = [check for check in found.checks if check.name.startswith("evidence ")]
        wrong = [check for check in found.checks if not check.same]
        shown = [*figures, *(check for check in wrong if check not in figures and check.name != "payload")]
        yield "\nstored and recomputed"
        cells = [
            (check.name.removeprefix("evidence "), check.stored, check.recomputed, "" if check.same else "differs")
            for check in shown
        ]
        yield from aligned(("figure", "stored", "recomputed", ""), cells, indent="  ")
        yield f"  {len(found.checks) - len(wrong)} of {len(found.checks)} fields and figures are the same"
        yield from (f"  differs: {check.name}" for check in wrong if check not in shown)
    colour, words = _VERDICTS[found.verdict]
    yield "\n" + paint(words, colour) + (f": {found.remark}" if found.verdict == "unknown" else "")
