"""The options of audit_pipeline and repair_pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path

from fraudstream import cli, options
from fraudstream.audit.bounds import seconds_of
from fraudstream.audit.run import PARTS, RECOMPUTATIONS, Options
from fraudstream.config import RULES_FILE
from fraudstream.errors import FraudstreamError


def chosen(given: argparse.Namespace) -> Options:
    """What the command line asks to compare. Raises FraudstreamError for options that do not go together."""
    if given.recompute == "oracle" and given.since is not None:
        raise FraudstreamError("--recompute oracle judges the whole topic; leave --since out.")
    return Options(
        ids=given.ids, since_s=None if given.since is None else seconds_of(given.since), ledger=given.ledger,
        wait_s=given.wait, parts=given.parts or PARTS, recompute=given.recompute,
    )  # fmt: skip


def parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """A parser with the options that both jobs have."""
    found = options.job_parser(description, example)
    add = found.add_argument
    add("--rules-file", type=Path, default=RULES_FILE, help="the rules file of the rules that run")
    add("--ids", type=_ids, metavar="A:B", help="compare only the rows with these ids (both included)")
    add("--since", metavar="DURATION", help="compare only the records of the last 90s, 15m, 2h or 7d")
    add("--ledger", type=Path, metavar="FILE", help="compare the producer's ledger with the topic, too")
    add("--parts", type=options.choices(PARTS), metavar="A,B",
        help="only these parts: rows, records, batches, alerts (default: all)")  # fmt: skip
    add("--wait", type=_seconds, default=30.0, metavar="S", help="wait so long for the capture (default: 30)")
    add("--recompute", choices=RECOMPUTATIONS, default="rules",
        help="what fraud.alerts is compared with: the rules over history (default), or the independent oracle of the "
        "checks, too, which reads the whole topic message by message")  # fmt: skip
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
