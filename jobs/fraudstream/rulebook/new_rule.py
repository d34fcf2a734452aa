"""Start a rule: its file, its entry, a draft, in conf/rules.yaml, and a test that fails until it is filled in."""

from __future__ import annotations

import argparse
import keyword
from pathlib import Path

from fraudstream import cli
from fraudstream.config import RULES_FILE
from fraudstream.errors import ConfigError
from fraudstream.names import check_name
from fraudstream.rulebook.catalog import known_rules, load_rules
from fraudstream.stack.settings import REPOSITORY

_RULE = '''"""TODO: what the rule looks for, in a line."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fraudstream.rulebook.definition import Range, rule
from fraudstream.rulebook.transaction import Alert, Transaction


@rule(key="user_id", code=1)
def {name}(
    tx: Transaction,
    *,
    history: Annotated[int, Range(1, 1000)] = 20,
    amount_over: Annotated[Decimal, Range(0, 10**9)] = Decimal(10**9),
) -> Alert:
    """TODO: what it catches, what it misses, and where the idea is from."""
    past = tx.previous(history)
    return tx.alert(
        when=tx.amount > amount_over,
        reason="{{amount}} is over {{limit}}; {{n}} payments were seen before",
        evidence={{"limit": amount_over, "n": past.count()}},
    )
'''

_ENTRY = """
{name}:
  severity: medium
  status: draft
  parameters: {{}}
"""

_TEST = """from __future__ import annotations

from unit.histories import alerting, row, rule_of

RULE = rule_of("{name}: {{}}")


def test_it_alerts_where_it_should_and_not_next_to_it():
    # TODO: rows (id, amount, seconds) on both sides of each edge of the rule, and the ids of those that must alert.
    rows = [row(1, 10, at=0), row(2, 20, at=60)]
    assert alerting(RULE, rows) == [2]
    assert alerting(RULE, rows, cuts=range(len(rows))) == [2]


def test_its_docstring_says_what_it_catches_and_what_it_misses():
    from fraudstream.rules import {name}

    assert "TODO" not in {name}.{name}.body.__doc__
"""


def new_rule(name: str, repository: Path = REPOSITORY, entries: Path = RULES_FILE) -> list[Path]:
    """The files written or changed. Raises ConfigError, and writes nothing, for a name that cannot be a new rule's."""
    check_name(name, f"new-rule {name}")
    if keyword.iskeyword(name):
        raise ConfigError(f"new-rule {name}: {name} is a word of Python's; name the rule otherwise.")
    rule = repository / "jobs" / "fraudstream" / "rules" / f"{name}.py"
    test = repository / "tests" / "unit" / "rules" / f"test_{name}.py"
    for path in (rule, test):
        if path.exists():
            raise ConfigError(f"new-rule {name}: {path} exists already; name the rule otherwise, or edit that file.")
    if name in {each.name for each in load_rules(entries)}:
        raise ConfigError(f"new-rule {name}: {entries} has an entry of that name already; name the rule otherwise.")
    text = entries.read_text(encoding="utf-8")
    rule.write_text(_RULE.format(name=name), encoding="utf-8")
    test.write_text(_TEST.format(name=name), encoding="utf-8")
    entries.write_text(text.rstrip("\n") + "\n" + _ENTRY.format(name=name), encoding="utf-8")
    return [rule, entries, test]


def main(argv: list[str] | None = None) -> int:
    """Write the files and say what comes next; the exit code."""
    parser = argparse.ArgumentParser(prog="make new-rule", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help=f"like {known_rules()[0]}: a-z, 0-9 and _")
    name = parser.parse_args(argv).name
    if not name:
        raise ConfigError("new-rule: no name; write make new-rule NAME, like make new-rule round_amounts.")
    for path in new_rule(name):
        print(f"wrote {path.relative_to(REPOSITORY)}")
    print(f"next: fill in the TODOs; make test-unit runs the test; then set status: shadow for {name}.")
    return 0


if __name__ == "__main__":
    cli.run(main)
