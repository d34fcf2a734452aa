"""docs/operations.md: a runbook for every name that an error can end with, and none that nothing leads to."""

from __future__ import annotations

from typing import get_args

from fraudstream.errors import GuardError, Runbook
from fraudstream.stack.settings import REPOSITORY

TEXT = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")


def runbooks() -> list[str]:
    section = TEXT.split("\n## Runbooks\n")[1].split("\n## ")[0]
    return [line.removeprefix("### ") for line in section.splitlines() if line.startswith("### ")]


def test_every_name_of_a_runbook_has_one_heading_in_order():
    assert runbooks() == sorted(get_args(Runbook))


def test_an_error_ends_with_the_name_of_its_runbook():
    assert (
        str(GuardError("The slot was moved.", "slot-ahead")) == "The slot was moved. [docs/operations.md: slot-ahead]"
    )
