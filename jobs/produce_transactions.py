"""Write transactions into PostgreSQL: the exercise's, realistic ones with injected fraud, or hot ones for checks."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from fraudstream import cli
from fraudstream.input.ledger import Ledger
from fraudstream.input.produce import PROFILES, Options, produce, stop_on_signals, told
from fraudstream.stack.settings import load_settings

_EXAMPLES = """examples:
  ./spark-submit.sh produce_transactions                                    # as in the exercise, until Ctrl-C
  ./spark-submit.sh produce_transactions --profile realistic --seconds 60 --seed 7
  ./spark-submit.sh produce_transactions --rows 1000000 --rate 0 --copy     # as fast as it goes

The same seed and options give the same rows; their times count from the start. Ctrl-C leaves whole batches.
profiles:
""" + "\n".join(f"  {name:10} {profile.summary}" for name, profile in PROFILES.items())
_BATCH = "rows per database transaction (default: 1000, realistic 200, hot 250; at most half a second of --rate)"


def main(argv: list[str] | None = None) -> int:
    """Write until the limit or a signal; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--profile", default="exercise", choices=PROFILES, help="kind of rows (default: exercise)")
    add("--seed", type=int, default=0, help="another seed gives other rows (default: 0)")
    add("--seconds", type=float, help="stop after this time")
    add("--rows", type=int, help="stop after this many inserted rows")
    add("--rate", type=float, help="inserted rows per second, 0 for no limit (default: the exercise's pauses, or 2000)")
    add("--batch-size", type=int, help=_BATCH)
    add("--update-share", type=float, help="updates per inserted row (default: 0, realistic 0.01, hot 0.02)")
    add("--delete-share", type=float, help="deletes per inserted row (default: 0, realistic 0.002, hot 0.005)")
    add("--copy", action="store_true", help="insert by COPY")
    add("--ledger", type=Path, metavar="FILE", help="append every committed change to FILE, for checks")
    add(
        "--progress", default="auto", choices=cli.PROGRESS_MODES, help="plain: lines even on a terminal (default: auto)"
    )
    add("--dsn", help="another database, as a libpq connection string (default: the local stack, role app)")
    given = vars(parser.parse_args(argv))
    ledger_file, progress, dsn = (given.pop(name) for name in ("ledger", "progress", "dsn"))
    options = Options(**given)
    dsn = dsn or load_settings().dsn("app")
    ledger = Ledger(ledger_file) if ledger_file else None
    began = time.monotonic()
    with stop_on_signals() as stop, cli.progress_line(progress) as line:
        totals = produce(dsn, options, ledger, stop, line)
    print(told(totals, time.monotonic() - began))
    return 0


if __name__ == "__main__":
    cli.run(main)
