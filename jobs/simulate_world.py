"""Make a labelled world to try rules in: half a year of card payments with known frauds, as Parquet files.

The transaction simulator of the Fraud Detection Handbook (Le Borgne et al., 2022, chapter 3) written anew: customers
who pay at terminals near home, and three scenarios of fraud. On top of it frauds in bursts, and honest payments that
look like fraud (holidays, large purchases, market days); --handbook-only leaves these out.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path

from fraudstream import cli
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import load_settings

_EXAMPLES = """examples:
  ./spark-submit.sh simulate_world                                  # 1.8 million payments into run/world
  ./spark-submit.sh simulate_world --customers 500 --terminals 1000 --days 60 --seed 7 --home /tmp/small
  ./spark-submit.sh backtest_rules --transactions run/world/transactions.parquet --labels run/world/labels.parquet

The same seed and options give the same rows. Times count from --start (UTC); a label is known --label-delay after its
payment. Results: transactions.parquet, labels.parquet (transaction_id, label, labelled_at, kind, episode), world.json.
"""


def main(argv: list[str] | None = None) -> int:
    """Write the world; the exit code."""
    from fraudstream.input.world import DAY, FRAUDS, Size
    from fraudstream.input.world_files import make_world, write_world
    from fraudstream.triage.times import duration, moment

    given = _parser(Size()).parse_args(argv)
    size = Size(given.customers, given.terminals, given.days, given.radius)
    for field, high in zip(fields(Size), (1_000_000, 1_000_000, 3_650, 150), strict=True):
        value = getattr(size, field.name)
        if not (1 if field.name != "radius" else 0) <= value <= high:
            raise FraudstreamError(f"--{field.name} is {value}; it must lie between 1 and {high:,}.")
    if not 0 <= given.seed < 2**63:
        raise FraudstreamError(f"--seed is {given.seed}; it must lie between 0 and 2^63 - 1.")
    start = moment(given.start, "--start") // DAY * DAY
    delay = duration(given.label_delay, "--label-delay")
    home = (given.home or load_settings().home / "world").absolute()
    began = time.monotonic()
    with cli.progress_line(given.progress) as line:
        world = make_world(size, given.seed, given.handbook_only, lambda text: line.show(lambda: text))
        line.show(lambda: f"writing {len(world.rows):,} transactions")
        made_with = {**vars(size), "seed": given.seed, "start": given.start, "label_delay": given.label_delay}
        summary = write_world(home, world, start, delay, made_with)
    share = f"{summary['fraud_share']:.2%}".replace("%", " %")
    print(f"{summary['transactions']:,} transactions, {summary['fraud']:,} of them fraud ({share})")
    for kind, count in summary["kinds"].items():
        print(f"  {kind:22} {count:>9,}  {'fraud' if kind in FRAUDS else 'honest'}")
    print(f"{home / 'transactions.parquet'}, labels.parquet, world.json: {time.monotonic() - began:.1f} s")
    return 0


def _parser(usual: object) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    for name, what in (("customers", "customers"), ("terminals", "terminals, the merchants"), ("days", "days")):
        add(f"--{name}", type=int, default=getattr(usual, name), metavar="N", help=f"{what} (default: %(default)s)")
    add("--radius", type=float, default=5.0, help="how far from home a customer pays, of 100 (default: %(default)s)")
    add("--seed", type=int, default=0, help="another seed gives another world (default: 0)")
    add("--start", default="2018-04-01", help="the first day (default: %(default)s)")
    add("--label-delay", default="7d", metavar="DURATION", help="until a label is known (default: %(default)s)")
    add("--handbook-only", action="store_true", help="the handbook's world alone, without bursts and oddities")
    add("--home", type=Path, metavar="FOLDER", help="where to write (default: run/world)")
    add("--progress", default="auto", choices=cli.PROGRESS_MODES, help="plain: lines even on a terminal")
    return parser


if __name__ == "__main__":
    cli.run(main)
