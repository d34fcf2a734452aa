"""Audit the pipeline, at rest or at work: PostgreSQL's rows with the mirror, the topic with the lake, every query's
batches, and the alerts in Kafka and Delta with a recomputation. Names what is missing, doubled or different.

What a query has not processed yet is in flight, and not missing. Nothing is written but run/audit/report.json.
The exit code is 0 if nothing is wrong, 1 if something is, 2 if something cannot be read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline

if TYPE_CHECKING:
    from fraudstream.audit.run import Options


def main(argv: list[str] | None = None) -> int:
    """Audit once; the exit code."""
    given = parser().parse_args(argv)

    from fraudstream.audit import report, run
    from fraudstream.rulebook.catalog import load_rules
    from fraudstream.stack.settings import load_settings

    pipeline, settings, rules = load_pipeline(given.config), load_settings(), load_rules(given.rules_file)
    with cli.progress_line(given.progress) as line:
        found = run.audit(pipeline, rules, settings, chosen(given), lambda text: line.show(lambda: text))
    told = report.as_json(found)
    run.replace_file(settings.home / "audit" / "report.json", report.text_of(told))
    print(report.text_of(told) if given.json else report.as_text(found), end="" if given.json else "\n")
    return 0 if told["passed"] else 1


def chosen(given: argparse.Namespace) -> Options:
    """What the command line asks to compare."""
    from fraudstream.audit import run
    from fraudstream.audit.bounds import seconds_of

    return run.Options(
        ids=given.ids, since_s=None if given.since is None else seconds_of(given.since), ledger=given.ledger,
        wait_s=given.wait, parts=given.parts or run.PARTS,
    )  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The options; repair_pipeline has them too."""
    found = options.job_parser(__doc__, "./spark-submit.sh audit_pipeline --since 1h")
    add = found.add_argument
    add("--rules-file", type=Path, default=RULES_FILE, help="the rules file of the rules that run")
    add("--ids", type=_ids, metavar="A:B", help="compare only the rows with these ids (both included)")
    add("--since", metavar="DURATION", help="compare only the records of the last 90s, 15m, 2h or 7d")
    add("--ledger", type=Path, metavar="FILE", help="compare the producer's ledger with the topic, too")
    add("--parts", type=options.choices(("rows", "records", "batches", "alerts")), metavar="A,B",
        help="only these parts: rows, records, batches, alerts (default: all)")  # fmt: skip
    add("--wait", type=_seconds, default=30.0, metavar="S", help="wait so long for the capture (default: 30)")
    add("--json", action="store_true", help="print the report as JSON")
    add("--progress", choices=cli.PROGRESS_MODES, default="auto", help="how to tell what it does (default: auto)")
    return found


def _ids(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    if not colon or not first.isdigit() or not last.isdigit() or int(first) > int(last):
        raise argparse.ArgumentTypeError(f"{text!r} is not A:B with whole numbers and A not after B, like 1:5000.")
    return int(first), int(last)


def _seconds(text: str) -> float:
    if not text.isdigit() or int(text) > 3600:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number of seconds up to 3600.")
    return float(text)


if __name__ == "__main__":
    cli.run(main)
