"""Results of rounds as report.json, report.html and a table. Pure but for the writing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fraudstream.check.page import templates
from fraudstream.columns import aligned
from fraudstream.drill.fault import Fault
from fraudstream.drill.rounds import ENOUGH_ROWS

Result = Mapping[str, Any]
VERDICTS = ("held", "failed", "not proven", "not run")


def summarised(results: Sequence[Result], faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """An entry per fault that has results, in the order of `faults`."""
    by_fault: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_fault[result["fault"]].append(result)
    return [_entry(fault, by_fault[fault.name]) for fault in faults if fault.name in by_fault]


def _entry(fault: Fault, results: Sequence[Result]) -> dict[str, Any]:
    recovered = [result["recovery_s"] for result in results if result["recovery_s"] is not None]
    checks = {(result["seed"], result["round"]): result["check"] for result in results}
    failures = [failure for check in checks.values() for failure in check["failures"]]
    rows = sum(result["rows"] for result in results)
    others = [f"{result['outcome']}: {result['proof']}" for result in results if result["outcome"] != "struck"]
    return {
        "fault": fault.name,
        "matrix_rows": list(fault.rows),
        "must_hold": fault.must_hold,
        "seeds": sorted({result["seed"] for result in results}),
        "rounds": len(checks),
        "strikes": sum(result["outcome"] == "struck" for result in results),
        "kills": sum(result["kills"] for result in results),
        "rows": rows,
        "lost": sum(check.get("lost", 0) for check in checks.values()),
        "doubled": sum(check.get("doubled", 0) for check in checks.values()),
        "kafka_copies": sum(check.get("kafka_copies", 0) for check in checks.values()),
        "recovery_s": _percentiles(recovered),
        "verdict": verdict(results, failures, rows),
        "proof": next((result["proof"] for result in reversed(results)), ""),
        "detail": [*failures, *others][:5],
    }  # fmt: skip


def _percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    return {f"p{share}": round(float(np.percentile(seconds, share)), 2) if seconds else None for share in (50, 95)}


def verdict(results: Sequence[Result], failures: Sequence[str], rows: int) -> str:
    """failed if a check failed or the pipeline did not recover; not run if the fault cannot be made; not proven if it
    did not strike, or too few rows were written around it; else held."""
    outcomes = {result["outcome"] for result in results}
    if failures or "not recovered" in outcomes:
        return "failed"
    if outcomes == {"not made"}:
        return "not run"
    if "struck" not in outcomes or rows < ENOUGH_ROWS:
        return "not proven"
    return "held"


def totals(entries: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> dict[str, Any]:
    """The figures of all rounds together; what a check found counts once, however many faults its round had."""
    checks = {(result["seed"], result["round"]): result["check"] for result in results}.values()
    recovered = [result["recovery_s"] for result in results if result["recovery_s"] is not None]
    return {
        "rounds": len(checks),
        "kills": sum(entry["kills"] for entry in entries),
        "rows": sum(check.get("rows", 0) for check in checks),
        "alerts": sum(check.get("alerts", 0) for check in checks),
        **{name: sum(check.get(name, 0) for check in checks) for name in ("lost", "doubled", "kafka_copies")},
        "recovery_s": _percentiles(recovered),
        "verdicts": {name: sum(entry["verdict"] == name for entry in entries) for name in VERDICTS},
    }  # fmt: skip


def write_report(home: Path, report: Mapping[str, Any]) -> Path:
    """Write report.json and report.html into `home`; the path of the latter."""
    text = json.dumps(report, indent=1) + "\n"
    fresh = home / "report.json.new"
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(home / "report.json")
    page = templates(Path(__file__).parent).get_template("drill.html.j2")
    path = home / "report.html"
    path.write_text(page.render(report=report), encoding="utf-8")
    return path


def as_text(report: Mapping[str, Any]) -> str:
    """The table for the terminal."""
    header = ["fault", "kills", "rows", "lost", "doubled", "copies", "p50", "p95", "verdict"]
    rows = [
        [
            entry["fault"], entry["kills"], entry["rows"], entry["lost"], entry["doubled"], entry["kafka_copies"],
            _seconds(entry["recovery_s"]["p50"]), _seconds(entry["recovery_s"]["p95"]), entry["verdict"],
        ]
        for entry in report["faults"]
    ]  # fmt: skip
    found = report["totals"]
    last = (
        f"{found['kills']} kills in {found['rounds']} rounds, {found['rows']:,} rows: lost {found['lost']}, doubled "
        f"{found['doubled']}, equal copies in Kafka {found['kafka_copies']}"
    )
    details = [f"- {entry['fault']}: {line}" for entry in report["faults"] for line in entry["detail"]]
    return "\n".join([*aligned(header, rows), last, *details])


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
