"""Make runs of the benchmark the recorded ones: python tests/record_bench.py "--full" "note" run/bench/report.json ...

Their figures go to tests/fixtures/bench, and docs/performance.md is written anew from them. Of several reports the
later ones add what those before have not, or not right: systems, data sets and parts that were measured in a run of
their own. They may be of other code: the page says what is of which.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fraudstream.bench import goals
from fraudstream.bench import report as bench_report
from fraudstream.bench.entries import ENTRY, ranked, scaling
from fraudstream.bench.needs import TARGET, doubled, needs
from fraudstream.bench.tables import whole
from fraudstream.check.page import templates
from fraudstream.stack.settings import REPOSITORY

RECORDED = REPOSITORY / "tests" / "fixtures" / "bench" / "report.json"
PAGE = REPOSITORY / "docs" / "performance.md"


def record(options: str, note: str, sources: Sequence[Path]) -> None:
    """Keep the reports of runs made with these options as one, and write the page."""
    reports = [json.loads(source.read_text(encoding="utf-8")) for source in sources]
    kept = {"options": options, "note": f" {note}" if note else "", "report": merged(reports)}
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")


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


if __name__ == "__main__":
    record(sys.argv[1], sys.argv[2], [Path(each) for each in sys.argv[3:]])
