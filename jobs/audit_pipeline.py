"""Audit the pipeline, at rest or at work: PostgreSQL's rows with the mirror, the topic with the lake, every query's
batches, and the alerts in Kafka and Delta with a recomputation. Names what is missing, doubled or different.

What a query has not processed yet is in flight, and not missing. Nothing is written but run/audit/report.json.
The exit code is 0 if nothing is wrong, 1 if something is, 2 if something cannot be read or compared.
"""

from __future__ import annotations

from fraudstream import cli
from fraudstream.audit import arguments
from fraudstream.config import load_pipeline


def main(argv: list[str] | None = None) -> int:
    """Audit once; the exit code."""
    given = arguments.parser(__doc__, "./spark-submit.sh audit_pipeline --since 1h").parse_args(argv)
    chosen = arguments.chosen(given)

    from fraudstream.audit import report, run
    from fraudstream.rulebook.catalog import load_rules
    from fraudstream.stack.settings import load_settings

    pipeline, settings, rules = load_pipeline(given.config), load_settings(), load_rules(given.rules_file)
    with cli.progress_line(given.progress) as line:
        found = run.audit(pipeline, rules, settings, chosen, lambda text: line.show(lambda: text))
    told = report.as_json(found)
    report.write(settings.home, told)
    print(report.text_of(told) if given.json else report.as_text(found), end="" if given.json else "\n")
    return report.exit_code(found)


if __name__ == "__main__":
    cli.run(main)
