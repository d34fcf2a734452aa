"""Average the temperatures of office_db over windows, in one of three ways: ask with psycopg2, ask with Spark's JDBC
source, or follow the change stream. Every way fills lake/temperature_averages."""

from __future__ import annotations

import argparse
import sys
import threading
from datetime import UTC, datetime

from fraudstream import cli
from fraudstream.config import PIPELINE_FILE, Pipeline, load_pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.input.produce import stop_on_signals
from fraudstream.stack.settings import load_settings
from fraudstream.temperature.averages import COLUMNS, TABLE, Average, told
from fraudstream.temperature.keeper import Engine, fill, keep
from fraudstream.temperature.query import checked_zone, read_averages
from fraudstream.temperature.table import replace_windows
from fraudstream.temperature.windows import Window, Windows, instant

_EXAMPLES = """examples:
  ./spark-submit.sh average_temperature                           # every 10 minutes the last 10, with psycopg2
  ./spark-submit.sh average_temperature --once --again 6          # for cron; asks for the last hour anew
  ./spark-submit.sh average_temperature --engine jdbc --window 60 --interval 60
  ./spark-submit.sh average_temperature --engine cdc       # needs make up CONNECTORS="transactions temperatures"

Windows end at whole multiples of the interval since 1970 (UTC), so that all engines write the same ones. A window that
is written again is replaced. Readings that come or change after a window was asked for are seen by cdc at once, by the
others if --again asks for the window another time.
"""


def main(argv: list[str] | None = None) -> int:
    """Fill windows until stopped; the exit code."""
    given = _parser().parse_args(argv)
    windows = Windows(length=given.window, interval=given.interval)
    if not 1 <= given.again <= 1000:
        raise FraudstreamError(f"--again is {given.again}; it must lie between 1 and 1000 windows.")
    if given.at and not given.once:
        raise FraudstreamError("--at fills windows of the past once; add --once.")
    checked_zone(given.zone)
    pipeline = load_pipeline(given.config)
    if given.engine == "cdc":
        return _follow(pipeline, windows, given)
    engine = _engine(pipeline, given)
    if given.once:
        fill(engine, windows.closed(given.at or datetime.now(UTC), given.again), _show)
        return 0
    with stop_on_signals() as stop:
        keep(engine, windows, given.again, stop, _show, lambda error: print("error:", error, file=sys.stderr))
    return 0


def _engine(pipeline: Pipeline, given: argparse.Namespace) -> Engine:
    dsn = given.dsn or load_settings().dsn("batch", "office_db")
    path = pipeline.table(TABLE)
    if given.engine == "psycopg2":
        return Engine(
            read=lambda window: read_averages(dsn, window, given.zone),
            write=lambda found: replace_windows(path, COLUMNS, "psycopg2", found),
        )
    from fraudstream.session import build_session
    from fraudstream.temperature.spark_table import read_averages_with_spark, replace_windows_with_spark

    spark = build_session("average_temperature")
    return Engine(
        read=lambda window: read_averages_with_spark(spark, dsn, window, given.zone),
        write=lambda found: replace_windows_with_spark(spark, path, "jdbc", found),
    )


def _follow(pipeline: Pipeline, windows: Windows, given: argparse.Namespace) -> int:
    from fraudstream.session import build_session
    from fraudstream.streams.supervise import run_until_stopped
    from fraudstream.temperature import follow

    spark = build_session("average_temperature")
    if given.reset:
        follow.reset(spark, pipeline, given.topic)
    query = follow.start(
        spark, pipeline, windows, _show, topic=given.topic, zone=given.zone, trigger=given.trigger,
        until_caught_up=given.once,
    )  # fmt: skip
    stop = threading.Event()
    announcer = threading.Thread(target=follow.announce, args=(spark, pipeline, windows, _show, stop), daemon=True)
    if not given.once:
        announcer.start()
    code = run_until_stopped([query], pipeline.progress, until_caught_up=given.once)
    stop.set()
    if given.once and not code:
        last = windows.closed(given.at or datetime.now(UTC))[0]
        _show(last, follow.read_window(spark, pipeline, last))
    spark.stop()
    return code


def _show(window: Window, averages: list[Average]) -> None:
    print(told(window, averages), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--engine", default="psycopg2", choices=("psycopg2", "jdbc", "cdc"), help="the way (default: psycopg2)")
    add("--window", type=int, default=600, metavar="S", help="seconds that are averaged (default: 600)")
    add("--interval", type=int, default=600, metavar="S", help="seconds between windows' ends (default: 600)")
    add("--once", action="store_true", help="fill the window that ended last and stop; cdc: stop when caught up")
    add("--again", type=int, default=1, metavar="N", help="ask for the last N windows each time (default: 1)")
    add("--at", type=_instant, metavar="TIME", help="with --once: act as if it were then (ISO 8601)")
    add("--zone", default="UTC", help="time zone of recorded_at, which has none (default: UTC)")
    add("--dsn", help="another database, as a libpq connection string (default: the local stack, role batch)")
    add("--topic", default="office.public.temperature_readings", help="cdc: the topic of the changes")
    add("--trigger", default="5 seconds", help="cdc: length of a micro-batch (default: 5 seconds)")
    add("--reset", action="store_true", help="cdc: start over from the topic's beginning")
    add("--config", default=PIPELINE_FILE, type=type(PIPELINE_FILE), help="another pipeline.yaml")
    return parser


def _instant(text: str) -> datetime:
    try:
        return instant(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in ISO 8601, like 2026-11-23T10:00:00Z") from None


if __name__ == "__main__":
    cli.run(main)
