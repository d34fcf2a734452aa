"""A made-up demo run for tests of the report: a minute, three rules, figures that are easy to follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fraudstream.check.latency import Latencies
from fraudstream.check.observe import Progress, Sample
from fraudstream.check.report import Run

BEGAN = 1_800_000_000.0
RULES = ("anomaly", "velocity", "high_amount")


def made_up_run(seconds: int = 60) -> Run:
    """2,000 rows/s from second 2 on; captured 0.5 s and processed 1 s later; latency falls while the JVM warms up."""
    samples = [_sample(second) for second in range(seconds + 6)]
    alerts = {rule: _latencies(rule, seconds) for rule in RULES}
    return Run(
        options={"profile": "realistic", "seconds": seconds, "rate": 2000, "seed": 0},
        began=BEGAN, produced=(BEGAN + 2, BEGAN + 2 + seconds), stack_start_s=9.12,
        submitted=BEGAN - 12, spark_start_s=11.3,
        samples=samples, alerts=alerts, batched=["anomaly", "velocity"],
        progress={name: Progress(Path("nothing")) for name in (*RULES, "mirror_transactions", "archive_alerts")},
    )  # fmt: skip


def _sample(second: int) -> Sample:
    def rows(delay: float) -> int:
        return int(2000 * min(60, max(0.0, second - 2 - delay)))

    read = {"anomaly": rows(1), "velocity": rows(1.2), "high_amount": rows((second % 5) / 2 + 0.3)}
    read |= {"mirror_transactions": rows(6 if second < 65 else 0), "archive_alerts": rows(3) // 10}
    return Sample(
        at=BEGAN + second, inserts=rows(0), updates=0, deletes=0, captured=rows(0.5), read=read,
        alerts={rule: rows(1) // 30 for rule in RULES}, quarantined=0, latency={"anomaly": (640.0, 1320.0)},
    )  # fmt: skip


def _latencies(rule: str, seconds: int) -> Latencies:
    found = Latencies()
    usual = 30 if rule == "high_amount" else 650
    for number in range(seconds * 20):
        second = number / 20
        committed = (BEGAN + 2 + second) * 1000
        latency = usual * (1 + 0.5 * math.sin(number * 1.7)) + 6000 * math.exp(-second / 5)
        found.at.append(committed + latency)
        found.total.append(latency)
        found.capture.append(12.0)
        found.arrived.append(committed + 20.0)
        found.partition.append(0)
        found.offset.append(number)
    return found


def checked(rules: Sequence[str] = RULES) -> dict[str, Any]:
    """What the check returns for such a run."""
    parts = {"read": 120_000, "judged": 119_000, "history": 0, "unjudged": 0, "unreadable": 0, "ignored": 1000}
    figures = {"oracle": 1200, "kafka": 1200, "kafka_copies": 0, "delta": 1200, "missing": 0, "extra": 0}
    recall = {"all": 0.5, "amount_jump": 0.9312, "burst": 0.25, "card_testing": 0.0, "compromised_merchant": None}
    return {
        "passed": True, "failures": [],
        "committed": {"inserts": 118_000, "updates": 1800, "deletes": 200}, "redelivered_copies": 0,
        "unchecked_rules": [],
        "capture": {"lost": 0, "doubled": 0},
        "topic": {"read": 120_000, "judged": 119_000, "history": 0, "unjudged": 0, "quarantined": 0, "ignored": 1000},
        "conservation": {name: dict(parts) for name in ("mirror_transactions", *rules)},
        "mirror": {"postgres_rows": 117_800, "delta_rows": 117_800, "different": 0},
        "rules": {rule: {**figures, "latency_ms": {"p50": 700, "p95": 2100, "p99": 6400}} for rule in rules},
        "power": {"proven": False, "reasons": ["not proven: anomaly has 3 alerts, 100 are needed"]},
        "precision_recall": {
            rule: {"alerts": 1200, "precision": 0.75, "recall": recall} for rule in (*rules, "any")
        },
    }  # fmt: skip
