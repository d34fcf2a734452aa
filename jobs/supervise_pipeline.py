"""Start the stack and detect_fraud, and hold them: what dies is started again, what must not be is left and named.

Started again, after 1 s, 2 s, 4 s ... up to a minute: a component that has ended, a failed connector, a driver that has
ended or is frozen, queries that failed because something did not answer. Left alone: whatever could lose or double
something (a slot that is ahead or lost, records that are gone, a refused start), a wrong password, an error in a rule.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.errors import ConfigError
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import load_settings

_COMPANIONS = ("archive_alerts", "mirror_transactions")


def main(argv: list[str] | None = None) -> int:
    """Supervise until stopped; the exit code."""
    given = _parser().parse_args(argv)
    settings, pipeline = load_settings(), load_pipeline(given.config)
    load_rules(given.rules_file)  # what is wrong with it is said before anything starts

    from fraudstream.health.supervisor import supervise
    from fraudstream.stack import connect

    names = [] if given.connectors == ["none"] else given.connectors
    paths = [connect.CONNECTORS / f"{name}.json" for name in names]
    for path in paths:
        if not path.exists():
            raise ConfigError(f"--connectors: no connector {path.stem!r}; {path} does not exist.")
    arguments = ["--config", str(given.config), "--rules-file", str(given.rules_file)]
    arguments += ["--with", ",".join(given.companions)] if given.companions else []
    arguments += ["--rules", ",".join(given.rules)] if given.rules else []
    return supervise(settings, pipeline, arguments, paths, given.rules_file)


def _parser() -> argparse.ArgumentParser:
    parser = options.job_parser(__doc__, "./spark-submit.sh supervise_pipeline")
    parser.add_argument("--rules", type=options.names, default=[], metavar="A,B", help="only these rules")
    parser.add_argument("--rules-file", type=Path, default=RULES_FILE, help="another rules file")
    parser.add_argument(
        "--with", dest="companions", type=options.choices(_COMPANIONS), default=list(_COMPANIONS), metavar="JOB,JOB",
        help=f"the jobs in the same application (default: {','.join(_COMPANIONS)})",
    )  # fmt: skip
    parser.add_argument(
        "--connectors", type=options.names, default=["transactions"], metavar="A,B",
        help="register these of docker/connect (default: transactions; `none`: those that are registered)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    cli.run(main)
