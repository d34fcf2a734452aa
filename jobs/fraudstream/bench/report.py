"""Results as report.json, report.html and a table for the README. Pure but for the writing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fraudstream.bench import agents, drawing, goals, parts
from fraudstream.bench.entries import entries, named, scaling
from fraudstream.bench.tables import Table, lines, whole
from fraudstream.check.page import templates
from fraudstream.check.report import machine, versions
from fraudstream.columns import aligned
from fraudstream.stack.settings import StackSettings

Result = Mapping[str, Any]
PARTS = {part: "latency_ms" if part == "latency" else part for part in parts.PARTS}
"""The parts, with their names in the report."""


def assembled(results: Sequence[Result], settings: StackSettings) -> dict[str, Any]:
    """The report of all results so far: an entry per system and data set, the parts by step, and what has failed in
    words: `failures` of ours, of the raw read and of the parts, and `failures_of_peers`."""
    races = [result for result in results if "system" in result]
    systems, raw = entries(races)
    measured = {part: parts.gathered(results, part) for part in PARTS}
    of_peers, failures = failed(systems, peers=True), failed(systems, peers=False)
    failures += [f"{entry['system']}, {headed(entry)}: {entry['failed']}" for entry in raw if entry["failed"]]
    failures += [
        f"{result['part']}, {result['step']}: {failure}"
        for result in results if "part" in result for failure in result["found"]["failures"]
    ]  # fmt: skip
    failures += [f"agents, {failure}" for failure in agents.unequal(measured["agents"])]
    ran = [result for result in results if not result.get("absent")]
    report = {
        "passed": bool(ran) and not failures and not of_peers,
        "failures": failures, "failures_of_peers": of_peers,
        "when": _date(min((result["at"] for result in results), default=0)),
        "systems": systems,
        "raw_read_per_s": raw[0]["steady_per_s"]["median"] if raw and raw[0]["steady_per_s"] else None,
        "raw_read": raw,
        **{name: measured[part] for part, name in PARTS.items()},
        "scaling": scaling(systems),
        "versions": versions(settings),
        "machine": machine(),
        "progress": _progress(races),
    }  # fmt: skip
    return {**report, "goals": goals.goals(report)}


def failed(systems: Sequence[Result], *, peers: bool) -> list[str]:
    """What is wrong with the peers or with ours, in words."""
    return [
        f"{entry['system']}, {headed(entry)}: {entry['failed'] or entry['examples']}" for entry in systems
        if entry["system"].startswith("ours") != peers and not entry["equal"] and not entry["absent"]
    ]  # fmt: skip


def _date(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")


def _progress(races: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """The newest run's course of each system, by data set."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for result in races:
        if result.get("progress"):
            found[headed(result)][result["system"]] = result["progress"]
    return dict(found)


def headed(entry: Result) -> str:
    """The data set in words."""
    return f"{named(entry)}, {entry['events']:,} events"


