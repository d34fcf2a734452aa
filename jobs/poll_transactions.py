"""Judge transactions by polling: rows with a new id are asked for every few seconds and folded into the same rules as
the change stream's. The alerts go to lake/polled_alerts. Updates, deletes and rows committed late are not seen."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.errors import ConfigError
from fraudstream.input.produce import stop_on_signals
from fraudstream.polling.alert_table import TABLE
from fraudstream.polling.ask import with_psycopg2, with_spark
from fraudstream.polling.poller import NAME, Polling, open_poller, run
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import load_settings
from fraudstream.streams.start_over import start_over

_EXAMPLE = """./spark-submit.sh poll_transactions --interval 1 --rules anomaly,velocity

Killed at any point and started again it goes on where it was: position, histories and alerts are committed together."""


def main(argv: list[str] | None = None) -> int:
    """Poll until stopped; the exit code."""
    given = _parser().parse_args(argv)
    pipeline = load_pipeline(given.config)
    known = {rule.name: rule for rule in load_rules(given.rules_file) if rule.status == "live"}
    for name in given.rules:
        if name not in known:
            raise ConfigError(f"--rules: {given.rules_file} has no live rule {name!r}; it has {', '.join(known)}.")
    rules = [known[name] for name in given.rules or known]
    polling = Polling(interval=given.interval, limit=given.limit, overlap=given.overlap, existing=given.existing)
    dsn = given.dsn or load_settings().dsn("batch")
    if given.engine == "jdbc":
        from fraudstream.session import build_session

        ask = with_spark(build_session(NAME), dsn)
    else:
        ask = with_psycopg2(dsn)
    if given.reset:
        start_over(pipeline, NAME, [TABLE])
    poller = open_poller(pipeline, rules, ask, polling)
    with stop_on_signals() as stop:
        run(poller, stop, _show, lambda error: print("error:", error, file=sys.stderr), once=given.once)
    return 0


def _show(figures: Mapping[str, Any]) -> None:
    if not figures["read"]:
        return
    alerts = sum(rule["alerts"] for rule in figures["rules"].values())
    at = time.strftime("%H:%M:%S", time.gmtime(figures["asked_at"]))
    took = f"query {figures['query_s']:.2f} s, rules {figures['fold_s']:.2f} s"
    print(f"{at}Z  {figures['read']:,} rows up to id {figures['last_id']:,}: {alerts:,} alerts ({took})", flush=True)


def _parser() -> ArgumentParser:
    parser = options.job_parser(__doc__, _EXAMPLE)
    add = parser.add_argument
    add("--engine", default="psycopg2", choices=("psycopg2", "jdbc"), help="jdbc: ask with Spark (default: psycopg2)")
    add("--interval", type=float, default=5.0, metavar="S", help="seconds between polls (default: 5)")
    add("--limit", type=int, default=100_000, help="rows at once; more are asked for at once (default: 100,000)")
    add("--overlap", type=int, default=0, metavar="IDS", help="ask for the last ids anew, for rows committed late")
    add("--existing", default="judge", choices=("judge", "join"), help="rows there at the first start: judge (default)"
        " them, or join them to the histories")  # fmt: skip
    add("--rules", type=options.names, default=[], metavar="A,B", help="only these rules (default: all live)")
    add("--rules-file", type=Path, default=RULES_FILE, help="another rules file")
    add("--once", action="store_true", help="stop when no more rows are found")
    add("--reset", action="store_true", help="start over; lake/polled_alerts is deleted")
    add("--dsn", help="another database, as a libpq connection string (default: the local stack, role batch)")
    return parser


if __name__ == "__main__":
    cli.run(main)
