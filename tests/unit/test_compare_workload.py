"""What a cell writes, and which cells there are."""

from __future__ import annotations

from collections import Counter

import pytest

from fraudstream.compare.grid import full, small
from fraudstream.compare.workload import plan


@pytest.mark.parametrize("rate", [20, 500, 2000])
def test_a_plan_has_its_rate_and_every_kind_of_change(rate):
    actions = plan(rate, 45, 100_000)
    rows = Counter(
        {op: sum(len(each.rows) for each in actions if each.op == op) for op in ("insert", "update", "delete")}
    )
    # 20 changes a round: 10 inserts and 1 held one, 7 updates, 2 deletes; what would end after 45 s is left out.
    assert sum(rows.values()) == pytest.approx(rate * 45, rel=0.05)
    assert rows["insert"] / rows["update"] == pytest.approx(11 / 7, rel=0.05)
    assert rows["update"] / rows["delete"] == pytest.approx(7 / 2, rel=0.05)


def test_the_same_arguments_give_the_same_plan_and_another_seed_another():
    assert plan(100, 10, 1000, 1) == plan(100, 10, 1000, 1)
    assert plan(100, 10, 1000, 1) != plan(100, 10, 1000, 2)


def test_actions_are_in_order_and_committed_in_time():
    actions = plan(500, 10, 10_000)
    assert [each.at for each in actions] == sorted(each.at for each in actions)
    assert all(each.at + each.hold_s < 10 for each in actions)
    assert {each.hold_s for each in actions} >= {0.0, 0.3, 1.0, 2.0, 3.0, 7.0}


def test_no_row_is_changed_before_it_is_there_or_after_it_is_gone():
    there, gone = set(range(1, 1001)), set()
    for action in plan(200, 20, 1000):
        rows = set(action.rows)
        assert len(rows) == len(action.rows)
        if action.op == "insert":
            assert not rows & there
            there |= rows
        else:
            assert rows <= there
            assert not rows & gone
            gone |= rows if action.op == "delete" else set()


def test_rows_change_again_within_half_a_second():
    times: dict[int, list[float]] = {}
    for action in plan(100, 10, 1000):
        for row in action.rows if action.op == "update" else ():
            times.setdefault(row, []).append(action.at)
    assert sum(len(each) > 1 and each[1] - each[0] < 0.5 for each in times.values()) > 50


def test_a_small_table_runs_out_of_rows_to_delete_and_the_plan_goes_on():
    deleted = [row for each in plan(2000, 5, 100) if each.op == "delete" for row in each.rows if row <= 100]
    assert sorted(deleted) == list(range(2, 101, 2))


def test_one_row_a_minute_is_one_row_in_45_seconds():
    (action,) = plan(1 / 60, 45, 1000)
    assert (action.at, action.op, action.rows) == (10.0, "insert", (1001,))
    assert len(plan(1 / 60, 140, 1000)) == 3


def test_the_small_grid_is_thirteen_cells_of_45_s_that_differ_from_the_base_in_one_thing():
    cells = small().cells
    assert len(cells) == len({cell.key for cell in cells}) == 13
    assert all(cell.seconds == 45 for cell in cells)
    base = cells[0]
    for cell in cells[1:]:
        names = ("rate", "interval_s", "table_rows", "consumers", "identity", "pace")
        assert sum(getattr(cell, name) != getattr(base, name) for name in names) == 1
    assert {cell.consumers for cell in cells} == {1, 2, 4, 8}
    assert {cell.interval_s for cell in cells} == {1, 5, 30}


def test_the_full_grid_repeats_every_cell():
    cells = full(3).cells
    assert set(Counter(cell.name for cell in cells).values()) == {3}
    assert len({cell.key for cell in cells}) == len(cells)
