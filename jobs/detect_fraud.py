"""Judge the change stream: each live rule of conf/rules.yaml as a streaming query of its own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, Pipeline, load_pipeline
from fraudstream.errors import ConfigError
from fraudstream.rulebook.catalog import Rule, load_rules

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

COMPANIONS = ("archive_alerts", "mirror_transactions")


def main(argv: list[str] | None = None) -> int:
    """Start the queries and run until stopped; the exit code."""
    arguments = _parser().parse_args(argv)
    pipeline = load_pipeline(arguments.config)
    rules = _chosen(load_rules(arguments.rules_file), arguments.rules, str(arguments.rules_file))

    from fraudstream.session import build_session
    from fraudstream.streams import queries
    from fraudstream.streams.supervise import run_until_stopped

    for name in arguments.reset:
        queries.reset(pipeline, name)
    spark = build_session("detect_fraud")
    if arguments.until_caught_up:
        code = run_until_stopped(queries.start_rules(spark, rules, pipeline, until_caught_up=True), pipeline.progress)
        started = _start_companions(spark, arguments.companions, pipeline, until_caught_up=True)
        code = max(code, run_until_stopped(started, pipeline.progress))
    else:
        started = _start_companions(spark, arguments.companions, pipeline, until_caught_up=False)
        code = run_until_stopped([*started, *queries.start_rules(spark, rules, pipeline)], pipeline.progress)
    spark.stop()
    return code


def _start_companions(
    spark: SparkSession, names: list[str], pipeline: Pipeline, *, until_caught_up: bool
) -> list[StreamingQuery]:
    from fraudstream.streams import queries

    start = {queries.ARCHIVE: queries.start_archive, queries.MIRROR: queries.start_mirror}
    return [start[name](spark, pipeline, until_caught_up=until_caught_up) for name in names]


def _chosen(rules: tuple[Rule, ...], names: list[str], file: str) -> list[Rule]:
    known = {rule.name: rule for rule in rules}
    for name in names:
        if name not in known:
            raise ConfigError(f"--rules: {file} has no rule {name!r}; it has {', '.join(known)}.")
    chosen = [known[name] for name in names] if names else [rule for rule in rules if rule.status == "live"]
    if not chosen:
        raise ConfigError(f"{file}: no rule is live, so there is nothing to run; set a rule's status to live.")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = options.job_parser(__doc__, "./spark-submit.sh detect_fraud --rules anomaly,velocity --until-caught-up")
    parser.add_argument(
        "--rules", type=options.names, default=[], metavar="A,B", help="only these rules (default: all live)"
    )
    parser.add_argument("--rules-file", type=Path, default=RULES_FILE, help="another rules file")
    parser.add_argument("--until-caught-up", action="store_true", help="stop when what is in the topic now is judged")
    parser.add_argument(
        "--with", dest="companions", type=options.choices(COMPANIONS), default=[], metavar="JOB,JOB",
        help=f"run these jobs in the same application: {', '.join(COMPANIONS)}",
    )  # fmt: skip
    parser.add_argument(
        "--reset",
        type=options.names,
        default=[],
        metavar="QUERY",
        help="start these queries over from the topic's beginning",
    )
    return parser


if __name__ == "__main__":
    cli.run(main)
