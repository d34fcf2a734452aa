"""Show a table's change events as they come: inserts, updates with what changed, deletes. Any number at a time."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fraudstream import cli
from fraudstream.clients import librdkafka, read_properties, spark_options
from fraudstream.errors import FraudstreamError
from fraudstream.input.produce import stop_on_signals
from fraudstream.input.watch import records, topic_of, watch
from fraudstream.stack.settings import load_settings

_EXAMPLES = """examples:
  ./spark-submit.sh watch_changes                                    # new changes of public.transactions, until Ctrl-C
  ./spark-submit.sh watch_changes --from beginning --limit 20
  ./spark-submit.sh watch_changes --table public.temperature_readings
  ./spark-submit.sh watch_changes --json | jq .after.amount

Each watcher is a consumer group of its own, so each sees every change. [0@17] is the record's partition and offset.
"""


def main(argv: list[str] | None = None) -> int:
    """Watch until the limit or a signal; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--table", default="public.transactions", help="the table, with its schema (default: public.transactions)")
    add("--from", dest="start", default="now", choices=("now", "beginning"), help="where to begin (default: now)")
    add("--limit", type=int, metavar="N", help="stop after N events")
    add("--json", action="store_true", help="one JSON object per event, for machines")
    add("--topic", help="the topic itself, instead of --table")
    add("--bootstrap", help="another broker (default: the local stack's)")
    add("--client-properties", type=Path, metavar="FILE", help="how to log in there, as Kafka's own tools take it")
    given = parser.parse_args(argv)
    if given.limit is not None and given.limit < 1:
        raise FraudstreamError(f"--limit is {given.limit}; it must be 1 or more.")
    topic = given.topic or topic_of(given.table)
    client = _client(given.bootstrap, given.client_properties)
    with stop_on_signals() as stop:
        found = records(client, topic, given.start == "beginning", stop, lambda text: print(text, file=sys.stderr))
        watch(found, lambda text: print(text, flush=True), given.limit, given.json)
    return 0


def _client(bootstrap: str | None, properties: Path | None) -> dict[str, str]:
    """Settings of a Kafka client for the broker asked for, by default the local stack's."""
    settings = load_settings()
    file = properties or (settings.client_file("spark") if settings.secure and not bootstrap else None)
    options = spark_options(read_properties(file)) if file else {}
    return {"bootstrap.servers": bootstrap or settings.bootstrap, **librdkafka(options)}


if __name__ == "__main__":
    cli.run(main)
