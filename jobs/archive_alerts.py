"""Archive fraud.alerts in lake/alerts, and what shadow rules find in lake/shadow_alerts: one row per alert_id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudstream import cli, options
from fraudstream.config import load_pipeline

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery


def main(argv: list[str] | None = None) -> int:
    """Run the query until stopped; the exit code."""
    parser = options.job_parser(__doc__, "./spark-submit.sh archive_alerts --until-caught-up")
    parser.add_argument("--until-caught-up", action="store_true", help="stop when what is in the topic now is written")
    parser.add_argument("--reset", action="store_true", help="start over from the topic's beginning")
    arguments = parser.parse_args(argv)
    pipeline = load_pipeline(arguments.config)

    from fraudstream.session import build_session
    from fraudstream.streams import queries
    from fraudstream.streams.supervise import Starter, run_until_stopped

    spark = build_session("archive_alerts")
    if arguments.reset:
        for name in (queries.ARCHIVE, queries.SHADOW_ARCHIVE):
            queries.reset(spark, pipeline, name)
    started = [queries.start_archive(spark, pipeline, until_caught_up=arguments.until_caught_up)]

    def start_shadows() -> StreamingQuery | None:
        return queries.start_shadow_archive(spark, pipeline, until_caught_up=arguments.until_caught_up)

    if arguments.until_caught_up:
        started += [query for query in [start_shadows()] if query]
        code = run_until_stopped(started, pipeline.progress, until_caught_up=True)
    else:
        code = run_until_stopped(started, pipeline.progress, starters=[Starter(start_shadows)])
    spark.stop()
    return code


if __name__ == "__main__":
    cli.run(main)
