"""From commit to alert with the whole stack on this machine, once warm: all rules together, and each alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from fraudstream.bench.ours import write_rules
from fraudstream.bench.tables import Table
from fraudstream.check.demo import make_room
from fraudstream.check.latency import STAGES, Latencies
from fraudstream.check.page import share
from fraudstream.check.report import Run, assemble
from fraudstream.check.stages import Options, run_and_check
from fraudstream.check.verify import verify
from fraudstream.config import load_pipeline, write_variant
from fraudstream.rulebook.catalog import load_rules
from fraudstream.shared_queries import SETTING
from fraudstream.stack.settings import StackSettings, load_settings

RATE = 2000
TITLE = "Latency"
# The last minute counts: by then the compilers have done most of their work.
SECONDS = 240
# They go on for twice as long: with everything running p50 and p99 fell by a tenth and more from the third minute to
# the fifth. After 10 minutes there is the upkeep of the tables.
_WARM_SECONDS = 480
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
    seconds: int = SECONDS


_OFTEN = {"triggers.mirror_transactions": "10 seconds"}
_SHARED = {SETTING: {"windows": ["anomaly", "velocity"]}}
STEPS: Mapping[str, Judging] = {
    "together": Judging(RULES),
    "together, mirror every 10 s": Judging(RULES, _OFTEN, _WARM_SECONDS),
    "together, one query for both with state": Judging(RULES, _SHARED),
    "together, one query for both with state, mirror every 10 s": Judging(RULES, _OFTEN | _SHARED, _WARM_SECONDS),
    **{f"{rule} alone": Judging((rule,)) for rule in RULES},
}


def measure(user: StackSettings, home: Path, judging: Judging) -> dict[str, Any]:
    """The figures of `measured` for rules of conf/rules.yaml."""
    home.mkdir(parents=True, exist_ok=True)
    write_rules(home / "rules.yaml", judging.rules, PARAMETERS)
    return measured(user, home, home / "rules.yaml", judging.seconds, judging.changes)[0]


def measured(
    user: StackSettings, home: Path, file: Path, seconds: int, changes: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], tuple[float, float]]:
    """Latencies in ms by rule and stage (check.latency.STAGES), length of batches, the rules' lag in seconds, the share
    of the CPU that was idle, and how long after spark-submit each rule first alerted, while the rules of the file, the
    archive and the mirror run on RATE rows/s; `failures` of the check in words. And between which epoch seconds that
    was measured. `changes` are of conf/pipeline.yaml. Uses the stack's usual ports."""
    os.environ["FRAUDSTREAM_HOME"] = str(home)
    config = home / "pipeline.yaml"
    write_variant(config, changes or {})
    settings, pipeline, loaded = load_settings(home), load_pipeline(config), load_rules(file)
    options = Options(
        profile="exercise", seconds=seconds, rate=RATE, seed=0, rules_file=file, config_file=config, alarming=True
    )

    def check(ledger: Path, copies: Path) -> dict[str, Any]:
        return verify(
            settings, pipeline, loaded, ledger, profile=options.profile, copies=copies, power_rows=_POWER_ROWS
        )

    make_room(user, settings, pipeline)
    run, checked = run_and_check(options, settings, pipeline, loaded, check)
    found = _figures(assemble(run, checked, settings, ""))
    firsts = {rule.name: first_alert_s(run, rule.name) for rule in loaded}
    return {**found, "first_alert_s": firsts, "idle_share": _idle(run)}, run.warm


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rules": {
            name: {"alerts": rule["kafka"], "latency_ms": rule["latency_warm_ms"],
                   "record_to_alert_ms": rule["record_to_alert_ms"], "stages_ms": rule["stages_ms"],
                   "batch_ms": report["queries"][name]["batch_ms"]}
            for name, rule in report["rules"].items()
        },
        "changes_per_s": report["rates"]["committed_per_s"], "lag": report["lag"], "failures": report["failures"],
    }  # fmt: skip


def first_alert_s(run: Run, rule: str) -> float | None:
    """Seconds from spark-submit to the rule's first alert on rows that were there before; None where it has none."""
    alerts = run.alerts.get(rule, Latencies())
    at = np.array(alerts.at)[alerts.committed() < run.submitted]
    return round(float(at.min()) / 1000 - run.submitted, 2) if at.size else None


def _idle(run: Run) -> float | None:
    """Mean share of the CPU that was idle in the warm window."""
    low, high = run.warm
    found = [each.idle for each in run.resources if low <= each.at < high]
    return round(fmean(found), 3) if found else None


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The results for a reader."""
    names = ["p50", "p95", "p99"]
    header = ["rules", "rule", *names, *STAGES.values(), "log to log p50", "its p99", "batch p50", "CPU idle",
              "first alert s"]  # fmt: skip
    rows = [
        [step, rule, *(each["latency_ms"][name] for name in names), *each["stages_ms"].values(),
         *(each["record_to_alert_ms"][name] for name in ("p50", "p99")), each["batch_ms"]["p50"],
         share(run["idle_share"]), run["first_alert_s"][rule]]
        for step, run in found.items() for rule, each in run["rules"].items()
    ]  # fmt: skip
    caption = (
        "Milliseconds from a row's commit in PostgreSQL until the broker has its alert, at 2,000 rows a second, with "
        "archive and mirror, all on this machine, in the last minute of a run of four minutes, of eight where the "
        "mirror writes every 10 s; the stages are medians. Log to log: from when the broker has the record until it "
        "has the alert. The connector's transaction, before whose commit nobody may read the record, counts in it; the "
        "plain producer has none, and no database beside it. First alert: from spark-submit to the first alert on rows "
        "that were there before."
    )
    return Table(TITLE, header, rows, caption)
