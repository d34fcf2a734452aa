"""A look at the pipeline: its facts, and what they say is wrong."""

from __future__ import annotations

from pathlib import Path

from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.health.facts import Facts, gather
from fraudstream.health.findings import Finding, findings
from fraudstream.health.limits import Limits
from fraudstream.health.memory import Memory
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import StackSettings


class Doctor:
    """Looks again and again, and reads only what is new."""

    def __init__(self, settings: StackSettings, pipeline: Pipeline, limits: Limits, rules_file: Path) -> None:
        self._settings, self._pipeline, self._limits, self._rules_file = settings, pipeline, limits, rules_file
        self._memory = Memory()

    def look(self) -> tuple[Facts, list[Finding]]:
        """The facts of now and what is found in them."""
        facts = gather(self._settings, self._pipeline, self._memory)
        return facts, findings(facts, self._limits, budgets(self._rules_file))


def budgets(rules_file: Path) -> dict[str, int]:
    """The alerts a day of each live rule that has a budget; none if the file cannot be used: detect_fraud says that."""
    try:
        return {rule.name: rule.budget for rule in load_rules(rules_file) if rule.status == "live" and rule.budget}
    except FraudstreamError:
        return {}
