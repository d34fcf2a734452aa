"""Close what the audit finds, and audit again: rows that were never captured by an incremental snapshot, records that
the tables lack by a replay, alerts that are missing by publishing or archiving them anew; what cannot be taken back is
acknowledged. Every repair is recorded in lake/repairs. Repeating it, or an interrupted one, does nothing twice.

Tables are mended while no driver writes them: stop detect_fraud first, if it says so.
The exit code is 0 if the audit at the end is clean, 1 if something is left, 2 if something cannot be done or compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudstream import cli
from fraudstream.audit import arguments
from fraudstream.config import load_pipeline

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def main(argv: list[str] | None = None) -> int:
    """Repair until nothing is left to close; the exit code."""
    parser = arguments.parser(__doc__, "./spark-submit.sh repair_pipeline --dry-run")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument(
        "--quarantine", action="store_true", help="put quarantined records that can be read now back into the topic"
    )
    given = parser.parse_args(argv)
    chosen = arguments.chosen(given)

    from fraudstream.audit import report
    from fraudstream.repair.run import Workshop, repair
    from fraudstream.rulebook.catalog import load_rules
    from fraudstream.stack.settings import load_settings

    def session() -> SparkSession:
        from fraudstream.session import build_session

        return build_session("repair_pipeline")

    pipeline, settings, rules = (
        load_pipeline(given.config, principal="admin"),
        load_settings(),
        load_rules(given.rules_file),
    )
    with cli.progress_line(given.progress) as line:
        shop = Workshop(pipeline, rules, settings, session, lambda text: line.show(lambda: text))
        done = repair(shop, chosen, dry_run=given.dry_run, quarantine=given.quarantine)
    found = done.after or done.before
    told = {**report.as_json(found), "done": done.done}
    report.write(settings.home, told)
    if given.json:
        print(report.text_of(told), end="")
    else:
        print("\n".join([*(done.done or ["nothing to repair"]), report.as_text(found)]))
    return report.exit_code(found)


if __name__ == "__main__":
    cli.run(main)
