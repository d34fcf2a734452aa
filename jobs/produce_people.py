"""Fill people_big, the table of the earlier JDBC exercise, with generated people. What it held before is replaced."""

from __future__ import annotations

import argparse
import time

from fraudstream import cli
from fraudstream.errors import FraudstreamError
from fraudstream.input.people import load_people
from fraudstream.stack.settings import load_settings

_EXAMPLES = """examples:
  ./spark-submit.sh produce_people                       # a million rows
  ./spark-submit.sh produce_people --rows 100000 --seed 7
"""


def main(argv: list[str] | None = None) -> int:
    """Write the table; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000, help="how many (default: 1,000,000)")
    add("--seed", type=int, default=0, help="another seed gives other people (default: 0)")
    add("--progress", default="auto", choices=cli.PROGRESS_MODES, help="plain: lines even on a terminal")
    add("--dsn", help="another database, as a libpq connection string (default: the local stack, role app)")
    given = parser.parse_args(argv)
    for option, value, low, high in (("--rows", given.rows, 1, 100_000_000), ("--seed", given.seed, 0, 2**63)):
        if not low <= value <= high:
            raise FraudstreamError(f"{option} is {value}; it must lie between {low} and {high}.")
    began = time.monotonic()
    with cli.progress_line(given.progress) as line:
        load_people(given.dsn or load_settings().dsn("app"), given.rows, given.seed, line)
    print(f"{given.rows:,} people written in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    cli.run(main)
