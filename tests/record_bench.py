"""Make runs of the benchmark the recorded ones: python tests/record_bench.py "--full" "note" run/bench/report.json ...

Their figures go to tests/fixtures/bench; docs/performance.md and README.md's table are written anew from them. Of
several reports the later ones add what those before have not, or not right: systems, data sets and parts that were
measured in a run of their own. They may be of other code: the page says what is of which.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fraudstream.bench import goals
from fraudstream.bench import report as bench_report
from fraudstream.bench.dataset import FORMS, PROFILES, USERS
from fraudstream.bench.entries import ENTRY, ranked, scaling
from fraudstream.bench.needs import TARGET, doubled, needs
from fraudstream.bench.tables import whole
from fraudstream.check.page import templates
from fraudstream.stack.settings import REPOSITORY

RECORDED = REPOSITORY / "tests" / "fixtures" / "bench" / "report.json"
PAGE = REPOSITORY / "docs" / "performance.md"
README = REPOSITORY / "README.md"
# The README's rows, the fastest first; {} is the peer's version.
_ROWS = {
    "ours": "this", "streams": "Kafka Streams {}, Java, exactly once", "python_2": "two tuned Python processes",
    "pyflink": "PyFlink {} SQL", "bytewax_recovery": "Bytewax {}, two processes, with recovery",
    "raw_read": "Spark reading the topic and nothing else",
}  # fmt: skip
_BEGIN, _END = "<!-- figures of tests/record_bench.py -->", "<!-- end of them -->"


def record(options: str, note: str, sources: Sequence[Path]) -> None:
    """Keep the reports of runs made with these options as one, and write the page."""
    reports = [json.loads(source.read_text(encoding="utf-8")) for source in sources]
    kept = {"options": options, "note": f" {note}" if note else "", "report": merged(reports)}
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")
    README.write_text(readme(kept["report"], README.read_text(encoding="utf-8")), encoding="utf-8")


def merged(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One report of several, without the courses that plots are drawn from. Raises ValueError when one of our own runs
    has failed; a peer's is recorded as failed."""
    failures = [failure for report in reports for failure in report["failures"]]
    if failures:
        raise ValueError(f"a run that has failed is not recorded: {failures}")
    found = {name: value for name, value in reports[0].items() if name != "progress"}
    for name in ("systems", "raw_read"):
        every = [entry for report in reversed(reports) for entry in report[name]]
        every.sort(key=lambda entry: entry.get("equal", True))  # the last one counts
        found[name] = [*{tuple(entry[key] for key in ENTRY): entry for entry in every}.values()]
    for name in bench_report.PARTS.values():
        found[name] = {step: each for report in reversed(reports) for step, each in report[name].items()}
    found["systems"] = ranked(found["systems"], found["raw_read"])
    found["failures_of_peers"] = bench_report.failed(found["systems"], peers=True)
    found["scaling"] = scaling(found["systems"])
    return {**found, "goals": goals.goals(found)}


def page(kept: dict[str, Any]) -> str:
    """docs/performance.md of what is kept of a run."""
    environment = templates(Path(bench_report.__file__).parent)
    environment.filters |= {"whole": lambda value: f"{whole(value):,}"}
    report = kept["report"]
    text = environment.get_template("performance.md.j2").render(
        **kept, systems=bench_report.markdown(report), needs=needs(report), doubled=doubled(report), target=TARGET,
        tables=bench_report.tables(report), goals=goals.table(report["goals"]), sources=bench_report.sources(report),
        absent=bench_report.absent(report),
    )  # fmt: skip
    return text.strip() + "\n"


def readme(report: dict[str, Any], text: str) -> str:
    """README.md with the figures of the systems of a quick run on the longest topic of the usual data, between its two
    marks."""
    usual = {"profile": PROFILES[0], "form": FORMS[0], "users": USERS[0]}
    known = [
        entry for entry in (*report["systems"], *report["raw_read"])
        if entry["system"] in _ROWS and entry["steady_per_s"] and all(entry[key] == usual[key] for key in usual)
    ]  # fmt: skip
    most = max(entry["events"] for entry in known)
    known = sorted((entry for entry in known if entry["events"] == most), key=_rank)
    machine, found = report["machine"], next(entry["alerts"] for entry in known if entry["system"] == "ours")
    lines = [
        f"The anomaly rule from the first record of a topic on ({most:,} events of {USERS[0]:,} users), alerts to",
        f"Kafka, on {machine['cores']} cores ({machine['cpu']}, {machine['memory_gib']} GiB) that the broker uses too;",
        f"each system found the same {found:,} alerts, those of an independent loop. `make bench`, "
        f"{report['when'][:10]}:",
        "",
        "| system | steady events/s (of all runs) | from the start | CPU s per million | MiB | a kill leaves |",
        "|---|---|---|---|---|---|",
        *(_row(entry) for entry in known),
    ]
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    return "\n".join([f"{before}{_BEGIN}", *lines, f"{_END}{after}"])


def _rank(entry: dict[str, Any]) -> tuple[bool, float]:
    return entry["system"] == "raw_read", -entry["steady_per_s"]["median"]


def _row(entry: dict[str, Any]) -> str:
    steady = {name: f"{whole(rate):,}" for name, rate in entry["steady_per_s"].items()}
    name = _ROWS[entry["system"]].format(entry.get("version", "").rpartition(" ")[2])
    cells = [
        name, f"{steady['median']} ({steady['min']}-{steady['max']})", f"{entry['total_per_s']:,.0f}",
        f"{entry['cpu_s_per_million']}", f"{entry['rss_mib']:,.0f}", entry.get("survives", ""),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    record(sys.argv[1], sys.argv[2], [Path(each) for each in sys.argv[3:]])
