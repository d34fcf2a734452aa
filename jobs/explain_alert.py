"""Explain an alert: its transaction, what the rule saw, the figures against their thresholds; and recompute it from the
lake's changes with the rule's own code, to say whether that gives what is stored.

The exit code is 0 for a match, 1 for a mismatch, and 2 if the alert cannot be found or recomputed.
"""

from __future__ import annotations

from pathlib import Path

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.errors import FraudstreamError

_EXIT_CODES = {"match": 0, "mismatch": 1, "unknown": 2}


def main(argv: list[str] | None = None) -> int:
    """Explain one alert; the exit code."""
    parser = options.job_parser(__doc__, "./spark-submit.sh explain_alert ec7a10b9 --lake run/demo/lake")
    add = parser.add_argument
    add("alert", metavar="ID", help="an alert_id, or the beginning of one")
    add("--lake", help="another lake (default: that of the pipeline.yaml)")
    add("--rules-file", type=Path, default=RULES_FILE, help="the rules file that has the alert's rule version")
    add(
        "--rows", type=int, default=20, metavar="N", help="show the last N rows that the rule saw (default: 20; 0: all)"
    )
    add("--json", action="store_true", help="one JSON object, for machines")
    given = parser.parse_args(argv)
    if given.rows < 0:
        raise FraudstreamError(f"--rows is {given.rows}; it must be 0 (all) or more.")

    from fraudstream.explain.explanation import explain_alert
    from fraudstream.explain.text import as_json, as_text

    found = explain_alert(given.lake or load_pipeline(given.config).lake, given.alert, given.rules_file)
    print(as_json(found) if given.json else as_text(found, given.rows))
    return _EXIT_CODES[found.verdict]


if __name__ == "__main__":
    cli.run(main)
