"""The jobs start with requirements.txt alone: the other packages are for the stack, the check and the tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from fraudstream.stack.settings import REPOSITORY

ALLOWED = ("pyspark", "delta-spark", "psycopg2-binary", "pyyaml", "pandas", "pyarrow", "google-crc32c")
SPARK_JOBS = (
    "detect_fraud", "archive_alerts", "mirror_transactions", "produce_transactions", "produce_temperatures",
    "explain_alert", "triage_alerts", "average_temperature", "query_people", "mirror_people",
    "produce_people", "poll_transactions",
)  # fmt: skip


def required(names: tuple[str, ...]) -> set[str]:
    """The names and what they need, as far as it is installed; extras are not followed."""
    found: set[str] = set()
    open_names = list(names)
    while open_names:
        name = re.sub(r"[-_.]+", "-", open_names.pop()).lower()
        if name in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        open_names += [re.split(r"[ ;<>=!~\[(]", need)[0] for need in needs if "extra ==" not in need]
    return found


@pytest.fixture(scope="module")
def bare_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the allowed packages and nothing else, as links."""
    folder = tmp_path_factory.mktemp("site")
    for name in required(ALLOWED):
        distribution = metadata.distribution(name)
        for top in {Path(str(file)).parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            target = Path(str(distribution.locate_file(top)))
            if target.exists() and not (folder / top).exists():
                (folder / top).symlink_to(target)
    return folder


def run_bare(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'jobs'}:{site}", "PYTHONNOUSERSITE": "1"}
    return subprocess.run(
        [sys.executable, "-S", *arguments], capture_output=True, text=True, env=environment, check=False, timeout=120
    )


def test_the_bare_folder_lacks_the_other_packages(bare_site: Path):
    assert run_bare(bare_site, "-c", "import pyspark, delta, psycopg2, yaml, pandas, pyarrow").returncode == 0
    for package in ("confluent_kafka", "jgo", "psutil", "rich", "pytest"):
        assert "ModuleNotFoundError" in run_bare(bare_site, "-c", f"import {package}").stderr


@pytest.mark.parametrize("job", SPARK_JOBS)
def test_a_job_explains_itself_without_the_other_packages(bare_site: Path, job: str):
    result = run_bare(bare_site, str(REPOSITORY / "jobs" / f"{job}.py"), "--help")
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout


@pytest.mark.spark
def test_a_session_with_the_streams_starts_without_the_other_packages(bare_site: Path):
    code = (
        "from fraudstream.session import build_session\n"
        "from fraudstream.streams import queries, supervise\n"
        "from fraudstream.rulebook import fold\n"
        "print(build_session('bare').range(3).count())"
    )
    result = run_bare(bare_site, "-c", code)
    assert result.stdout.strip().endswith("3"), result.stderr[-2000:]
