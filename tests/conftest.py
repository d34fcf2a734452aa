"""What tests share: one Spark session, one private stack on free ports, both made when first asked for."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from fixtures.short_lived import QUICK, short_lived
from fraudstream.stack.settings import REPOSITORY, free_ports, load_environment, load_settings

# By folder, the files that take longest, in this order: two processes take a file each as they come to it, and neither
# is to begin a long one when the other is at its end. What is not named takes seconds and comes last.
LONGEST = {
    "spark": (
        "backtest_parity", "mirror", "columnar", "golden_streams", "seed", "masking", "corrections", "triage",
        "temperature_stream", "runtime_needs", "notebook", "cdc_columns", "upkeep",
    ),
    "stack": (
        "drills", "demo", "guards", "pipeline", "columnar_reader", "live_change", "audit_repair", "doctor",
        "stack_lifecycle", "supervise_pipeline", "average_temperature", "driver_killed", "one_topic", "canary",
        "input_jobs", "query_people", "broker_killed", "poll_transactions", "example_agent",
    ),
}  # fmt: skip
# Speed is no matter of the tests: on a busy machine an example may take any time.
settings.register_profile("fraudstream", deadline=None)
settings.load_profile("fraudstream")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of a folder into the order of LONGEST; the order within each stays."""
    folders = list(dict.fromkeys(item.path.parent for item in items))
    items.sort(key=lambda item: (folders.index(item.path.parent), _place(item)))


def _place(item: pytest.Item) -> int:
    files = LONGEST.get(item.path.parent.name, ())
    name = item.path.stem.removeprefix("test_")
    return files.index(name) if name in files else len(files)


@pytest.fixture(scope="session", autouse=True)
def _private_places(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches a stack that the user has running: home and ports are the test run's own."""
    os.environ["PYTHONPATH"] = str(REPOSITORY / "jobs")  # for Spark's Python workers and for commands
    os.environ["FRAUDSTREAM_HOME"] = str(tmp_path_factory.mktemp("home"))
    os.environ.update({name: str(port) for name, port in free_ports().items()})
    # One thread per core of a small machine.
    os.environ["SPARK_SUBMIT_ARGS"] = f"--master local[2] {short_lived()['SPARK_SUBMIT_ARGS']}"
    os.environ["CONNECT_JAVA_OPTIONS"] = f"{load_environment()['CONNECT_JAVA_OPTIONS']} {QUICK}"


@pytest.fixture(scope="session")
def spark():
    """The pipeline's own session on two cores."""
    from fraudstream.session import build_session

    session = build_session("tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def stack():
    """The settings of a running stack: real PostgreSQL, Kafka and Connect, without a connector."""
    from fraudstream.stack import lifecycle

    settings = load_settings()
    lifecycle.up(settings, connector=None)
    yield settings
    lifecycle.down(settings)
