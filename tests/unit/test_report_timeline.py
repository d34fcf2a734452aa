"""Figures over time, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fraudstream.check import timeline
from fraudstream.check.latency import Latencies


def _alerts(*alerts: tuple[float, float, float]) -> Latencies:
    found = Latencies()
    for at, total, capture in alerts:
        found.at.append(at * 1000)
        found.total.append(total)
        found.capture.append(capture)
    return found


@pytest.mark.parametrize(
    ("begin", "end", "window"),
    [(0, 120, (60, 120)), (0, 60, (20, 60)), (100, 120, (110, 120)), (0, 80, (20, 80)), (0, 90, (30, 90))],
)
def test_the_warm_window_is_the_last_minute_without_the_first_20_seconds(begin, end, window):
    assert timeline.warm_window(begin, end) == window


def test_lag_is_the_age_of_the_oldest_unread_input():
    written = [0, 100, 200, 300, 300]
    read = [0, 0, 50, 200, 300]
    # At 2 the 51st change is unread, written at 0.5; at 3 the 201st, written at 2.
    np.testing.assert_allclose(timeline.lag_seconds([0, 1, 2, 3, 4], written, read), [0, 1, 1.5, 1, 0])


def test_lag_counts_from_the_last_time_that_all_was_read_when_nothing_is_written_for_a_while():
    # All was read at 1; nothing came until 5, when one second's worth did.
    lag = timeline.lag_seconds([0, 1, 2, 3, 4, 5], [0, 100, 100, 100, 100, 200], [0, 100, 100, 100, 100, 100])
    assert lag[4] == 0
    assert 0 < lag[5] <= 4


def test_a_lag_that_rises_by_more_than_half_a_second_grows():
    times = range(10)
    assert timeline.lag_figures(times, [1.0] * 5 + [1.6] * 5, (0, 10))["grows"] is True
    assert timeline.lag_figures(times, [1.0] * 5 + [1.4] * 5, (0, 10)) == {
        "first_half_s": 1.0, "second_half_s": 1.4, "max_s": 1.4, "grows": False,
    }  # fmt: skip


def test_a_window_without_samples_has_no_lag():
    assert timeline.lag_figures([1, 2], [1, 1], (50, 60))["grows"] is None


def test_rates_are_growth_per_second_in_each_interval():
    middles, per_second = timeline.rates([0, 1, 2, 3, 4], [0, 100, 200, 200, 200], 2)
    assert middles.tolist() == [1, 3]
    assert per_second.tolist() == [100, 0]


def test_alerts_fall_into_intervals_by_the_commit_of_their_change():
    # The third was committed at 103.2 and came 0.9 s later; the last has no time of commit.
    alerts = _alerts((100.2, 10, 1), (100.9, 30, 1), (104.1, 900, 1), (103.5, float("nan"), 1))
    found = timeline.latency_over_time(alerts, 100, 1)
    assert found == {"seconds": [0.5, 3.5], "p50": [20, 900], "p95": [29, 900], "count": [2, 1]}


def test_percentiles_of_nothing_are_none():
    assert timeline.percentiles([]) == {"p50": None, "p95": None, "p99": None}
