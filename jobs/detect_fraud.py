"""Judge the change stream: each live rule of conf/rules.yaml as a streaming query of its own (unless
conf/pipeline.yaml has some share one), shadow rules beside them.

While it runs it follows the rules file: a change takes effect behind the batch that is judged then, at offsets that are
written down, and a file with a mistake changes nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.errors import ConfigError
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.shared_queries import require_alike

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from fraudstream.config import Pipeline

COMPANIONS = ("archive_alerts", "mirror_transactions")
_BESIDE_RULES = (*COMPANIONS, "archive_shadow_alerts")
_INTERRUPTED = 128  # and the signal's number


def main(argv: list[str] | None = None) -> int:
    """Start the queries and run until stopped; the exit code."""
    arguments = _parser().parse_args(argv)
    pipeline = load_pipeline(arguments.config)
    rules = load_rules(arguments.rules_file)
    # Before Spark starts.
    _chosen(rules, arguments, pipeline)
    known = [rule.name for rule in rules]
    _require_known("--reset", arguments.reset, [*known, *pipeline.shared_queries, *_BESIDE_RULES])
    _require_known("--forget", arguments.forget, known)

    from fraudstream.session import build_session
    from fraudstream.streams import queries
    from fraudstream.streams.rollout import Rollout
    from fraudstream.streams.supervise import Starter, run_until_stopped

    spark = build_session("detect_fraud")
    for name in arguments.reset:
        queries.reset(spark, pipeline, name)
    for name in arguments.forget:
        queries.forget(spark, pipeline, name)
    rollout = Rollout(spark, pipeline, arguments.rules_file, arguments.rules)
    chosen = _chosen(load_rules(arguments.rules_file), arguments, pipeline)  # as it is by now
    has_archive = queries.ARCHIVE in arguments.companions
    if arguments.until_caught_up:
        rollout.start(chosen, until_caught_up=True)
        code = run_until_stopped([], pipeline.progress, rollout, until_caught_up=True)
        if code < _INTERRUPTED:
            started = [start() for start in _ready(spark, arguments.companions, pipeline, until_caught_up=True)]
            shadows = queries.start_shadow_archive(spark, pipeline, until_caught_up=True) if has_archive else None
            started += [shadows] if shadows else []
            code = max(code, run_until_stopped(started, pipeline.progress, until_caught_up=True))
    else:
        ready = _ready(spark, arguments.companions, pipeline, until_caught_up=False)
        rollout.start(chosen)
        # Rules first: companions make tables, which takes the cores for seconds.
        starters = [Starter(queries.behind_rules(spark, chosen, pipeline, start), every=0.0) for start in ready]
        if has_archive:
            starters.append(Starter(lambda: queries.start_shadow_archive(spark, pipeline)))
        code = run_until_stopped([], pipeline.progress, rollout, starters)
    spark.stop()
    return code


def _ready(
    spark: SparkSession, names: list[str], pipeline: Pipeline, *, until_caught_up: bool
) -> list[Callable[[], StreamingQuery]]:
    """What starts these companions. Raises GuardError where something stands against one."""
    from fraudstream.streams import queries

    ready = {queries.ARCHIVE: queries.ready_archive, queries.MIRROR: queries.ready_mirror}
    return [ready[name](spark, pipeline, until_caught_up=until_caught_up) for name in names]


def _require_known(option: str, names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{option}: there is no query {name!r} to start over; there are {', '.join(known)}.")


def _chosen(rules: tuple[Rule, ...], arguments: argparse.Namespace, pipeline: Pipeline) -> list[Rule]:
    names, file = arguments.rules, arguments.rules_file
    known = {rule.name: rule for rule in rules}
    for name in names:
        if name not in known:
            raise ConfigError(f"--rules: {file} has no rule {name!r}; it has {', '.join(known)}.")
        if known[name].status == "draft":
            raise ConfigError(f"--rules: {name} is a draft in {file}; set its status to shadow to try it.")
    chosen = [known[name] for name in names] or [rule for rule in rules if rule.status in ("live", "shadow")]
    if not chosen:
        raise ConfigError(f"{file}: no rule is live, so there is nothing to run; set a rule's status to live.")
    require_alike(pipeline.shared_queries, chosen)
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = options.job_parser(__doc__, "./spark-submit.sh detect_fraud --rules anomaly,velocity --until-caught-up")
    parser.add_argument(
        "--rules", type=options.names, default=[], metavar="A,B", help="only these rules (default: all live and shadow)"
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
        help="start these queries over from the topic's beginning, rules by the record of their versions; rules that "
        "share a query start over together",
    )
    parser.add_argument(
        "--forget",
        type=options.names,
        default=[],
        metavar="RULE",
        help="start these rules over and forget their earlier versions: the whole topic is judged by what they are now",
    )
    return parser


if __name__ == "__main__":
    cli.run(main)
