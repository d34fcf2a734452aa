"""The soak: the demo's load for an hour. Does memory, lag, batch time, latency or the number of files grow?

Seven million changes are too many for the oracle: what the run left behind is compared by the audit."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fraudstream import cli
from fraudstream.audit import report as audit_report
from fraudstream.audit import run as auditing
from fraudstream.check import growth, plots, timeline
from fraudstream.check.demo import make_room
from fraudstream.check.once import Interrupted, alone, one_interruption
from fraudstream.check.page import templates
from fraudstream.check.report import Run, machine, versions
from fraudstream.check.stages import Options, run_and_check
from fraudstream.config import RULES_FILE, load_pipeline, write_variant
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import StackSettings, load_settings

# As conf/ keeps files of the lake for an hour, their number would grow to the end of the soak.
_UPKEEP = {"upkeep.every": "5 minutes", "upkeep.keep": "10 minutes"}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all stayed flat and nothing was lost or doubled, 1 not, 2 an option is wrong, 128 + n after
    signal n."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600, help=f"at least {growth.LONG_S} tell (default: 3600)")
    parser.add_argument("--rate", type=int, default=2000, help="rows per second (default: 2000)")
    given = parser.parse_args(argv)
    try:
        with one_interruption():
            return _soak(given.seconds, given.rate, load_settings())
    except Exception as error:
        cli.complain(error)
        return 1
    except Interrupted as interruption:
        print("interrupted; everything that the soak had started is stopped", file=sys.stderr)
        return 128 + int(interruption.args[0])


def _soak(seconds: int, rate: int, user: StackSettings) -> int:
    home = user.home / "soak"
    os.environ["FRAUDSTREAM_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    config = home / "pipeline.yaml"
    write_variant(config, _UPKEEP)
    options = Options(profile="exercise", seconds=seconds, rate=rate, seed=0, config_file=config)
    settings, pipeline, every = load_settings(home), load_pipeline(config), load_rules(RULES_FILE)

    def check(ledger: Path, copies: Path) -> dict[str, Any]:
        found = auditing.audit(pipeline, every, settings, auditing.Options(ledger=ledger), print)
        print(audit_report.as_text(found))
        return audit_report.as_json(found)

    with alone(home, "soak"):
        make_room(user, settings, pipeline)
        print(f"{options.rate:,} rows/s for {options.seconds} s; Ctrl-C stops everything")
        rules = [rule for rule in every if rule.status == "live"]
        run, audited = run_and_check(options, settings, pipeline, rules, check)
    report = assemble(run, audited, settings)
    (home / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _write_page(home / "report.html", report, run)
    print(
        "\n".join([*(f"- {each}" for each in report["failures"] + report["untold"]), f"report: {home / 'report.html'}"])
    )
    print(cli.paint("PASSED", "green") if report["passed"] else cli.paint("FAILED", "red"))
    return 0 if report["passed"] else 1


def assemble(run: Run, audited: dict[str, Any], settings: StackSettings) -> dict[str, Any]:
    """The report: what grows, latency and throughput over the whole run, and the audit."""
    grown = growth.of_run(run, timeline.series(run.samples, run.began))
    failures, untold = grown.pop("failures"), grown.pop("untold")
    seconds = run.produced[1] - run.produced[0]
    last = run.samples[-1]
    disk = run.resources[-1].disk if run.resources else {}
    return {
        "passed": audited["passed"] and not failures,
        "failures": [*failures, *_failures_of(audited)],
        "options": dict(run.options),
        "seconds": round(seconds, 1),
        "changes": last.committed,
        "changes_per_s": round(last.committed / max(seconds, 1e-9), 1),
        "alerts": dict(last.alerts),
        "latency_ms": {name: timeline.percentiles(each.between(*run.produced)) for name, each in run.alerts.items()},
        "growth": grown,
        "untold": untold,
        "disk_mib": {name: round(size, 1) for name, size in disk.items()},
        "audit": audited,
        "versions": versions(settings),
        "machine": machine(),
    }


def _failures_of(audited: dict[str, Any]) -> list[str]:
    if audited["passed"]:
        return []
    if audited["findings"]:
        return [f"the audit has {audited['findings']} findings"]
    return [f"the audit could not compare {', '.join(audited['incomplete'])} in full"]


def _write_page(path: Path, report: dict[str, Any], run: Run) -> None:
    series = timeline.series(run.samples, run.began)
    written = run.produced[1] - run.began
    drawn = {
        "memory": plots.memory_plot(run.resources, run.began),
        "latency": plots.latency_plot(run.alerts, run.began, written, run.produced),
        "lag": plots.lag_plot(series, [*run.batched]),
    }
    page = templates().get_template("soak.html.j2")
    path.write_text(page.render(report=report, plots=drawn), encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
