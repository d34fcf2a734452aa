"""make new-rule: three files that fit, and names that are refused with one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fraudstream.errors import ConfigError
from fraudstream.rulebook import new_rule as module
from fraudstream.rulebook.new_rule import new_rule
from fraudstream.stack.settings import REPOSITORY


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a rule touches."""
    for folder in ("jobs", "docker", "conf", "tests/unit"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def python(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{project / 'jobs'}:{project / 'tests'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def test_a_new_rule_loads_as_a_draft_and_its_test_fails_until_it_is_filled_in(project):
    made = python(project, "-m", "fraudstream.rulebook.new_rule", "round_amounts")
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[:3] == [
        "wrote jobs/fraudstream/rules/round_amounts.py", "wrote conf/rules.yaml",
        "wrote tests/unit/rules/test_round_amounts.py",
    ]  # fmt: skip
    code = "from fraudstream.rulebook.catalog import load_rules; from fraudstream.config import RULES_FILE; "
    shown = python(project, "-c", code + "print(*((r.name, r.status) for r in load_rules(RULES_FILE)[-1:]))")
    assert shown.stdout == "('round_amounts', 'draft')\n"
    before = (REPOSITORY / "conf" / "rules.yaml").read_text()
    assert (project / "conf" / "rules.yaml").read_text().startswith(before)

    test = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/rules/test_round_amounts.py")
    unfilled = python(project, *test)
    assert unfilled.returncode == 1
    assert "2 failed" in unfilled.stdout
    rule, rows = (project / line.removeprefix("wrote ") for line in made.stdout.splitlines()[0:3:2])
    rule.write_text(rule.read_text().replace("Decimal(10**9)", "Decimal(15)").replace("TODO", "Round"))
    assert python(project, *test).returncode == 0
    assert rows.exists()

    again = python(project, "-m", "fraudstream.rulebook.new_rule", "round_amounts")
    assert again.returncode == 2
    assert again.stderr.startswith(f"error: new-rule round_amounts: {rule} exists already; name the rule otherwise")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Round", "new-rule Round: 'Round' is no rule name; use a-z, 0-9 and _, beginning with a letter, 64 at most."),
        ("../round", "is no rule name"),
        ("round amounts", "is no rule name"),
        ("class", "class is a word of Python's; name the rule otherwise."),
        ("archive_alerts", "archive_alerts is the name of another query; name the rule otherwise."),
        ("anomaly", "anomaly.py exists already"),
        ("fast", "has an entry of that name already"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(project, name, said):
    entries = project / "conf" / "rules.yaml"
    entries.write_text(entries.read_text() + "\nfast: {rule: velocity}\n")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError) as refused:
        new_rule(name, project, entries)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_no_name_is_one_line_too():
    with pytest.raises(ConfigError, match="no name; write make new-rule NAME"):
        module.main([])


def test_make_takes_the_word_behind_new_rule_as_its_name(tmp_path: Path):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    (tmp_path / "Makefile").write_text(makefile.replace("$(RUN) -m fraudstream.rulebook.new_rule", "echo new"))
    for stamp in (".venv/.installed", "requirements.lock"):
        (tmp_path / stamp).parent.mkdir(exist_ok=True)
        (tmp_path / stamp).touch()
    (tmp_path / ".venv/.installed").touch()
    # Under make test this make would be a child of that one: it would take its flags and name its directories.
    shell = {name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for words, said in (
        (["new-rule", "round_amounts"], "new round_amounts\n"),
        (["new-rule", "NAME=round_amounts"], "new round_amounts\n"),
        (["new-rule"], "new \n"),
        (["new-rule", "demo"], "new demo\n"),
    ):
        made = subprocess.run(["make", *words], cwd=tmp_path, env=shell, capture_output=True, text=True, check=False)
        assert (made.returncode, made.stdout) == (0, said), (words, made.stderr)
