"""Write a canary, rows that the rules must alert on, and wait for its alerts: exit code 1 if one does not come in time.

Its user is no customer (-1), and its alerts count in no statistic; a running detect_fraud judges it like any other.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import load_settings
from fraudstream.triage.times import duration

if TYPE_CHECKING:
    from fraudstream.health.canaries import Sent


def main(argv: list[str] | None = None) -> int:
    """Send one canary, or go on sending; the exit code."""
    given = _parser().parse_args(argv)
    within = duration(given.within, "--within") / 1e6
    every = duration(given.every, "--every") / 1e6 if given.every else None
    settings, pipeline = load_settings(), load_pipeline(given.config)

    from fraudstream.health import canaries

    rules = canaries.expected_rules(load_rules(given.rules_file), given.rules)

    def send() -> bool:
        at, sent = time.time(), None
        try:
            sent = canaries.send(given.dsn or settings.dsn("app"), pipeline, rules, within)
        finally:
            canaries.note(pipeline, sent, at, every)
        _tell(sent, given.within)
        return not sent.late

    if every is None:
        return 0 if send() else 1
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        while True:
            began = time.monotonic()
            _undeterred(send)
            time.sleep(max(0.0, began + every - time.monotonic()))
    finally:
        canaries.note_end(pipeline)


def _undeterred(send: Callable[[], bool]) -> None:
    """What goes wrong with one canary is said; the next one may come through."""
    try:
        send()
    except Exception as error:
        cli.complain(error)


def _tell(sent: Sent, within: str) -> None:
    told = [f"{rule} after {seconds:.2f} s" for rule, seconds in sent.seconds.items()]
    if told:
        print(f"canary {sent.transaction_id}: {', '.join(told)}", flush=True)
    if sent.late:
        missing = f"canary {sent.transaction_id}: no alert of {', '.join(sent.late)} within {within}"
        step = "`make doctor` says what is wrong [docs/operations.md: canary-late]"
        print(cli.paint("error:", "red", sys.stderr), f"{missing}; {step}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = options.job_parser(__doc__, "./spark-submit.sh send_canary --within 10s --every 60s")
    parser.add_argument("--within", default="10s", metavar="TIME", help="from the commit to the last alert (10s)")
    parser.add_argument("--every", metavar="TIME", help="go on sending one as often as this, until stopped")
    parser.add_argument(
        "--rules", type=options.names, default=[], metavar="A,B",
        help="wait for these (default: the live ones of anomaly, velocity and high_amount)",
    )  # fmt: skip
    parser.add_argument("--rules-file", type=Path, default=RULES_FILE, help="another rules file")
    parser.add_argument("--dsn", help="another database than the local stack's, in libpq's form")
    return parser


if __name__ == "__main__":
    cli.run(main)
