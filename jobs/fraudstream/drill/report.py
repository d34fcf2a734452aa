"""Results of rounds as report.json, report.html and a table. Pure but for the writing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fraudstream.check.page import templates
from fraudstream.columns import aligned
from fraudstream.drill.fault import Fault
from fraudstream.drill.helped import as_words, counted
from fraudstream.drill.rounds import ENOUGH_ROWS

Result = Mapping[str, Any]
_FOUND = ("lost", "doubled", "kafka_copies")
VERDICTS = ("held", "failed", "not proven", "not run")


def summarised(results: Sequence[Result], faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """An entry per fault, in their order; one without results is not proven."""
    by_fault: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_fault[result["fault"]].append(result)
    return [_entry(fault, by_fault[fault.name]) for fault in faults]


def _entry(fault: Fault, results: Sequence[Result]) -> dict[str, Any]:
    recovered = [result["recovery_s"] for result in results if result["recovery_s"] is not None]
    reached = [result for result in results if result["outcome"] != "not reached"]
    checks = {(result["seed"], result["round"]): result["check"] for result in reached}
    failures = [failure for check in checks.values() for failure in check["failures"]]
    unproven = sorted({reason for check in checks.values() for reason in check.get("unproven", [])})
    rows = sum(result["rows"] for result in results)
    others = [f"{result['outcome']}: {result['proof']}" for result in results if result["outcome"] != "struck"]
    return {
        "fault": fault.name,
        "matrix_rows": list(fault.rows),
        "must_hold": fault.must_hold,
        "seeds": sorted({result["seed"] for result in results}),
        "rounds": len(checks),
        "tries": len(results),
        "strikes": sum(result["outcome"] in ("struck", "helped") for result in results),
        "kills": sum(result["kills"] for result in results),
        "rows": rows,
        "rows_meanwhile": min((result["rows_meanwhile"] for result in reached if result["rows_meanwhile"]), default=0),
        **{name: _sum(checks.values(), name) for name in _FOUND},
        "helped": _helped(result.get("helped") for result in reached),
        "recovery_s": _percentiles(recovered),
        "verdict": verdict(results, failures, rows, unproven),
        "proof": next((result["proof"] for result in reversed(results)), ""),
        "detail": [*failures, *unproven, *others][:5],
    }  # fmt: skip


def _sum(checks: Iterable[Mapping[str, Any]], name: str) -> int | None:
    """The sum over the checks that have looked at it; None if none has."""
    found = [check[name] for check in checks if check.get(name) is not None]
    return sum(found) if found else None


def _helped(counts: Iterable[Mapping[str, int] | None]) -> dict[str, int] | None:
    """How often what was started again in all; None if nobody has counted it."""
    found = [each for each in counts if each is not None]
    return counted(part for each in found for part, n in each.items() for _ in range(n)) if found else None


def _percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    return {f"p{share}": round(float(np.percentile(seconds, share)), 2) if seconds else None for share in (50, 95)}


def verdict(results: Sequence[Result], failures: Sequence[str], rows: int, unproven: Sequence[str] = ()) -> str:
    """failed if a check failed, the pipeline did not recover, or what must go on alone was started again; not run if
    the fault cannot be made; not proven if it did not strike, too few rows were written around it, or its check could
    not have failed (`unproven`); else held."""
    outcomes = {result["outcome"] for result in results}
    if failures or outcomes & {"not recovered", "helped"}:
        return "failed"
    if outcomes == {"not made"}:
        return "not run"
    if "struck" not in outcomes or "not reached" in outcomes or rows < ENOUGH_ROWS or unproven:
        return "not proven"
    return "held"


def totals(entries: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> dict[str, Any]:
    """The figures of all rounds together; what a check found counts once, however many faults its round had."""
    checks = list({(result["seed"], result["round"]): result["check"] for result in results}.values())
    recovered = [result["recovery_s"] for result in results if result["recovery_s"] is not None]
    return {
        "rounds": len(checks),
        "rounds_unchecked": sum(check.get("lost") is None for check in checks),
        "seconds": round(sum({(each["seed"], each["round"]): each["seconds"] for each in results}.values())),
        "strikes": sum(entry["strikes"] for entry in entries),
        "kills": sum(entry["kills"] for entry in entries),
        "rows": _sum(checks, "rows"),
        "alerts": _sum(checks, "alerts"),
        **{name: _sum(checks, name) for name in _FOUND},
        "helped": _helped(each.get("helped") for each in (*results, *checks)),
        "recovery_s": _percentiles(recovered),
        "verdicts": {name: sum(entry["verdict"] == name for entry in entries) for name in VERDICTS},
    }  # fmt: skip


def write_report(results: Path, report: Mapping[str, Any]) -> None:
    """Write report.json and report.html beside the file of results; those of a full run are kept under its name too."""
    text = json.dumps(report, indent=1) + "\n"
    page = templates(Path(__file__).parent).get_template("drill.html.j2").render(report=report, words=as_words)
    for name in ("report", *(["full"] if results.stem == "full" else [])):
        fresh = results.with_name(f"{name}.json.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.rename(results.with_name(f"{name}.json"))
        results.with_name(f"{name}.html").write_text(page, encoding="utf-8")


def as_text(report: Mapping[str, Any]) -> str:
    """The table for the terminal."""
    header = [
        "fault", "strikes", "kills", "rows around", "until recovered", "lost", "doubled", "copies", "p50", "p95",
        "verdict", "helped",
    ]  # fmt: skip
    rows = [
        [
            entry["fault"], entry["strikes"], entry["kills"], entry["rows"], entry["rows_meanwhile"],
            *(_count(entry[name]) for name in _FOUND), *(_seconds(entry["recovery_s"][p]) for p in ("p50", "p95")),
            entry["verdict"], as_words(entry["helped"]),
        ]
        for entry in report["faults"]
    ]  # fmt: skip
    found = report["totals"]
    last = (
        f"{found['strikes']} strikes, {found['kills']} kills in {found['rounds']} rounds of {found['seconds']} s, "
        f"{_count(found['rows'])} rows: lost {_count(found['lost'])}, doubled {_count(found['doubled'])}, "
        f"equal copies in Kafka {_count(found['kafka_copies'])}; started again: {as_words(found['helped'])}"
    )
    details = [f"- {entry['fault']}: {line}" for entry in report["faults"] for line in entry["detail"]]
    return "\n".join([*aligned(header, rows), last, *details])


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
