"""Compare polling, Spark JDBC and change data capture on the same rows: freshness, what is missed, what it costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fraudstream import cli
from fraudstream.check.once import Interrupted, one_interruption
from fraudstream.compare.grid import GRIDS
from fraudstream.compare.report import summary, write_report
from fraudstream.compare.run import run
from fraudstream.stack.settings import load_settings

_EXAMPLES = """examples:
  make compare                                     # the small grid: thirteen cells of 45 s, under 20 minutes
  make compare GRID=full                           # cells of 60 s, crossed and repeated: some hours
  ./spark-submit.sh compare_jdbc_cdc --fresh       # forget what an interrupted run has measured

It starts a stack of its own on free ports and removes it again. A run that was interrupted goes on where it was.
Results: run/compare/report.html, report.json, measurements.csv and raw/ (every change of every cell).
Exit code: 0 all answers that must be equal are equal, 1 they are not or a part failed, 2 an option is wrong.
"""


def main(argv: list[str] | None = None) -> int:
    """Measure, report; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", choices=GRIDS, default="small", help="which cells (default: small)")
    parser.add_argument("--fresh", action="store_true", help="measure everything anew")
    parser.add_argument("--home", type=Path, help="folder of the results (default: run/compare)")
    given = parser.parse_args(argv)
    home = (given.home or load_settings().home / "compare").absolute()
    try:
        with one_interruption():
            outcome = run(GRIDS[given.grid](), home, given.fresh, lambda text: print(text, flush=True))
    except Exception as error:
        cli.complain(error)
        print(f"what was measured is kept in {home}; the same command goes on from there", file=sys.stderr)
        return 1
    except Interrupted as interruption:
        print("interrupted; all is stopped and removed, and the same command goes on from there", file=sys.stderr)
        return 128 + int(interruption.args[0])
    report = write_report(home, outcome)
    print(summary(report))
    print(f"report: {home / 'report.html'}")
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    cli.run(main)