def sources(report: Result) -> list[dict[str, Any]]:
    """{code, begin, end, what}: of each code that the report has figures of, the days, the systems and parts."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for entry in (*report["systems"], *report["raw_read"]):
        if not entry["absent"]:
            found[entry["code"]].append((entry["system"], entry["at"]))
    for part, name in PARTS.items():
        for each in report[name].values():
            found[each["code"]].append((part, each["at"]))
    result = []
    for code, pairs in found.items():
        days = sorted(_date(at)[:10] for _, at in pairs)
        what = list(dict.fromkeys(what for what, _ in pairs))
        result.append({"code": code, "begin": days[0], "end": days[-1], "what": what})
    return result


def tables(report: Result) -> list[Table]:
    """What stands below the race, as far as it was measured."""
    return [table for table in (_stages(report["systems"]), *parts.tables(report)) if table.rows]


def _stages(systems: Sequence[Result]) -> Table:
    """Where the time of our batches goes."""
    known = [(entry, *pair) for entry in systems for pair in entry["stages_ms"].items() if pair[1]]
    names = list(dict.fromkeys(name for _, _, stages in known for name in stages))
    rows = [
        [entry["system"], headed(entry), rule, *(stages.get(name) for name in names)] for entry, rule, stages in known
    ]
    caption = "Median ms of a micro-batch by Spark's own stages, once warm; triggerExecution is the whole."
    return Table("Stages of a batch", ["system", "data", "rule", *names], rows, caption)


def write_report(home: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Write report.json, report.html and table.md into `home`; the report."""
    fresh = home / "report.json.new"
    fresh.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    fresh.rename(home / "report.json")
    groups: dict[str, list[Result]] = defaultdict(list)
    for entry in report["systems"]:
        groups[headed(entry)].append(entry)
    raw = {headed(entry): entry for entry in report["raw_read"]}
    plots = {name: drawing.plots(name, group, report["progress"].get(name, {})) for name, group in groups.items()}
    environment = templates(Path(__file__).parent)
    environment.filters |= {"whole": _rounded, "verdict": verdict, "outcome": outcome}
    page = environment.get_template("bench.html.j2")
    text = page.render(
        report=report, groups=groups, raw=raw, plots=plots, tables=tables(report), sources=sources(report),
        goals=goals.table(report["goals"]), absent=absent(report), drawn=drawing.of_tables(report),
    )  # fmt: skip
    (home / "report.html").write_text(text, encoding="utf-8")
    (home / "table.md").write_text("\n".join(markdown(report)) + "\n", encoding="utf-8")
    return report


def markdown(report: Result) -> list[str]:
    """The table for the README."""
    lines = [
        "| system | data | events | steady/s | from the start | CPU s per million | MiB | lines | survives | alerts |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in report["systems"]:
        figures = [
            entry["system"], named(entry), f"{entry['events']:,}", _range(entry), _rounded(entry["total_per_s"]),
            _shown(entry["cpu_s_per_million"]), _rounded(entry["rss_mib"]), _shown(entry["lines_of_code"]),
            entry["survives"], verdict(entry),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(figures)} |")
    return lines


def verdict(entry: Result) -> str:
    """equal, or what is wrong in a few words."""
    if entry["equal"]:
        return "equal"
    if entry["absent"]:
        return "not run"
    if entry["missing"] is None:
        return "failed"
    return f"failed: {entry['missing']:,} missing, {entry['extra']:,} extra"


def outcome(report: Result) -> str:
    """The report in a few words."""
    every = dict.fromkeys(entry["system"] for entry in report["systems"])
    lacking = dict.fromkeys(entry["system"] for entry in report["systems"] if entry["absent"])
    if not report["passed"]:
        return "NOTHING MEASURED" if every == lacking and not report["failures"] else "NOT EQUAL"
    if not lacking:
        return "EQUAL"
    return f"EQUAL for {len(every) - len(lacking)} of {len(every)} systems; not run: {', '.join(lacking)}"


def absent(report: Result) -> list[str]:
    """The systems that were not run, each with the reason."""
    found = (f"{entry['system']} is not run: {entry['absent']}" for entry in report["systems"] if entry["absent"])
    return list(dict.fromkeys(found))


def as_text(report: Result) -> str:
    """The tables for the terminal, and what went wrong."""
    header = ["system", "data", "events", "steady/s", "min", "max", "total/s", "CPU s/M", "MiB", "alerts", "verdict"]
    rows = []
    for entry in [*report["systems"], *report["raw_read"]]:
        steady = entry["steady_per_s"] or dict.fromkeys(("median", "min", "max"))
        rows.append([
            entry["system"], named(entry), entry["events"], *(whole(steady[name]) for name in ("median", "min", "max")),
            whole(entry["total_per_s"]), entry["cpu_s_per_million"], whole(entry["rss_mib"]), entry.get("alerts"),
            verdict(entry) if "equal" in entry else "failed" if entry["failed"] else "no rule",
        ])  # fmt: skip
    races = aligned(header, rows) if rows else []
    more = [line for table in (goals.table(report["goals"]), *tables(report)) for line in lines(table)]
    wrong = [f"- {text}" for text in (*absent(report), *report["failures"], *report["failures_of_peers"])]
    return "\n".join([*races, *more, *([""] if wrong else []), *wrong])


def told(result: Result) -> str:
    """One race in a line."""
    place = f"{result['system']} {result['repeat']}, {headed(result)}"
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
