"""Windows, texts and the schedule of the temperature averages."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fraudstream.errors import FraudstreamError
from fraudstream.temperature.averages import Average, sentence, table_row, told
from fraudstream.temperature.keeper import Engine, fill, keep
from fraudstream.temperature.query import averages_sql, checked_zone
from fraudstream.temperature.windows import Window, Windows, instant, spoken

TEN = timedelta(minutes=10)


def at(hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2026, 11, 23, hour, minute, second, tzinfo=UTC)


def average(text: str | None, sensor: str | None = None, **fields) -> Average:
    plain = Average(sensor is None, sensor, 3, 0, None if text is None else Decimal(text), 1.0, 2.0)
    return plain._replace(**fields)


def test_the_closed_windows_end_at_multiples_of_the_interval():
    assert Windows().closed(at(10, 17), 2) == [Window(at(9, 50), at(10, 0)), Window(at(10, 0), at(10, 10))]


def test_a_window_is_closed_at_the_instant_of_its_end():
    assert Windows().closed(at(10, 10))[0].end == at(10, 10)
    assert Windows().closed(at(10, 9, 59))[0].end == at(10, 0)


def test_windows_longer_than_the_interval_overlap():
    found = Windows(length=600, interval=300).closed(at(10, 6), 2)
    assert found == [Window(at(9, 50), at(10, 0)), Window(at(9, 55), at(10, 5))]


def test_a_day_that_an_interval_does_not_divide_is_still_aligned_to_1970():
    # 7 s: 1970-01-01 00:00:14 is a multiple, 00:00:13 is not.
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert Windows(length=7, interval=7).closed(epoch + timedelta(seconds=20))[0].end == epoch + timedelta(seconds=14)


@pytest.mark.parametrize(
    ("length", "interval", "named"), [(0, 600, "--window"), (600, 0, "--interval"), (600, 90_000, "--interval")]
)
def test_senseless_windows_are_refused_by_the_options_name(length, interval, named):
    with pytest.raises(FraudstreamError, match=named):
        Windows(length=length, interval=interval)


def test_a_reading_may_lie_in_at_most_1000_windows():
    Windows(length=1000, interval=1)
    with pytest.raises(FraudstreamError, match="interval longer"):
        Windows(length=1001, interval=1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(600, "10 minutes"), (60, "1 minute"), (3600, "1 hour"), (90, "90 seconds"), (1, "1 second")]
)
def test_lengths_are_spoken_as_the_exercise_does(seconds, text):
    assert spoken(seconds) == text


def test_a_time_without_zone_is_utc_and_others_become_it():
    assert instant("2026-11-23T10:00:00") == at(10, 0)
    assert instant("2026-11-23T11:00:00+01:00") == at(10, 0)


def test_the_line_of_a_window_is_the_exercises():
    window = Window(at(10, 0), at(10, 10))
    assert sentence(window, []) == "No data in last 10 minutes"
    assert sentence(window, [average("24.1250")]) == "Average temperature in last 10 minutes: 24.12 (3 readings)"
    assert sentence(window, [average(None, skipped=2)]) == "No data in last 10 minutes (2 without a usable number)"
    line = told(window, [average("20"), average("25.5", "b"), average("14.5", "a")])
    assert line == (
        "2026-11-23 10:10:00Z  Average temperature in last 10 minutes: 20.00 (3 readings)  [a: 14.50, b: 25.50]"
    )


def test_a_row_names_its_engine_and_window():
    row = table_row("jdbc", Window(at(10, 0), at(10, 10)), average("20", "a"), at(10, 11))
    assert row == {
        "engine": "jdbc", "window_start": at(10, 0), "window_end": at(10, 10), "window_seconds": 600,
        "all_sensors": False, "sensor_id": "a", "readings": 3, "skipped": 0, "average": Decimal("20"), "lowest": 1.0,
        "highest": 2.0, "computed_at": at(10, 11),
    }  # fmt: skip


def test_only_names_of_zones_reach_the_sql():
    with pytest.raises(FraudstreamError, match="--zone"):
        checked_zone("UTC' OR true --")
    assert checked_zone("Europe/Vienna") == "Europe/Vienna"
    assert "recorded_at AT TIME ZONE 'Europe/Vienna' < timestamptz '2026-11-23T10:10:00+00:00'" in averages_sql(
        Window(at(10, 0), at(10, 10)), "Europe/Vienna"
    )


def test_windows_are_written_together_and_shown_in_order():
    written, shown = [], []
    engine = Engine(read=lambda window: [average("20")], write=written.append)
    windows = Windows().closed(at(10, 17), 2)
    fill(engine, windows, lambda window, averages: shown.append(window))
    assert written == [{window: [average("20")] for window in windows}]
    assert shown == windows


def test_a_window_that_was_not_answered_is_asked_for_with_the_next():
    stop, failures, written = threading.Event(), [], []

    def read(window: Window) -> list[Average]:
        if not failures:
            raise FraudstreamError("no answer")
        return []

    def write(found) -> None:
        written.append(list(found))
        stop.set()

    keep(Engine(read, write), Windows(length=1, interval=1), 1, stop, lambda *_: None, failures.append)
    assert [str(error) for error in failures] == ["no answer"]
    first, second = written[0]
    assert second.start == first.end
