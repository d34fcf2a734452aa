"""Results of rounds as a drill keeps them."""

from __future__ import annotations

from typing import Any

SOUND = {"rows": 90_000, "alerts": 700, "lost": 0, "doubled": 0, "kafka_copies": 3, "quarantined": 0, "failures": []}


def result(fault: str = "kill_connect", number: int = 1, **changes: Any) -> dict[str, Any]:
    found = {
        "fault": fault, "outcome": "struck", "proof": "pid 7 gone", "rows": 30_000, "kills": 1, "recovery_s": 4.0,
        "rows_meanwhile": 9_000, "round": number, "seed": 5, "plan": [fault], "at": 1_800_000_000.0,
        "seconds": 60.0, "check": SOUND,
    }  # fmt: skip
    return {**found, **changes}
