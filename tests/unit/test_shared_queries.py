"""Which rules may share a query."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.errors import ConfigError
from fraudstream.rulebook.catalog import load_rules
from fraudstream.shared_queries import require_alike

SHARED = {"windows": ["anomaly", "velocity"]}


def rules(folder: Path, text: str):
    (folder / "rules.yaml").write_text(text)
    return load_rules(folder / "rules.yaml")


def test_live_rules_with_state_and_one_key_may(tmp_path: Path):
    require_alike(SHARED, rules(tmp_path, "anomaly: {}\nvelocity: {}\nhigh_amount: {}\n"))


def test_of_rules_that_do_not_run_none_is_asked_for(tmp_path: Path):
    require_alike(SHARED, rules(tmp_path, "high_amount: {}\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("anomaly: {}", "velocity is not live, or --rules leaves it out; a query's rules run all or none"),
        ("anomaly: {}\nvelocity: {status: shadow}", "velocity is not live"),
        ("anomaly: {}\nvelocity: {rule: high_amount}", "velocity has no state; only rules with state"),
        ("anomaly: {corrections: on}\nvelocity: {}", "anomaly has corrections"),
        ("anomaly: {}\nvelocity: {rule: compromised_merchant}", "their keys differ .*merchant_id"),
        ("anomaly: {}\nvelocity: {}\nwindows: {rule: velocity}", "windows is a rule; give the query a name"),
    ],
)
def test_others_may_not_and_the_message_says_why(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        require_alike(SHARED, rules(tmp_path, text + "\n"))
