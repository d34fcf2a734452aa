"""Flip each constant and edge of the rules, windows, redelivery and guards, one at a time: a test must notice.

Run by `make mutants`. A mutant lives if the named tests still pass; then the exit code is 1. The sources are changed in
a copy, never in place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
LIST = REPOSITORY / "tests" / "mutants.yaml"
_COPIED = ("jobs", "tests", "conf", "docker", "docs", "examples", "pyproject.toml", "README.md")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """One change of one file, and the tests that must notice it."""

    name: str
    file: str
    old: str
    new: str
    tests: str


def read_mutants(path: Path) -> list[Mutant]:
    """The mutants of the list; each `old` must stand exactly once in its file."""
    mutants = [Mutant(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]
    for mutant in mutants:
        found = (REPOSITORY / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if found != 1:
            sys.exit(
                f"error: {path}: {mutant.name}: {mutant.old!r} stands {found} times in {mutant.file}; once is needed."
            )
    return mutants


def run_mutant(mutant: Mutant, copy: Path) -> str | None:
    """The first test that fails on the mutant; None if none does."""
    path = copy / mutant.file
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests.split()]
        environment = {**os.environ, "PYTHONPATH": str(copy / "jobs"), "PYTHONDONTWRITEBYTECODE": "1"}
        result = subprocess.run(command, cwd=copy, capture_output=True, text=True, env=environment, check=False)
    finally:
        path.write_text(original, encoding="utf-8")
    if result.returncode not in (0, 1):
        sys.exit(
            f"error: {mutant.name}: pytest ended with {result.returncode}:\n{result.stdout[-2000:]}{result.stderr}"
        )
    failed = _FAILED.search(result.stdout)
    return failed[1] if failed else None


def main() -> int:
    """Run all mutants, or those whose name contains the argument; 1 if one lives."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    mutants = [mutant for mutant in read_mutants(LIST) if wanted in mutant.name]
    began = time.monotonic()
    lived = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in _COPIED:
            source = REPOSITORY / name
            shutil.copytree(source, copy / name) if source.is_dir() else shutil.copy(source, copy / name)
        for mutant in mutants:
            caught_by = run_mutant(mutant, copy)
            print(f"{mutant.name:45} {caught_by or 'LIVES'}", flush=True)
            lived += [] if caught_by else [mutant.name]
    seconds = time.monotonic() - began
    print(f"{len(mutants)} mutants, {len(mutants) - len(lived)} caught, {len(lived)} live, {seconds:.0f} s")
    return 1 if lived or not mutants else 0


if __name__ == "__main__":
    sys.exit(main())
