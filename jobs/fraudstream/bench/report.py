"""Results of races as report.json, report.html and a table for the README. Pure but for the writing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from fraudstream.bench import agents, drawing, growth
from fraudstream.bench.dataset import FORMS, PROFILES, USERS
from fraudstream.bench.figures import spread
from fraudstream.bench.install import version_of
from fraudstream.bench.parts import PARTS, gathered, tables
from fraudstream.bench.systems import RAW_READ, SYSTEMS, lines_of_code
from fraudstream.bench.tables import lines, whole
from fraudstream.check.page import templates
from fraudstream.check.report import machine, versions
from fraudstream.columns import aligned
from fraudstream.stack.settings import StackSettings

Result = Mapping[str, Any]
_DATA = ("profile", "form", "users")
_MEDIANS = ("total_per_s", "first_alert_s", "cpu_s_per_million", "rss_mib")


def assembled(results: Sequence[Result], settings: StackSettings) -> dict[str, Any]:
    """The report of all results so far: an entry per system and data set, the data sets in their order, in each the
    fastest first."""
    groups: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
    races = [result for result in results if "system" in result]
    for result in races:
        groups[(*(result[name] for name in _DATA), result["system"])].append(result)
    entries = [_entry(group) for group in groups.values()]
    raw = [entry for entry in entries if entry["system"] == RAW_READ]
    systems = _ranked([entry for entry in entries if entry["system"] != RAW_READ], raw)
    began = min((result["at"] for result in results), default=0)
    measured = {part: gathered(results, part) for part in PARTS}
    failures = _failures(systems, measured)
    return {
        "passed": bool(results) and not failures,
        "failures": failures,
        "when": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "systems": systems,
        "raw_read_per_s": raw[0]["steady_per_s"]["median"] if raw and raw[0]["steady_per_s"] else None,
        "raw_read": raw,
        "latency_ms": measured["latency"], "capture": measured["capture"], "mirror": measured["mirror"],
        "growth": growth.with_memory(measured["growth"]), "agents": measured["agents"],
        "ablation": measured["ablation"],
        "scaling": scaling(systems),
        "versions": versions(settings),
        "machine": machine(),
        "progress": _progress(races),
    }  # fmt: skip


def _failures(systems: Sequence[Result], measured: Mapping[str, Any]) -> list[str]:
    """What has failed, in words: of the race, and of the parts by name and step."""
    raced = [
        f"{entry['system']}, {named(entry)}: {entry['failed'] or entry['examples']}"
        for entry in systems
        if not entry["equal"] and not _is_absent(entry)
    ]
    parts = [
        f"{part}, {step}: {failure}"
        for part, found in measured.items() for step, each in found.items() for failure in each["failures"]
    ]  # fmt: skip
    return raced + parts + [f"agents, {failure}" for failure in agents.unequal(measured["agents"])]


def scaling(systems: Sequence[Result]) -> dict[str, Any]:
    """Steady rates of a system that was raced on several numbers of users, or of ours on one core, on two, and in two
    executors of a core each; by users and by cores."""
    users: dict[str, dict[str, Any]] = defaultdict(dict)
    for entry in systems:
        if (entry["profile"], entry["form"]) == (PROFILES[0], FORMS[0]) and entry["steady_per_s"]:
            users[entry["system"]][f"{entry['users']:,}"] = entry["steady_per_s"]
    fewest = f"{USERS[0]:,}"
    ways = {"_one_core": "1 core", "": "2 cores", "_cluster": "2 executors"}
    cores = {
        name: {way: users[name + end][fewest] for end, way in ways.items() if fewest in users.get(name + end, {})}
        for name in list(users)
        if fewest in users.get(f"{name}_one_core", {})
    }
    return {"users": {name: found for name, found in users.items() if len(found) > 1}, "cores": cores}


def _entry(group: Sequence[Result]) -> dict[str, Any]:
    """Medians over the repeats; a repeat that failed speaks for all."""
    last, system = group[-1], SYSTEMS.get(group[-1]["system"])
    failed = next((result["failed"] for result in group if result["failed"]), None)
    found = {
        "system": last["system"], **{name: last[name] for name in (*_DATA, "events")}, "runs": len(group),
        **{name: _median(group, name) for name in _MEDIANS},
        "steady_per_s": spread(result.get("steady_per_s") for result in group),
        "failed": failed,
    }  # fmt: skip
    if system is None:
        return found
    unequal = next((result for result in reversed(group) if not result.get("equal")), last)
    return {
        **found,
        "language": system.language, "fault_tolerant": system.fault_tolerant, "rules": list(system.rules),
        **{name: unequal.get(name) for name in ("alerts", "copies", "missing", "extra", "examples")},
        "equal": bool(unequal.get("equal")), "lines_of_code": lines_of_code(system), "survives": system.survives,
        "version": version_of(system),
    }  # fmt: skip


def _median(group: Sequence[Result], name: str) -> float | None:
    known = [result[name] for result in group if result.get(name) is not None]
    return round(median(known), 2) if known else None


def _ranked(entries: Sequence[dict[str, Any]], raw: Sequence[Result]) -> list[dict[str, Any]]:
    """The entries with their part of the raw read of the same data, the fastest of each data set first."""
    reads = {_data(entry): _steady(entry) for entry in raw}
    for entry in entries:
        read, own = reads.get(_data(entry)), _steady(entry)
        entry["of_raw_read"] = round(own / read, 3) if read and own else None
    order = list(dict.fromkeys(map(_data, entries)))
    return sorted(entries, key=lambda entry: (order.index(_data(entry)), -(_steady(entry) or 0.0)))


def _data(entry: Result) -> tuple[Any, ...]:
    return tuple(entry[name] for name in _DATA)


def _steady(entry: Result) -> float | None:
    return entry["steady_per_s"]["median"] if entry["steady_per_s"] else None


def _is_absent(entry: Result) -> bool:
    return str(entry["failed"]).startswith("not installed")


def _progress(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """The newest run's course of each system, by data set."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for result in results:
        if result.get("progress"):
            found[named(result)][result["system"]] = result["progress"]
    return dict(found)


