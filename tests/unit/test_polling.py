"""The poller on a table of the test's own, without a database: what it finds, misses, and never doubles."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

from fraudstream.config import load_pipeline
from fraudstream.errors import FraudstreamError, GuardError
from fraudstream.polling import poller as poller_module
from fraudstream.polling.poller import Polling, open_poller
from fraudstream.polling.rows import entering, new_rows_sql
from fraudstream.rulebook.catalog import load_rules

NOW = 1_795_000_000_000_000  # microseconds
DAY = 86_400_000_000


def row(number: int, cents: int | None, user: int = 7, at: int | None = NOW):
    return (number, user, cents, "VISA", 3, at, NOW)


class Table:
    """Rows by id; answers the poller's SQL."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple] = {}

    def insert(self, *rows: tuple) -> None:
        self.rows |= {row[0]: row for row in rows}

    def __call__(self, sql: str):
        if "max(id)" in sql:
            return [(max(self.rows, default=0),)]
        found = re.search(r"WHERE id > (-?\d+) ORDER BY id LIMIT (\d+)", sql)
        assert found
        after, limit = map(int, found.groups())
        return [self.rows[number] for number in sorted(self.rows) if number > after][:limit]


@pytest.fixture
def pipeline(tmp_path: Path):
    return replace(load_pipeline(), lake=str(tmp_path / "lake"), checkpoints=str(tmp_path / "checkpoints"))


@pytest.fixture
def rules(tmp_path: Path):
    path = tmp_path / "rules.yaml"
    path.write_text("anomaly: {severity: high}\nhigh_amount: {severity: medium}\n")
    return load_rules(path)


def alerts(pipeline) -> list[tuple[str, int]]:
    if not DeltaTable.is_deltatable(pipeline.table("polled_alerts")):
        return []
    rows = DeltaTable(pipeline.table("polled_alerts")).to_pyarrow_table().to_pylist()
    return sorted((row["rule"], row["transaction_id"]) for row in rows)


@pytest.fixture
def table():
    table = Table()
    table.insert(*(row(number, 100_00) for number in (1, 2, 3)), row(4, 500_01), row(5, 300_00))
    return table


def test_rows_are_found_once_and_judged_as_by_the_stream(pipeline, rules, table):
    poller = open_poller(pipeline, rules, table, Polling(limit=2))
    assert [poller.poll()["read"] for _ in range(4)] == [2, 2, 1, 0]
    # 500.01 is over 3 x 100 and over 500; 300 x 4 = 1200 is not over 3 x 800.01.
    assert alerts(pipeline) == [("anomaly", 4)]
    table.insert(row(6, 9000_00))
    figures = poller.poll()
    assert (figures["first_id"], figures["last_id"], figures["late"]) == (6, 6, 0)
    assert figures["rules"]["high_amount"] == {
        "judged": 1, "history": 0, "redelivered": 0, "superseded": 0, "alerts": 1,
    }  # fmt: skip
    assert alerts(pipeline) == [("anomaly", 4), ("anomaly", 6), ("high_amount", 6)]


@pytest.mark.parametrize("when", ["before the alerts are appended", "after"])
def test_killed_between_commit_and_delivery_it_neither_loses_nor_doubles(pipeline, rules, table, monkeypatch, when):
    real = poller_module.deliver

    def killed(*arguments) -> None:
        if when == "after":
            real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(poller_module, "deliver", killed)
    poller = open_poller(pipeline, rules, table, Polling())
    with pytest.raises(KeyboardInterrupt):
        poller.poll()
    assert alerts(pipeline) == ([("anomaly", 4)] if when == "after" else [])
    monkeypatch.setattr(poller_module, "deliver", real)
    again = open_poller(pipeline, rules, table, Polling())
    assert alerts(pipeline) == [("anomaly", 4)]
    assert again.poll()["read"] == 0
    table.insert(row(6, 9000_00))
    again.poll()
    assert alerts(pipeline) == [("anomaly", 4), ("anomaly", 6), ("high_amount", 6)]


def test_killed_before_the_commit_it_asks_again(pipeline, rules, table, monkeypatch):
    def killed(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(poller_module, "fold", killed)
    with pytest.raises(KeyboardInterrupt):
        open_poller(pipeline, rules, table, Polling()).poll()
    monkeypatch.undo()
    assert open_poller(pipeline, rules, table, Polling()).poll()["read"] == 5
    assert alerts(pipeline) == [("anomaly", 4)]


@pytest.mark.parametrize(("overlap", "found"), [(0, []), (2, [("high_amount", 4)])])
def test_a_row_committed_after_a_greater_id_is_missed_unless_ids_overlap(pipeline, rules, overlap, found):
    table = Table()
    table.insert(row(3, 100_00), row(5, 100_00))
    poller = open_poller(pipeline, rules, table, Polling(overlap=overlap))
    assert poller.poll()["read"] == 2
    table.insert(row(4, 9000_00), row(2, 9000_00))  # 2 is beyond the overlap
    assert poller.poll()["read"] == len(found)
    assert poller.poll()["read"] == 0
    assert alerts(pipeline) == found
    table.insert(row(6, 100_00))
    assert poller.poll()["read"] == 1


def test_existing_rows_may_only_join_the_histories(pipeline, rules, table):
    poller = open_poller(pipeline, rules, table, Polling(existing="join"))
    table.insert(row(6, 700_00))
    assert poller.poll()["rules"]["anomaly"] == {
        "judged": 1, "history": 5, "redelivered": 0, "superseded": 0, "alerts": 1,
    }  # fmt: skip
    assert alerts(pipeline) == [("anomaly", 6)]  # 700 x 5 = 3500 is over 3 x 1100.01


def test_going_on_with_other_rules_is_refused(pipeline, rules, table):
    open_poller(pipeline, rules, table, Polling()).poll()
    with pytest.raises(GuardError, match="rules"):
        open_poller(pipeline, rules[:1], table, Polling())


def test_what_no_rule_can_weigh_is_counted_and_enters_no_history():
    rows = [
        row(1, None), row(2, 1, at=None), row(3, 1, at=-1), row(4, 1, at=0), row(5, 1, at=NOW + DAY),
        row(6, 1, at=NOW + DAY + 1),
    ]  # fmt: skip
    batch, unjudged = entering(rows, 10, 4)
    assert unjudged == 4
    assert batch["id"].tolist() == [4, 5]
    assert batch["offset"].tolist() == [10, 11]
    assert batch["judge"].tolist() == [False, True]


def test_options_out_of_range_are_refused_by_name():
    with pytest.raises(FraudstreamError, match="--limit is 0"):
        Polling(limit=0)
    assert "WHERE id > 90 ORDER BY id LIMIT 1010" in new_rows_sql(100, 10, 1000)
