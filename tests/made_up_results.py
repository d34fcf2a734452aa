"""Made-up results of the benchmark, for tests of its reports."""

from __future__ import annotations

from typing import Any


def result(system: str = "ours", repeat: int = 1, **changes: Any) -> dict[str, Any]:
    found = {
        "system": system, "profile": "exercise", "form": "envelope", "users": 9000, "events": 1000, "repeat": repeat,
        "at": 1_800_000_000, "code": "c", "failed": None, "first_alert_s": 9.0, "seconds": 20.0, "total_per_s": 50.0,
        "steady_per_s": 100.0 * repeat, "cpu_s_per_million": 7.0, "rss_mib": 1000,
        "progress": [[9.0, 10], [20.0, 1000]],
    }  # fmt: skip
    alerts = {"alerts": 4, "copies": 0, "missing": 0, "extra": 0, "examples": {}, "equal": True}
    return {**found, **({} if system == "raw_read" else alerts), **changes}


def bare(system: str, **changes: Any) -> dict[str, Any]:
    """What a heat that raised, or was not run, leaves of a result."""
    names = ("system", "profile", "form", "users", "events", "repeat", "at", "code", "failed")
    return {name: value for name, value in result(system).items() if name in names} | changes


def part(name: str, step: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"key": f"{name}: {step}", "part": name, "step": step, "at": 1, "code": "c", "found": found}