def named(entry: Result) -> str:
    """The data set in words."""
    return f"{entry['profile']}, {entry['form']}, {entry['users']:,} users"


def write_report(home: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Write report.json, report.html and table.md into `home`; the report."""
    fresh = home / "report.json.new"
    fresh.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    fresh.rename(home / "report.json")
    groups: dict[str, list[Result]] = defaultdict(list)
    for entry in report["systems"]:
        groups[named(entry)].append(entry)
    raw = {named(entry): entry for entry in report["raw_read"]}
    plots = {name: drawing.plots(name, group, report["progress"].get(name, {})) for name, group in groups.items()}
    environment = templates(Path(__file__).parent)
    environment.filters |= {"whole": _rounded, "verdict": verdict}
    page = environment.get_template("bench.html.j2")
    text = page.render(report=report, groups=groups, raw=raw, plots=plots, tables=tables(report))
    (home / "report.html").write_text(text, encoding="utf-8")
    (home / "table.md").write_text("\n".join(markdown(report)) + "\n", encoding="utf-8")
    return report


def markdown(report: Result) -> list[str]:
    """The table for the README."""
    lines = [
        "| system | data | steady events/s | from the start | CPU s per million | MiB | lines | survives | alerts |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in report["systems"]:
        figures = [
            entry["system"], named(entry), _range(entry), _rounded(entry["total_per_s"]),
            _shown(entry["cpu_s_per_million"]), _rounded(entry["rss_mib"]), _shown(entry["lines_of_code"]),
            entry["survives"], verdict(entry),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(figures)} |")
    return lines


def verdict(entry: Result) -> str:
    """equal, or what is wrong in a few words."""
    if entry["equal"]:
        return "equal"
    if _is_absent(entry):
        return "not installed"
    if entry["missing"] is None:
        return "failed"
    return f"failed: {entry['missing']:,} missing, {entry['extra']:,} extra"


def as_text(report: Result) -> str:
    """The table for the terminal, and what went wrong."""
    header = ["system", "data", "steady/s", "min", "max", "total/s", "CPU s/M", "MiB", "alerts", "verdict"]
    rows = []
    for entry in [*report["systems"], *report["raw_read"]]:
        steady = entry["steady_per_s"] or dict.fromkeys(("median", "min", "max"))
        rows.append([
            entry["system"], named(entry), *(whole(steady[name]) for name in ("median", "min", "max")),
            whole(entry["total_per_s"]), entry["cpu_s_per_million"], whole(entry["rss_mib"]), entry.get("alerts"),
            verdict(entry) if "equal" in entry else "no rule",
        ])  # fmt: skip
    absent = [f"- {entry['system']}: {entry['failed']}" for entry in report["systems"] if _is_absent(entry)]
    failed = [f"- {failure}" for failure in report["failures"]]
    parts = [line for table in tables(report) for line in lines(table)]
    races = aligned(header, rows) if rows else []
    return "\n".join([*races, *parts, *absent, *failed])


def told(result: Result) -> str:
    """One race in a line."""
    place = f"{result['system']} {result['repeat']}, {named(result)}"
    if result["failed"]:
        return f"{place}: {result['failed']}"
    steady = f"{result['steady_per_s']:,.0f}" if result["steady_per_s"] else "-"
    said = f"{place}: {steady} events/s steady, {result['total_per_s']:,.0f} from the start"
    if "alerts" not in result:
        return said
    wrong = "" if result["equal"] else f", NOT EQUAL: {result['missing']} missing, {result['extra']} extra"
    return f"{said}, {result['alerts']:,} alerts{wrong}"


def _range(entry: Result) -> str:
    steady = entry["steady_per_s"]
    return f"{steady['median']:,.0f} ({steady['min']:,.0f}-{steady['max']:,.0f})" if steady else "-"


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
