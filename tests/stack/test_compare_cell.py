"""Short cells of the comparison on the real components: both paths beside each other, counted against the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from fraudstream.compare import capture, database
from fraudstream.compare.cell import run_cell, table_of
from fraudstream.compare.figures import gather, value
from fraudstream.compare.grid import BASE
from fraudstream.compare.run import told
from fraudstream.stack import connect, kafka
from fraudstream.stack.settings import StackSettings

pytestmark = [pytest.mark.stack, pytest.mark.alone]
# Two readers of each path that poll every second; transactions held for up to 3 s.
CELL = replace(BASE, name="short", rate=200.0, interval_s=1.0, table_rows=1000, consumers=2, seconds=6.0)


@pytest.fixture(scope="module")
def captured(stack: StackSettings) -> Iterator[StackSettings]:
    """The stack with the comparison's publication and connector, and without both afterwards."""
    database.create_publication(stack)
    try:
        capture.start(stack)
        yield stack
    finally:
        capture.remove(stack)
    assert database.leftovers(stack) == []
    assert not [name for name in kafka.admin(stack).list_topics(timeout=10).topics if name.startswith("compare")]
    assert not [name for name in connect.connectors(stack) if name.startswith("compare")]


@pytest.fixture(scope="module")
def result(captured: StackSettings, tmp_path_factory: pytest.TempPathFactory):
    measurements, failures = run_cell(captured, CELL, tmp_path_factory.mktemp("cell"))
    return gather(measurements), failures, told(measurements)


def test_what_must_be_equal_is_equal(result):
    assert result[1] == []


def test_cdc_misses_nothing_and_polling_what_it_cannot_see(result):
    figures = result[0]
    missed = {path: value(figures, "cell", "short", path, "missed") for path in ("poll_id", "poll_updated", "cdc")}
    assert missed["cdc"] == 0
    common = {name: figure.median for name, figure in figures["cell"]["short"]["all"].items()}
    assert common["changes"] == pytest.approx(CELL.rate * CELL.seconds, rel=0.2)
    for path in ("poll_id", "poll_updated"):
        assert value(figures, "cell", "short", path, "missed_delete") == common["changes_delete"]
    # By id an update shows only where it comes before the first poll that sees the row.
    by_id, by_time = (value(figures, "cell", "short", path, "missed_update") for path in ("poll_id", "poll_updated"))
    assert 0 < by_time < by_id < common["changes_update"]
    assert value(figures, "cell", "short", "poll_id", "missed_insert_out_of_order") > 0
    assert value(figures, "cell", "short", "poll_updated", "missed_insert_out_of_order") == 0


def test_each_path_says_what_it_took(result):
    figures = result[0]["cell"]["short"]
    for path in ("poll_id", "poll_updated", "cdc"):
        for metric in ("fresh_p50_ms", "fresh_p99_ms", "readers_cpu_s", "database_cpu_s", "reader_peak_kib"):
            assert figures[path][metric].median > 0, (path, metric)
    assert figures["cdc"]["walsender_cpu_s"].median > 0
    assert figures["cdc"]["connect_cpu_s"].median > 0
    assert figures["all"]["wal_bytes_per_change"].median > 50
    assert figures["poll_id"]["polls"].median >= 2 * CELL.seconds
    assert figures["cdc"]["fresh_p50_ms"].median < figures["poll_updated"]["fresh_p50_ms"].median


def test_the_cells_table_and_topic_are_gone(captured, result):
    assert table_of(CELL.key) not in database.leftovers(captured)
    assert capture.topic_of(table_of(CELL.key)) not in kafka.admin(captured).list_topics(timeout=10).topics
