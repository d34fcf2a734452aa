"""Write temperature readings into office_db: the exercise's sensor, one reading a minute."""

from __future__ import annotations

import argparse

from fraudstream import cli
from fraudstream.errors import FraudstreamError
from fraudstream.input.produce import stop_on_signals
from fraudstream.input.temperatures import produce_temperatures
from fraudstream.stack.settings import load_settings

_EXAMPLES = """examples:
  ./spark-submit.sh produce_temperatures                       # one a minute, until Ctrl-C
  ./spark-submit.sh produce_temperatures --interval 0.5 --rows 100
  ./spark-submit.sh produce_temperatures --once
"""


def main(argv: list[str] | None = None) -> int:
    """Write until the limit or a signal; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--interval", type=float, default=60.0, help="seconds between readings (default: 60)")
    add("--rows", type=int, help="stop after this many readings")
    add("--once", action="store_true", help="write one reading and stop")
    add("--seed", type=int, default=0, help="another seed gives other temperatures (default: 0)")
    add("--dsn", help="another database, as a libpq connection string (default: office_db of the local stack)")
    given = parser.parse_args(argv)
    if not 0 <= given.interval <= 86400:
        raise FraudstreamError(f"--interval is {given.interval:g}; it must lie between 0 and 86400 s.")
    if given.rows is not None and given.rows < 1:
        raise FraudstreamError(f"--rows is {given.rows}; it must be 1 or more.")
    if given.seed < 0:
        raise FraudstreamError(f"--seed is {given.seed}; it must be 0 or more.")
    dsn = given.dsn or load_settings().dsn("app", "office_db")
    with stop_on_signals() as stop:
        rows = 1 if given.once else given.rows
        written = produce_temperatures(
            dsn, given.interval, rows, given.seed, stop, lambda text: print(text, flush=True)
        )
    print(f"{written} reading{'' if written == 1 else 's'} written")
    return 0


if __name__ == "__main__":
    cli.run(main)
