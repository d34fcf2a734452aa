"""Promote a shadow rule by editing the rules file, which a running detect_fraud follows.

If it was compared with a live rule of its own rule file, its parameters become that rule's, which goes on as a new
version, and the shadow is paused; else it becomes live itself, beside what is. Refused without a report of
compare_rules on the rules as they are now.
"""

from __future__ import annotations

from pathlib import Path

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.rulebook.catalog import load_rules


def main(argv: list[str] | None = None) -> int:
    """Promote one rule; the exit code."""
    parser = options.job_parser(__doc__, "./spark-submit.sh promote_rule anomaly_strict")
    parser.add_argument("rule", metavar="NAME", help="a rule whose status is shadow")
    parser.add_argument("--rules-file", type=Path, default=RULES_FILE, help="another rules file")
    given = parser.parse_args(argv)
    rules = load_rules(given.rules_file)

    from fraudstream.trial.comparison import shadow_rule
    from fraudstream.trial.promotion import promote, require_comparison
    from fraudstream.trial.report import folder_of

    rule = shadow_rule(rules, given.rule, given.rules_file)
    report = folder_of(rule.name) / "report.json"
    other = require_comparison(rule, report, {each.name: each for each in rules}, load_pipeline(given.config))
    promote(given.rules_file, rule.name, other)
    became = f"{other} has its parameters, and {rule.name} is paused" if other else f"{rule.name} is live"
    print(f"{given.rules_file}: {became}; detect_fraud follows the file")
    return 0


if __name__ == "__main__":
    cli.run(main)
