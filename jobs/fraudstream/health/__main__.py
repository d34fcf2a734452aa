"""The doctor: says what is wrong with the pipeline, by the names of the runbooks in docs/operations.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.health.doctor import Doctor
from fraudstream.health.findings import Finding
from fraudstream.health.limits import limit, load_limits
from fraudstream.stack.settings import load_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 healthy, 1 something is found."""
    given = _parser().parse_args(argv)
    limits = load_limits(dict(given.limit))
    settings, pipeline = load_settings(), load_pipeline(given.config)
    facts, found = Doctor(settings, pipeline, limits, given.rules_file).look()
    if given.json:
        listed = [each._asdict() for each in found]
        print(json.dumps({"healthy": not found, "findings": listed, "facts": facts}, indent=2, default=str))
    else:
        print(_text(found, facts["home"]))
    return 1 if found else 0


def _text(found: Sequence[Finding], home: str) -> str:
    if not found:
        return f"{cli.paint('healthy', 'green')} ({home})"
    lines = [f"{len(found)} found in {home}; docs/operations.md has a runbook for each name"]
    for each in found:
        colour = "red" if each.severity == "broken" else "yellow"
        lines.append(
            f"{cli.paint(f'{each.severity:<8}', colour)}{cli.paint(each.name, 'bold')}  {each.part}: {each.found}"
        )
        lines.append(f"        next: {each.next}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = options.job_parser(__doc__, "make doctor DOCTOR_OPTIONS='--json'")
    parser.prog = "python -m fraudstream.health"
    parser.add_argument("--rules-file", type=Path, default=RULES_FILE, help="another rules file (for their budgets)")
    parser.add_argument("--json", action="store_true", help="print findings and all facts as JSON")
    parser.add_argument(
        "--limit", type=limit, action="append", default=[], metavar="NAME=VALUE",
        help="another limit than in conf/health.yaml; repeatable",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    cli.run(main)
