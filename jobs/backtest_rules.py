"""Try rules on history: what they would have alerted on, and by labels how good that is, for several parameters.

The rules' own code runs over the changes in the lake, or over a file of transactions, and gives the alerts, and their
ids, that the stream gives. What is before --from fills the windows and counts for nothing else.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import load_settings

_EXAMPLE = """
  ./spark-submit.sh backtest_rules                                        # all rules, on the lake and its labels
  ./spark-submit.sh backtest_rules --rule anomaly --param factor=2.5,3,4 --from 2026-03-01 --to 2026-03-08
  ./spark-submit.sh simulate_world                                        # 1.8 million transactions with known frauds
  ./spark-submit.sh backtest_rules --transactions run/world/transactions.parquet --labels run/world/labels.parquet

A file of transactions (Parquet, or CSV with a header) has the columns id, user_id, amount and created_at, and may have
card_type and merchant_id; it is judged in the order of created_at. A file of labels has transaction_id and labelled_at,
and may have label (confirmed, dismissed), kind and episode. A label is used from its labelled_at on: by rules that take
labels (these get the backtest's, unless they name a file) and, with --as-of, by the report. Results: report.html,
report.json, and problems.csv with each row that could not be judged."""


def main(argv: list[str] | None = None) -> int:
    """Judge, weigh, report; the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    given = _parser().parse_args(arguments)
    from fraudstream.backtest.page import summary, write_report
    from fraudstream.backtest.run import backtest
    from fraudstream.backtest.variants import parse_sweep, variants
    from fraudstream.rulebook.catalog import load_rules

    rules = _chosen(load_rules(given.rules_file), given.rule)
    tried = variants(rules, [parse_sweep(text) for text in given.param])
    home = (given.home or load_settings().home / "backtest").absolute()
    with cli.progress_line(given.progress) as line:
        found = backtest(tried, _options(given), lambda text: line.show(lambda: text))
        line.show(lambda: "writing the report")
        write_report(home, found, shlex.join(["./spark-submit.sh", "backtest_rules", *arguments]))
    print(summary(found.report))
    print(f"report: {home / 'report.html'} ({found.report['seconds']['all']} s)")
    return 0


def _chosen(rules: tuple[Any, ...], texts: list[str]) -> list[Any]:
    """The rules that --rule names; all without it."""
    if not texts:
        return list(rules)
    read = options.choices([rule.name for rule in rules])
    try:
        wanted = [name for text in texts for name in read(text)]
    except argparse.ArgumentTypeError as error:
        raise FraudstreamError(f"--rule: {error}") from None
    return [rule for rule in rules if rule.name in wanted]


def _options(given: argparse.Namespace) -> Any:
    from fraudstream.backtest.run import LAKE, NONE, Options
    from fraudstream.triage.times import duration, moment

    for option, low, high in (("k", 1, 100_000), ("examples", 0, 100)):
        if not low <= getattr(given, option) <= high:
            raise FraudstreamError(f"--{option} is {getattr(given, option)}; it must lie between {low} and {high:,}.")
    times = {
        name: moment(text, option) if text else None
        for name, option, text in (
            ("since", "--from", given.since), ("until", "--to", given.until), ("as_of", "--as-of", given.as_of)
        )
    }  # fmt: skip
    if times["since"] is not None and times["until"] is not None and times["since"] >= times["until"]:
        raise FraudstreamError(f"--from {given.since} is not before --to {given.until}.")
    labels = given.labels or (LAKE if given.transactions == LAKE else NONE)
    return Options(
        lake=given.lake or load_pipeline(given.config).lake,
        transactions=given.transactions,
        labels=labels,
        unlabelled=given.unlabelled or ("unknown" if labels in (LAKE, NONE) else "honest"),
        label_delay=duration(given.label_delay, "--label-delay"),
        k=given.k,
        examples=given.examples,
        **times,
    )


def _parser() -> argparse.ArgumentParser:
    parser = options.job_parser(__doc__, _EXAMPLE)
    add = parser.add_argument
    add("--rule", action="append", default=[], metavar="NAME,...", help="these rules alone (default: all in the file)")
    add("--param", action="append", default=[], metavar="[RULE.]NAME=VALUE,...",
        help="try these values; several --param: every combination")  # fmt: skip
    add("--from", dest="since", metavar="TIME", help="the first event time that counts, like 2026-03-01 (UTC)")
    add("--to", dest="until", metavar="TIME", help="count event times before this one")
    add("--as-of", metavar="TIME", help="with what was known at this time alone: transactions and labels")
    add("--transactions", default="lake", metavar="FILE|lake", help="what to judge (default: lake)")
    add("--labels", metavar="FILE|lake|none", help="what is known (default: lake for the lake, none for a file)")
    add("--unlabelled", choices=("honest", "unknown"),
        help="a transaction without a label (default: honest with a file of labels, else unknown)")  # fmt: skip
    add("--label-delay", default="7d", metavar="DURATION",
        help="with --as-of: unlabelled transactions are honest once they are so old (default: 7d)")  # fmt: skip
    add("--k", type=int, default=100, help="users that can be looked at in a day, for card precision (default: 100)")
    add("--examples", type=int, default=3, metavar="N", help="of each cell of the confusion matrix (default: 3)")
    add("--lake", help="another lake (default: that of the pipeline.yaml)")
    add("--rules-file", type=Path, default=RULES_FILE, help="another rules file")
    add("--home", type=Path, metavar="FOLDER", help="where to write (default: run/backtest)")
    add("--progress", default="auto", choices=cli.PROGRESS_MODES, help="plain: lines even on a terminal")
    return parser


if __name__ == "__main__":
    cli.run(main)
