"""The Spark driver killed without warning in the middle of its work: it resumes, and nothing is missing or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from fraudstream.stack.settings import REPOSITORY
from fraudstream.streams import progress
from stack.world import RULES, World, topic_values, world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]
STATEFUL = ("anomaly", "velocity")
# 200 rows of 97 users: mostly small amounts, every 41st large, and one user's rows so close that velocity alerts.
ROWS = """
insert into transactions (user_id, amount, card_type, merchant_id, created_at)
select 1 + n % 97, case when n % 41 = 0 then 4700 else 20 + n % 13 end, 'VISA', n % 7,
       timestamp '2026-03-01 12:00:00' + interval '1 second' * (n % 97 + 7 * (n / 97))
from generate_series({first}, {first} + 199) as n
"""


@pytest.fixture
def a_world(stack, spark, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with world(stack, spark, tmp_path, request.node.name.removeprefix("test_")[:40]) as made:
        made.capture()
        yield made


class Driver:
    """detect_fraud with the mirror and the archive, as a user starts it, in a process group of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        settings = folder / "pipeline.yaml"
        rules = folder / "rules.yaml"
        triggers = {
            **asdict(world.pipeline)["triggers"],
            "archive_alerts": "1 second",
            "mirror_transactions": "1 second",
        }
        settings.write_text(yaml.safe_dump({**asdict(world.pipeline), "triggers": triggers}))
        rules.write_text(RULES)
        options = ["--config", settings, "--rules-file", rules, "--with", "archive_alerts,mirror_transactions"]
        environment = {name: value for name, value in os.environ.items() if name != "SPARK_SUBMIT_ARGS"}
        self._log = (folder / "driver.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, REPOSITORY / "jobs" / "detect_fraud.py", *options],
            env=environment, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def wait_until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, Path(self._log.name).read_text(errors="replace")[-3000:]
            assert time.monotonic() < limit, f"not within {seconds} s"
            time.sleep(0.02)

    def kill(self) -> None:
        """Python and the JVM at once, as a machine that fails takes both."""
        os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.wait(10) == -signal.SIGKILL
        self._log.close()


def judged(world: World, query: str) -> int:
    return sum(line["read"] for line in progress.read_lines(world.pipeline.progress, query))


def test_a_driver_killed_twice_in_the_middle_resumes_exact(a_world: World, tmp_path: Path):
    written = 0

    def write(until: threading.Event) -> None:
        nonlocal written
        while True:
            a_world.sql(ROWS.format(first=written))
            written += 200
            if until.wait(0.25):
                return

    for query in STATEFUL:
        before = judged(a_world, query)
        killed = threading.Event()
        writer = threading.Thread(target=write, args=(killed,))
        writer.start()
        driver = Driver(a_world, tmp_path)
        try:
            for more in (0, 400):  # the second batches meet a state that the first ones left
                driver.wait_until(lambda q=query, least=before + more: judged(a_world, q) > least)
        finally:
            driver.kill()
            killed.set()
            writer.join(60)
        captured = len(topic_values(a_world.settings, a_world.pipeline.kafka.transactions_topic))
        assert judged(a_world, query) < captured, "the driver was done before it was killed"
    a_world.wait_for_row(written)
    a_world.judge()
    found = a_world.assert_exact()
    assert min(found.values()) > 0, found


def test_a_report_lost_with_its_driver_is_counted_again_from_the_checkpoint(a_world: World):
    a_world.sql(ROWS.format(first=0))
    a_world.wait_for_row(200)
    a_world.judge()
    a_world.sql(ROWS.format(first=100))  # on top of a state, some of it late
    a_world.wait_for_row(400)
    a_world.judge()
    for query in ("anomaly", "velocity", "high_amount"):
        path = Path(a_world.pipeline.progress, f"{query}.jsonl")
        *_, last = progress.read_lines(a_world.pipeline.progress, query)
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
        a_world.judge()
        *_, again = progress.read_lines(a_world.pipeline.progress, query)
        assert again["recounted"]
        parts = ("batch_id", "start", "end", "read", *progress.PARTS)
        assert {name: again[name] for name in parts} == {name: last[name] for name in parts}
        assert again["read"] == 200
