"""Race this project and its peers on the same topics: the same alerts, how fast, at what price.

Topics are filled once and kept. Every system reads them from the beginning in its own process, on the cores that the
broker uses too; its alerts are compared with those of an independent loop. run/bench/report.json has the figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fraudstream import cli, options
from fraudstream.bench.dataset import EVENTS, FORMS, PROFILES, USERS
from fraudstream.bench.parts import PARTS
from fraudstream.bench.plan import PATIENCE_S, QUICK_EVENTS, REPEATS, Options
from fraudstream.bench.report import as_text, outcome
from fraudstream.bench.run import run
from fraudstream.bench.systems import NAMES, RAW_READ, SYSTEMS
from fraudstream.check.once import Interrupted, one_interruption
from fraudstream.stack.settings import load_settings

_EXAMPLES = """examples:
  make bench                                           # six systems and the raw read, three times each; 12 minutes
  make bench BENCH="--full"                            # every system; the quick ones on five data sets; all parts
  make bench BENCH="--part growth,agents"              # no race: by users with whole histories, by number of rules
  make bench BENCH="--only ours,streams --form compact --events 1000000"

run/bench/results.jsonl keeps every result. What the code as it is now has measured before is not measured again, unless
it failed, and stands in the report too, whichever command measured it; --fresh measures it anew.
Exit code: 0 nothing in the report has failed (a goal that is not met is no failure), 1 something has, 2 an option is
wrong, 128 + n after signal n.
"""


def main(argv: list[str] | None = None) -> int:
    """Race, report; the exit code."""
    given = _parser().parse_args(argv)
    if given.list:
        for system in SYSTEMS.values():
            print(f"{system.name:<24} {system.language:<16} a kill leaves: {system.survives}")
        print(f"{RAW_READ:<24} {'Spark':<16} reads the topic and does nothing with it")
        return 0
    wanted = Options(
        full=given.full, only=given.only, profiles=given.profile, forms=given.form, users=given.users,
        events=given.events, repeats=given.repeats, patience_s=given.patience, parts=given.part,
        fresh=given.fresh,
    )  # fmt: skip
    home = (given.home or load_settings().home / "bench").absolute()
    try:
        with one_interruption():
            report = run(wanted, home, lambda text: print(text, flush=True))
    except Exception as error:
        cli.complain(error)
        return 1
    except Interrupted as interruption:
        print("interrupted; all is stopped, and the same command, without --fresh, goes on from there", file=sys.stderr)
        return 128 + int(interruption.args[0])
    print(as_text(report))
    print(f"report: {home / 'report.html'}")
    print(cli.paint(outcome(report), "green" if report["passed"] else "red"))
    return 0 if report["passed"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--list", action="store_true", help="the systems")
    add(
        "--full",
        action="store_true",
        help="every system, a quick run on four more data sets, all parts unless more is said; hours",
    )
    add("--only", type=options.choices(NAMES), default=[], metavar="A,B", help="only these systems")
    add("--part", type=options.choices([*PARTS]), default=[], metavar="A,B",
        help=f"instead of the race, of {', '.join(PARTS)}",
    )  # fmt: skip
    add("--profile", type=options.choices(PROFILES), default=[], metavar="A,B", help=f"of {', '.join(PROFILES)}")
    add("--form", type=options.choices(FORMS), default=[], metavar="A,B", help=f"of {', '.join(FORMS)}")
    add("--users", type=_numbers(USERS), default=[], metavar="N,M", help=f"of {', '.join(map(str, USERS))}")
    add("--events", type=options.whole(10_000, 1_000_000_000),
        help=f"of each topic (default: {QUICK_EVENTS}, of a full run {EVENTS})",
    )  # fmt: skip
    add("--repeats", type=options.whole(1, 100), default=REPEATS, help=f"runs of each system (default: {REPEATS})")
    add("--patience", type=options.whole(10, 3600), default=PATIENCE_S, metavar="S",
        help="seconds without an alert after which a system is given up (default: 60); in all it has 5 times as long, "
        "and a second more for every 2,000 events",
    )  # fmt: skip
    add("--fresh", action="store_true", help="measure anew what is there already; topics are kept")
    add("--home", type=Path, help="folder of topics and results (default: run/bench)")
    return parser


def _numbers(allowed: Sequence[int]) -> Callable[[str], list[int]]:
    parse = options.choices([str(number) for number in allowed])
    return lambda text: [int(name) for name in parse(text.replace("_", ""))]


if __name__ == "__main__":
    cli.run(main)
