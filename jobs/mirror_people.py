"""Keep lake/people_big equal to the table people_big by its change stream (make up CONNECTORS="people")."""

from __future__ import annotations

from fraudstream import cli, options
from fraudstream.config import load_pipeline


def main(argv: list[str] | None = None) -> int:
    """Run the query until stopped; the exit code."""
    parser = options.job_parser(__doc__, "./spark-submit.sh mirror_people --until-caught-up")
    parser.add_argument("--until-caught-up", action="store_true", help="stop when what is in the topic now is written")
    parser.add_argument("--reset", action="store_true", help="start over from the topic's beginning")
    parser.add_argument("--topic", default="people.public.people_big", help="the topic of the changes")
    arguments = parser.parse_args(argv)
    pipeline = load_pipeline(arguments.config)

    from fraudstream.session import build_session
    from fraudstream.streams import table_mirror
    from fraudstream.streams.people import people_table
    from fraudstream.streams.supervise import run_until_stopped

    table = people_table(arguments.topic)
    spark = build_session("mirror_people")
    if arguments.reset:
        table_mirror.reset(spark, pipeline, table)
    query = table_mirror.start_table(spark, pipeline, table, until_caught_up=arguments.until_caught_up)
    code = run_until_stopped([query], pipeline.progress, until_caught_up=arguments.until_caught_up)
    spark.stop()
    return code


if __name__ == "__main__":
    cli.run(main)
