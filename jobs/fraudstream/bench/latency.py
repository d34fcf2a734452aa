"""From commit to alert with the whole stack on this machine, once warm: all rules together, and each alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from fraudstream.bench.ours import write_rules
from fraudstream.bench.tables import Table
from fraudstream.check.demo import make_room
from fraudstream.check.latency import STAGES
from fraudstream.check.page import share
from fraudstream.check.report import Run, assemble
from fraudstream.check.stages import Options, run_and_check
from fraudstream.check.verify import verify
from fraudstream.config import load_pipeline, write_variant
from fraudstream.rulebook.catalog import load_rules
from fraudstream.shared_queries import SETTING
from fraudstream.stack.settings import StackSettings, load_settings

RATE = 2000
# The last minute counts: by then the compilers have done most of their work.
SECONDS = 240
# Of what the check could have found, which no figure here depends on: of all rows it would take minutes a rule.
_POWER_ROWS = 20_000
RULES = ("anomaly", "velocity", "high_amount")
# With its own, anomaly alerts no more after four minutes of the exercise's rows.
PARAMETERS = {"anomaly": {"factor": 1.95}}


@dataclass(frozen=True)
class Judging:
    """The rules of a run, and what else than conf/pipeline.yaml has."""

    rules: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)


STEPS: Mapping[str, Judging] = {
    "together": Judging(RULES),
    "together, mirror every 10 s": Judging(RULES, {"triggers.mirror_transactions": "10 seconds"}),
    "together, one query for both with state": Judging(RULES, {SETTING: {"windows": ["anomaly", "velocity"]}}),
    **{f"{rule} alone": Judging((rule,)) for rule in RULES},
}


def measure(user: StackSettings, home: Path, judging: Judging, seconds: int = SECONDS) -> dict[str, Any]:
    """The figures of `measured` for rules of conf/rules.yaml."""
    home.mkdir(parents=True, exist_ok=True)
    write_rules(home / "rules.yaml", judging.rules, PARAMETERS)
    return measured(user, home, home / "rules.yaml", seconds, judging.changes)[0]


def measured(
    user: StackSettings, home: Path, file: Path, seconds: int, changes: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], tuple[float, float]]:
    """Latencies in ms by rule and stage (check.latency.STAGES), length of batches, seconds from the start of the driver
    to its first batch, and the share of the CPU that was idle, while the rules of the file, the archive and the mirror
    run on RATE rows/s; `failures` of the check in words. And between which epoch seconds that was measured. `changes`
    are of conf/pipeline.yaml. Uses the stack's usual ports."""
    os.environ["FRAUDSTREAM_HOME"] = str(home)
    config = home / "pipeline.yaml"
    write_variant(config, changes or {})
    settings, pipeline, loaded = load_settings(home), load_pipeline(config), load_rules(file)
    options = Options(profile="exercise", seconds=seconds, rate=RATE, seed=0, rules_file=file, config_file=config)

    def check(ledger: Path, copies: Path) -> dict[str, Any]:
        return verify(
            settings, pipeline, loaded, ledger, profile=options.profile, copies=copies, power_rows=_POWER_ROWS
        )

    make_room(user, settings, pipeline)
    run, checked = run_and_check(options, settings, pipeline, loaded, check)
    return {**_figures(assemble(run, checked, settings, "")), "idle_share": _idle(run)}, run.warm


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rules": {
            name: {"alerts": rule["kafka"], "latency_ms": rule["latency_warm_ms"],
                   "record_to_alert_ms": rule["record_to_alert_ms"], "stages_ms": rule["stages_ms"],
                   "batch_ms": report["queries"][name]["batch_ms"]}
            for name, rule in report["rules"].items()
        },
        "changes_per_s": report["rates"]["committed_per_s"], "first_batch_s": report["spark_start_s"],
        "failures": report["failures"],
    }  # fmt: skip


def _idle(run: Run) -> float | None:
    """Mean share of the CPU that was idle in the warm window."""
    low, high = run.warm
    found = [each.idle for each in run.resources if low <= each.at < high]
    return round(fmean(found), 3) if found else None


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The results for a reader."""
    names = ["p50", "p95", "p99"]
    header = ["rules", "rule", *names, *STAGES.values(), "record to alert p50", "its p99", "batch p50", "CPU idle",
              "first batch"]  # fmt: skip
    rows = [
        [step, rule, *(each["latency_ms"][name] for name in names), *each["stages_ms"].values(),
         *(each["record_to_alert_ms"][name] for name in ("p50", "p99")), each["batch_ms"]["p50"],
         share(run["idle_share"]), f"{run['first_batch_s']} s"]
        for step, run in found.items() for rule, each in run["rules"].items()
    ]  # fmt: skip
    caption = (
        "Milliseconds from a row's commit in PostgreSQL to its alert in Kafka, at 2,000 rows a second, with archive "
        "and mirror, all on this machine, in the last minute of a run; the stages are medians. First batch: from the "
        "start of the driver."
    )
    return Table("Latency", header, rows, caption)
