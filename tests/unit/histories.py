"""Rows, rules and folds for the tests of the rule language."""

from __future__ import annotations

import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraudstream.rulebook import catalog
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.rulebook.definition import rule
from fraudstream.rulebook.fold import fold

SECOND = 1_000_000
NOON = 1_772_366_400 * SECOND  # 2026-03-01 12:00:00 UTC
TOPIC = "topic"
COUNTS = ("judged", "history", "redelivered", "superseded")
Row = dict[str, Any]


@cache
def rule_of(entry: str) -> Rule:
    """The rule of an entry of a rules file, like "anomaly: {parameters: {history: 2}}"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(entry, encoding="utf-8")
        return load_rules(path)[0]


def rule_file(monkeypatch: pytest.MonkeyPatch, body: Callable[..., Any], entry: str = "{}") -> Rule:
    """The rule of a function, as if the function stood in a rule file of its name."""
    name = body.__name__
    module = types.ModuleType(f"fraudstream.rules.{name}")
    setattr(module, name, rule()(body))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(catalog, "known_rules", lambda: [name])
    return rule_of.__wrapped__(f"{name}: {entry}")


def row(number: int, amount: str | int = 100, at: float = 0, user: int = 1, **more: Any) -> Row:
    """A row: id, amount ("12.34", or whole), event time in seconds behind noon; `cents`, `judge`, `card_type` ..."""
    whole, _, cents = str(amount).partition(".")
    worth = abs(int(whole)) * 100 + int(cents.ljust(2, "0"))
    return {
        "id": number, "user_id": user, "cents": -worth if whole.startswith("-") else worth,
        "created_at": NOON + round(at * SECOND), "judge": True, "card_type": "VISA", "merchant_id": 1, "lsn": 1,
        "tx_id": 1, "partition": 0, "committed_ms": NOON // 1000, "captured_ms": NOON // 1000, **more,
    }  # fmt: skip


def batch(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The rows, each with an `offset`, as columns of a batch."""
    columns: dict[str, np.ndarray] = {}
    for name in (*row(0), "offset"):
        kind = object if name == "card_type" else bool if name == "judge" else np.int64
        columns[name] = np.array([each[name] for each in rows], dtype=kind)
    return columns


def folded(judging: Rule, rows: Iterable[Row], cuts: Iterable[int] = ()) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Alerts and counts of the rows in this order, cut into batches before the `cuts`."""
    placed = [{**each, "offset": offset} for offset, each in enumerate(rows)]
    state, alerts, counts = None, [], dict.fromkeys(COUNTS, 0)
    borders = sorted({0, len(placed), *(cut % (len(placed) + 1) for cut in cuts)})
    for start, end in pairwise(borders):
        result = fold(judging, state, batch(placed[start:end]), TOPIC)
        state = result.state
        alerts += result.alerts
        for name in COUNTS:
            counts[name] += getattr(result, name)
    return alerts, counts


def alerting(judging: Rule, rows: Iterable[Row], cuts: Iterable[int] = ()) -> list[int]:
    """Ids of the transactions that alert."""
    return [alert["transaction_id"] for alert in folded(judging, rows, cuts)[0]]
