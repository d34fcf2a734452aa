"""A whole run with its parts and its stack replaced: what is kept, gone on with, and cleaned up."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraudstream.compare import run as compare
from fraudstream.compare.grid import small
from fraudstream.compare.measurement import measured
from fraudstream.compare.usage import children_seconds, cpu_seconds, memory, spent
from fraudstream.errors import FraudstreamError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that were measured, in order; the second one fails while `fail` stands first in the list."""
    found: list[str] = []

    def part(key: str) -> compare.Part:
        def measure(settings, folder):
            if key == "b" and found[:1] == ["fail"]:
                raise FraudstreamError("no")
            found.append(key)
            return measured("cell", key, 1, "all", {"changes": 1}), [f"{key} differs"] if key == "c" else []

        return compare.Part(key, measure)

    @contextmanager
    def stack(settings, home, say):
        found.append("up")
        try:
            yield
        finally:
            found.append("down")

    monkeypatch.setattr(compare, "parts_of", lambda grid: [part(key) for key in "abc"])
    monkeypatch.setattr(compare, "_stack", stack)
    monkeypatch.setattr(compare.lifecycle, "purge", lambda settings: [])
    return found


def told(text: str) -> None:
    """What the run says goes nowhere."""


def test_every_part_is_measured_once_and_failures_are_kept(asked, tmp_path: Path):
    outcome = compare.run(small(), tmp_path, False, told)
    assert asked == ["up", "a", "b", "c", "down"]
    assert [each.cell for each in outcome.measurements] == ["a", "b", "c"]
    assert outcome.failures == ["c differs"]
    assert (tmp_path / "measurements.csv").read_text().count("\n") == 4


def test_a_run_that_failed_goes_on_where_it_was_and_one_that_ended_starts_anew(asked, tmp_path: Path):
    asked.append("fail")
    with pytest.raises(FraudstreamError):
        compare.run(small(), tmp_path, False, told)
    assert asked == ["fail", "up", "a", "down"]
    asked.clear()
    outcome = compare.run(small(), tmp_path, False, told)
    assert asked == ["up", "b", "c", "down"]
    assert len(outcome.measurements) == 3
    asked.clear()
    compare.run(small(), tmp_path, False, told)
    assert asked == ["up", "a", "b", "c", "down"]


def test_fresh_forgets_what_was_measured(asked, tmp_path: Path):
    asked.append("fail")
    with pytest.raises(FraudstreamError):
        compare.run(small(), tmp_path, False, told)
    asked.clear()
    compare.run(small(), tmp_path, True, told)
    assert asked == ["up", "a", "b", "c", "down"]


def test_the_small_grid_has_its_cells_then_cron_bulk_the_outages_and_alerts():
    keys = [part.key for part in compare.parts_of(small())]
    assert keys[0] == "base-1"
    assert keys[13:] == ["cron", "bulk", "outage_reader", "outage_connect", "outage_database", "alerts"]


def test_cpu_and_memory_of_a_process_are_its_own():
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) - before < 0.02:
        sum(range(10_000))
    assert memory(os.getpid())["peak_kib"] >= memory(os.getpid())["rss_kib"] > 1000
    assert cpu_seconds(2**30) == children_seconds(2**30) == 0
    assert spent({"a": 1.0}, {"a": 3.0, "b": 2.0}) == {"a": 2.0, "b": 2.0}
