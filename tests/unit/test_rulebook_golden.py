"""The fold against the golden topics, cut into micro-batches in several ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fraudstream.check.oracle import arrivals
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.rulebook.fold import fold
from fraudstream.rulebook.payload import NULL
from golden.topics import TOPIC, Golden, goldens

FILES = goldens()
CASES = [(golden, name) for golden in FILES for name in golden.alerts if name != "high_amount"]
MAX_BYTES = 262_144


def rule_of(golden: Golden, name: str, folder: Path) -> Rule:
    parameters = {
        key: str(value) if key == "window" else value for key, value in golden.parameters.get(name, {}).items()
    }
    path = folder / "rules.yaml"
    path.write_text(f"{name}: {{parameters: {parameters!r}}}")
    return load_rules(path)[0]


def rows(golden: Golden) -> list[dict]:
    """The messages that may enter a history, as columns of a batch."""
    found = []
    for arrival in arrivals(golden.messages, MAX_BYTES):
        if arrival.entry not in ("judge", "history"):
            continue
        row, event = arrival.row, arrival.event
        found.append(
            {
                "judge": arrival.entry == "judge", "partition": arrival.partition, "offset": arrival.offset,
                "id": row.id, "user_id": row.user_id, "cents": row.cents, "created_at": row.created_at,
                "card_type": row.card_type, "merchant_id": row.merchant_id, "lsn": event.lsn, "tx_id": event.tx_id,
                "committed_ms": event.committed_ms, "captured_ms": event.captured_ms,
            }
        )  # fmt: skip
    return found


def columns(part: list[dict]) -> dict[str, np.ndarray]:
    def column(name: str) -> np.ndarray:
        values = [row[name] for row in part]
        if name == "card_type":
            return np.array(values, dtype=object)
        return np.array([NULL if value is None else value for value in values])

    return {name: column(name) for name in part[0]}


def folded(rule: Rule, found: list[dict], size: int) -> tuple[list[dict], dict[str, int]]:
    state, alerts, counts = None, [], dict.fromkeys(("judged", "history", "redelivered", "superseded"), 0)
    for start in range(0, len(found), size):
        result = fold(rule, state, columns(found[start : start + size]), TOPIC)
        state = result.state
        alerts += result.alerts
        for name in counts:
            counts[name] += getattr(result, name)
    return alerts, counts


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(("golden", "name"), CASES, ids=[f"{golden.name}-{name}" for golden, name in CASES])
def test_the_fold_finds_what_was_worked_out_by_hand_however_the_topic_is_cut(golden, name, size, tmp_path: Path):
    rule = rule_of(golden, name, tmp_path)
    alerts, counts = folded(rule, rows(golden), size)
    assert sorted(alert["transaction_id"] for alert in alerts) == sorted(golden.alerts[name])
    expected = golden.counts[name]
    assert (counts["judged"], counts["history"]) == (expected["judged"], expected["history"])
    for dropped in ("redelivered", "superseded"):
        assert counts[dropped] == expected["ignored"].get(dropped, 0)
    for transaction, figures in golden.evidence.get(name, {}).items():
        alert = next(alert for alert in alerts if alert["transaction_id"] == transaction)
        shown = {**alert["evidence"], "score": alert["score"]}
        for figure in figures.keys() & shown.keys():
            assert shown[figure] == figures[figure]
