"""Drill faults: kill, freeze and spoil a pipeline under load, and check that nothing was lost or doubled.

Each fault says first what must hold, proves that it struck, and is checked against the producer's ledger, PostgreSQL
and an independent oracle. run/drill/report.json has the verdicts; a full run that was stopped goes on where it was."""

from __future__ import annotations

import argparse
import sys

from fraudstream import cli, options
from fraudstream.check.once import Interrupted, one_interruption
from fraudstream.drill.catalog import FAULTS
from fraudstream.drill.run import Options, run
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import load_settings


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 every verdict held, 1 not, 2 an option is wrong, 128 + n after signal n."""
    given = _parser().parse_args(argv)
    if given.list:
        for fault in FAULTS.values():
            print(f"{fault.name:<20} rows {', '.join(map(str, fault.rows)):<8} {fault.must_hold}")
        return 0
    wanted = Options(
        only=given.only, seed=given.seed, rounds=given.rounds, rate=given.rate, full=given.full, kills=given.kills,
        fresh=given.fresh,
    )  # fmt: skip
    try:
        with one_interruption():
            report = run(wanted, load_settings(), lambda text: print(text, flush=True))
    except FraudstreamError as error:
        cli.complain(error)
        return 1
    except Interrupted as interruption:
        print("interrupted; everything that the drill had started is stopped", file=sys.stderr)
        return 128 + int(interruption.args[0])
    print(cli.paint("HELD", "green") if report["passed"] else cli.paint("NOT HELD", "red"))
    return 0 if report["passed"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: ./spark-submit.sh drill_faults --only kill_connect --rounds 3 --seed 7",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--list", action="store_true", help="the faults and what must hold")
    which = parser.add_mutually_exclusive_group().add_argument
    which("--only", type=options.choices(list(FAULTS)), default=[], metavar="A,B", help="only these faults")
    which("--full", action="store_true", help="every fault, and a storm of kills; hours")
    add("--seed", type=options.whole(0, 2**32 - 1), default=0, metavar="N",
        help="another seed strikes at other moments (default: 0)")  # fmt: skip
    add("--rounds", type=options.whole(1, 1000), default=1, metavar="N",
        help="how often, but for a full run, which has rounds of its own (default: 1)")  # fmt: skip
    add("--rate", type=options.whole(1, 100_000), default=1500, metavar="N",
        help="rows per second meanwhile (default: 1500)")  # fmt: skip
    add("--kills", type=options.whole(1, 10_000), default=300, metavar="N",
        help="kills of the storm in a full run (default: 300)")  # fmt: skip
    add("--fresh", action="store_true", help="forget the full run so far")
    return parser


if __name__ == "__main__":
    cli.run(main)
