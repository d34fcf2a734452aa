"""Ask the exercise's five questions about people_big in several ways, and compare answers, times and database load."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fraudstream import cli, options
from fraudstream.config import load_pipeline
from fraudstream.jdbc.questions import TABLE
from fraudstream.stack.settings import load_settings

_WAYS = ("naive", "partitioned", "pushed", "mirror")
_EXAMPLE = """./spark-submit.sh query_people --ways naive,partitioned,pushed,mirror --json run/people.json
ways:
  naive        one partition, no fetch size; Spark computes (the exercise's way)
  partitioned  ranges of id read at once, in one snapshot; Spark computes
  pushed       PostgreSQL computes, in one snapshot
  mirror       Spark computes over lake/people_big, which mirror_people keeps from the change stream"""


def main(argv: list[str] | None = None) -> int:
    """Ask; the exit code: 1 if two ways give different answers."""
    parser = options.job_parser(__doc__, _EXAMPLE)
    add = parser.add_argument
    add("--ways", type=options.choices(_WAYS), default=list(_WAYS[:3]), help="default: all but mirror")
    add("--json", type=Path, metavar="FILE", help="write answers and figures to FILE")
    add("--dsn", help="another database, as a libpq connection string (default: the local stack, role batch)")
    given = parser.parse_args(argv)
    pipeline = load_pipeline(given.config)
    dsn = given.dsn or load_settings().dsn("batch")

    from fraudstream.jdbc.ways import ask_all, differing
    from fraudstream.session import build_session

    spark = build_session("query_people")
    spark.range(1).count()  # so that the first question does not pay for Spark's start
    results = ask_all(
        spark, dsn, pipeline.table(TABLE), given.ways, show=lambda text: print(text, file=sys.stderr, flush=True)
    )
    spark.stop()
    print(_as_text(results))
    wrong = differing(results)
    for name in wrong:
        print(f"{cli.paint('differs:', 'red')} the ways do not agree on: {name}")
    if wrong and "mirror" in given.ways:
        print("The mirror has what its topic had when it was last kept; run mirror_people --until-caught-up once more.")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(results, default=str, indent=1), encoding="utf-8")
    return 1 if wrong else 0


def _as_text(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"{'question':32} {'way':12} {'seconds':>8} {'db active s':>12} {'db rows read':>13} {'db blocks':>10}  answer"
    ]
    for each in results:
        first = ", ".join(str(value) for value in each["answer"][0]) if each["answer"] else ""
        more = f" ... {len(each['answer'])} rows" if len(each["answer"]) > 1 else ""
        lines.append(
            f"{each['question']:32} {each['way']:12} {each['seconds']:8.2f} {each['active_ms'] / 1000:12.2f} "
            f"{each['rows_read']:13,.0f} {each['blocks']:10,.0f}  {first}{more}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
