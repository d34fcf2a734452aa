"""The cost model and its break-evens, worked out by hand."""

from __future__ import annotations

import pytest

from fraudstream.compare.cost import (
    Cdc,
    Polling,
    Used,
    break_even_interval,
    break_even_readers,
    cdc_of,
    polling_of,
    used_by,
)

POLLING = Polling(per_poll=0.002, per_row=0.00001)
CDC = Cdc(fixed=0.02, shared_per_change=0.0001, fixed_reader=0.001, per_read=0.00002)


def test_each_path_costs_what_its_terms_say():
    # 2 readers, every 4 s, 100 changes/s: 2 x (0.0005 + 0.001); with 4 s read again the rows cost twice as much.
    assert POLLING.per_second(100, 4, 2) == pytest.approx(0.003)
    assert Polling(per_poll=0.002, per_row=0.00001, overlap_s=4).per_second(100, 4, 2) == pytest.approx(0.005)
    # 0.02 + 0.01 + 2 x (0.001 + 0.002)
    assert CDC.per_second(100, 2) == pytest.approx(0.036)


def test_at_the_break_even_interval_both_cost_the_same():
    # CDC at 100/s and one reader: 0.033; rows of a poll 0.001; 0.002 / 0.032 = 1/16 s.
    assert break_even_interval(POLLING, CDC, 100, 1) == pytest.approx(0.0625)
    again = Polling(per_poll=0.002, per_row=0.00001, overlap_s=5)
    interval = break_even_interval(again, CDC, 100, 3)
    assert interval is not None
    assert again.per_second(100, interval, 3) == pytest.approx(CDC.per_second(100, 3))


def test_polling_that_costs_more_for_its_rows_alone_never_breaks_even():
    assert break_even_interval(Polling(per_poll=0.002, per_row=0.001), CDC, 100, 1) is None


def test_readers_share_what_is_done_once():
    # A poll reader every 1 s: 0.002 + 0.01 = 0.012; a CDC reader 0.003; CDC once 0.03: 0.03 / 0.009.
    assert break_even_readers(Polling(per_poll=0.002, per_row=0.0001), CDC, 100, 1) == pytest.approx(10 / 3)
    assert break_even_readers(POLLING, CDC, 100, 5) is None


def test_the_terms_come_out_of_an_idle_and_a_busy_cell():
    idle = Used(window_s=50, changes=1, shared=0.0, readers=0.02, count=1, interval_s=5, polls=10)
    busy = Used(window_s=50, changes=10_000, shared=0.0, readers=0.22, count=1, interval_s=5, polls=10)
    assert polling_of(idle, busy) == Polling(per_poll=pytest.approx(0.002), per_row=pytest.approx(0.00002))
    assert polling_of(idle, busy, overlap_s=5).per_row == pytest.approx(0.00001)
    idle = Used(window_s=50, changes=1, shared=1.0, readers=0.1, count=2)
    busy = Used(window_s=50, changes=10_000, shared=3.0, readers=0.5, count=2)
    assert cdc_of(idle, busy) == Cdc(
        fixed=pytest.approx(0.02),
        shared_per_change=pytest.approx(0.0002),
        fixed_reader=pytest.approx(0.001),
        per_read=pytest.approx(0.00002),
    )


def test_noise_does_not_make_a_change_cost_less_than_nothing():
    idle = Used(window_s=50, changes=1, shared=2.0, readers=0.2, count=1, polls=10)
    busy = Used(window_s=50, changes=10_000, shared=1.0, readers=0.1, count=1, polls=10)
    assert polling_of(idle, busy).per_row == 0
    assert (cdc_of(idle, busy).shared_per_change, cdc_of(idle, busy).per_read) == (0, 0)


def test_of_cdc_the_database_is_paid_once_and_of_polling_by_every_reader():
    common = {"window_s": 50.0, "changes": 100.0, "consumers": 2.0, "interval_s": 5.0}
    cdc = {"database_cpu_s": 1.0, "broker_cpu_s": 2.0, "connect_cpu_s": 4.0, "readers_cpu_s": 8.0}
    assert (used_by(cdc, common, True).shared, used_by(cdc, common, True).readers) == (1.0, 0.0)
    assert (used_by(cdc, common, False).shared, used_by(cdc, common, False).readers) == (7.0, 8.0)
    poll = {"database_cpu_s": 1.0, "readers_cpu_s": 8.0, "polls": 20.0}
    assert (used_by(poll, common, True).shared, used_by(poll, common, True).readers) == (0.0, 1.0)
    assert (used_by(poll, common, False).readers, used_by(poll, common, False).polls) == (9.0, 20.0)
