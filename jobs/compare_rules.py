"""Compare a shadow rule with the live one of the same rule file: fired in both, by the new only, by the old only, with
the labels that are known. Over the records that both have judged as they are now.

Writes run/compare_rules/NAME/report.json and report.html, which promote_rule asks for.
"""

from __future__ import annotations

import json
from pathlib import Path

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.rulebook.catalog import load_rules


def main(argv: list[str] | None = None) -> int:
    """Compare one rule; the exit code."""
    parser = options.job_parser(__doc__, "./spark-submit.sh compare_rules anomaly_strict")
    parser.add_argument("rule", metavar="NAME", help="a rule whose status is shadow")
    parser.add_argument("--against", metavar="RULE", help="a live rule (default: that of the same rule file)")
    parser.add_argument("--rules-file", type=Path, default=RULES_FILE, help="another rules file")
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")
    given = parser.parse_args(argv)
    rules = load_rules(given.rules_file)

    from fraudstream.trial.comparison import compare, counterpart, shadow_rule
    from fraudstream.trial.report import as_text, write_report

    rule, pipeline = shadow_rule(rules, given.rule, given.rules_file), load_pipeline(given.config)
    found = compare(rule, counterpart(rule, rules, given.against), pipeline)
    page = write_report(found)
    print(json.dumps(found.as_json()) if given.json else f"{as_text(found)}\nreport: {page}")
    return 0


if __name__ == "__main__":
    cli.run(main)
