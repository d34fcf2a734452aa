"""The rule as it was when it alerted: its version decides, a hash of its name, code version and parameters."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.stack.settings import REPOSITORY
from fraudstream.streams import record


class Known(NamedTuple):
    """The rule of the wanted version and where it was found; or None, and why it was not."""

    rule: Rule | None
    where: str


def rule_of_version(name: str, version: str, rules_file: Path, lake: str) -> Known:
    """The rule `name` of that version, as the rules file or else the record of its versions has it. Raises ConfigError
    for a rules file that cannot be used, GuardError for such a record."""
    file = rules_file.relative_to(REPOSITORY) if rules_file.is_relative_to(REPOSITORY) else rules_file
    present = next((rule for rule in load_rules(rules_file) if rule.name == name), None)
    if present is not None and present.version == version:
        return Known(present, str(file))
    recorded = record.rule_of_version(lake, name, version)
    if recorded is not None:
        return Known(recorded, f"the record {record.path_of(lake, name)}")
    found = f"has version {present.version}" if present is not None else "has no such rule"
    return Known(
        None,
        f"version {version} of {name} is not known: {file} {found}. Its parameters or the code of the rule have "
        "changed since; name the rules file of that time with --rules-file.",
    )
