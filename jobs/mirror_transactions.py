"""Mirror the transactions: every change in lake/transaction_changes, the current rows in lake/transactions,
unreadable messages in lake/quarantine."""

from __future__ import annotations

from fraudstream import cli, options
from fraudstream.config import load_pipeline


def main(argv: list[str] | None = None) -> int:
    """Run the query until stopped; the exit code."""
    parser = options.job_parser(__doc__, "./spark-submit.sh mirror_transactions --until-caught-up")
    parser.add_argument("--until-caught-up", action="store_true", help="stop when what is in the topic now is written")
    parser.add_argument("--reset", action="store_true", help="start over from the topic's beginning")
    arguments = parser.parse_args(argv)
    pipeline = load_pipeline(arguments.config)

    from fraudstream.session import build_session
    from fraudstream.streams import queries
    from fraudstream.streams.supervise import run_until_stopped

    spark = build_session("mirror_transactions")
    if arguments.reset:
        queries.reset(spark, pipeline, queries.MIRROR)
    once = arguments.until_caught_up
    started = queries.start_mirror(spark, pipeline, until_caught_up=once)
    code = run_until_stopped([started], pipeline.progress, until_caught_up=once)
    spark.stop()
    return code


if __name__ == "__main__":
    cli.run(main)
