"""What `make doctor` prints and how it ends; what the doctor sees is given."""

from __future__ import annotations

import json

import pytest

from fraudstream.errors import ConfigError
from fraudstream.health import __main__ as command
from fraudstream.health.findings import Finding

FACTS = {"home": "/a/home", "slots": [{"name": "s"}]}
FOUND = [
    Finding("kafka-down", "broken", "kafka", "it does not answer", "`make up`"),
    Finding("small-files", "warning", "alerts", "900 files", "shorten upkeep.every"),
]


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch):
    """A function that lets the doctor see these findings."""

    def set_to(findings: list[Finding]) -> None:
        doctor = type("Doctor", (), {"look": lambda self: (FACTS, findings)})
        monkeypatch.setattr(command, "Doctor", lambda *given: doctor())

    monkeypatch.setenv("NO_COLOR", "1")
    return set_to


def test_a_sound_pipeline_is_said_to_be_healthy(sees, capsys):
    sees([])
    assert command.main([]) == 0
    assert capsys.readouterr().out == "healthy (/a/home)\n"
    assert command.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"healthy": True, "findings": [], "facts": FACTS}


def test_each_finding_has_its_name_what_was_seen_and_the_next_step(sees, capsys):
    sees(FOUND)
    assert command.main([]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "2 found in /a/home; docs/operations.md has a runbook for each name",
        "broken  kafka-down  kafka: it does not answer",
        "        next: `make up`",
        "warning small-files  alerts: 900 files",
        "        next: shorten upkeep.every",
    ]
    assert command.main(["--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["next"]) for each in found["findings"]] == [
        ("kafka-down", "`make up`"), ("small-files", "shorten upkeep.every"),
    ]  # fmt: skip


def test_a_limit_that_is_none_is_refused_before_anything_is_looked_at():
    with pytest.raises(ConfigError, match=r"^--limit: unknown limit 'nonsense'\. Allowed are disk_free_bytes, "):
        command.main(["--limit", "nonsense=1"])
