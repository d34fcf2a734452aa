"""The average of one window: what a row of lake/temperature_averages holds, and how a person reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from fraudstream.temperature.windows import Window, spoken

TABLE = "temperature_averages"
COLUMNS = (
    "engine string, window_start timestamp, window_end timestamp, window_seconds long, all_sensors boolean, "
    "sensor_id string, readings long, skipped long, average decimal(18,4), lowest double, highest double, "
    "computed_at timestamp"
)
"""A window of an engine has a row for all sensors together and one per sensor, or none if nothing was recorded."""

USABLE = "temperature BETWEEN -1e9 AND 1e9"
"""SQL: a reading that is averaged. Null, NaN (greater than all in both dialects) and the infinite ones are not."""


class Average(NamedTuple):
    """`readings` were averaged, `skipped` were null or no usable number; `average` is None if all were. Stuck sensors
    show: their lowest is their highest."""

    all_sensors: bool
    sensor_id: str | None
    readings: int
    skipped: int
    average: Decimal | None
    lowest: float | None
    highest: float | None


def table_row(engine: str, window: Window, average: Average, computed_at: datetime) -> dict[str, Any]:
    """The row of COLUMNS."""
    length = int((window.end - window.start).total_seconds())
    place = {"window_start": window.start, "window_end": window.end, "window_seconds": length}
    return {"engine": engine, **place, **average._asdict(), "computed_at": computed_at}


def sentence(window: Window, averages: Iterable[Average]) -> str:
    """What the exercise prints, in its words: the average over all sensors, or that there is none."""
    length = spoken(int((window.end - window.start).total_seconds()))
    total = next((each for each in averages if each.all_sensors), None)
    if total is None or total.average is None:
        skipped = f" ({total.skipped} without a usable number)" if total else ""
        return f"No data in last {length}{skipped}"
    skipped = f", {total.skipped} without a usable number" if total.skipped else ""
    return f"Average temperature in last {length}: {total.average:.2f} ({total.readings} readings{skipped})"


def told(window: Window, averages: Sequence[Average]) -> str:
    """`sentence` after the time at which the window ended, with a part per sensor where there are several."""
    text = f"{window.end:%Y-%m-%d %H:%M:%S}Z  {sentence(window, averages)}"
    sensors = sorted((each for each in averages if not each.all_sensors), key=lambda each: each.sensor_id or "")
    if len(sensors) > 1:
        shown = (f"{each.sensor_id}: {'-' if each.average is None else f'{each.average:.2f}'}" for each in sensors)
        text += f"  [{', '.join(shown)}]"
    return text
