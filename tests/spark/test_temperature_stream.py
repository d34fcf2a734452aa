"""The averages that the change stream keeps, from envelopes written by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fraudstream.config import load_pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.temperature.stream import averages_batch, instant_sql, readings_table
from fraudstream.temperature.windows import Windows
from spark.streams import records

pytestmark = pytest.mark.spark
TOPIC = "office.public.temperature_readings"
ROW = ("id", "sensor_id", "temperature", "recorded_at")


@dataclass(frozen=True)
class Message:
    offset: int
    value: bytes | None
    key: bytes | None = None
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def local(text: str) -> int:
    """Microseconds of a time of 2026-11-23 as Debezium sends a timestamp without zone."""
    return int(datetime.fromisoformat(f"2026-11-23T{text}").replace(tzinfo=UTC).timestamp() * 1_000_000)


def row(number: int, time: str | None, temperature: object, sensor: str = "sensor_1") -> dict[str, object]:
    return dict(zip(ROW, (number, sensor, temperature, time and local(time)), strict=True))


def change(offset: int, op: str, before=None, after=None, lsn: int | None = None) -> Message:
    source = {"ts_ms": 1_795_000_000_000, "lsn": offset if lsn is None else lsn, "snapshot": "false"}
    envelope = {"before": before, "after": after, "source": source, "op": op, "ts_ms": 1_795_000_000_000}
    return Message(offset, json.dumps(envelope).encode())


def insert(offset: int, *columns) -> Message:
    return change(offset, "c", after=row(*columns))


@pytest.fixture
def pipeline(tmp_path: Path):
    return replace(load_pipeline(), lake=str(tmp_path / "lake"), progress=str(tmp_path / "progress"))


@pytest.fixture
def run(spark, pipeline):
    """Runs batches of messages, each with its number, and returns the table."""

    def run(*batches: tuple[int, list[Message]], windows: Windows | None = None, reported: list | None = None,
            counted: list | None = None):  # fmt: skip
        kept = windows or Windows()
        report = None if reported is None else reported.extend
        function = averages_batch(spark, pipeline, readings_table(TOPIC, "UTC"), kept, "UTC", "one", report)
        for number, messages in batches:
            counts = function(records(spark, TOPIC, messages), number)
            if counted is not None:
                counted.append(counts)
        found = spark.read.format("delta").load(pipeline.table("temperature_averages"))
        return {
            (row.ended, "all" if row.all_sensors else row.sensor_id): (row.readings, row.skipped, row.average)
            for row in found.selectExpr("*", "date_format(window_end, 'HH:mm:ss') as ended").collect()
        }

    return run


def test_corrections_deletes_late_readings_and_a_truncate_renew_their_windows_once(run):
    first = [
        insert(1, 1, "10:01:00", 20.5),
        insert(2, 2, "10:09:59.999999", 21.25, "sensor_2"),
        insert(3, 3, "10:10:00", 19),  # the end of a window is the start of the next
        insert(4, 4, "10:05:00", None),
        insert(5, 5, None, 99.0),  # in no window
        insert(6, 6, "10:06:00", "NaN"),
        insert(7, 1, "10:01:00", 20.5),  # redelivered, with the LSN that it had
    ]
    first[-1] = change(7, "c", after=row(1, "10:01:00", 20.5), lsn=1)
    assert run((0, first)) == {
        ("10:10:00", "all"): (2, 2, Decimal("20.8750")),
        ("10:10:00", "sensor_1"): (1, 2, Decimal("20.5000")),
        ("10:10:00", "sensor_2"): (1, 0, Decimal("21.2500")),
        ("10:20:00", "all"): (1, 0, Decimal("19.0000")),
        ("10:20:00", "sensor_1"): (1, 0, Decimal("19.0000")),
    }
    second = [
        change(8, "u", row(1, "10:01:00", 20.5), row(1, "10:01:00", 22.5)),  # corrected
        change(9, "u", row(3, "10:10:00", 19.0), row(3, "09:55:00", 19.0)),  # moved to another window
        change(10, "d", row(2, "10:09:59.999999", 21.25, "sensor_2")),
        insert(11, 7, "08:00:00", 10.0),  # two hours late
    ]
    renewed = {
        ("10:10:00", "all"): (1, 2, Decimal("22.5000")),
        ("10:10:00", "sensor_1"): (1, 2, Decimal("22.5000")),
        ("10:00:00", "all"): (1, 0, Decimal("19.0000")),
        ("10:00:00", "sensor_1"): (1, 0, Decimal("19.0000")),
        ("08:10:00", "all"): (1, 0, Decimal("10.0000")),
        ("08:10:00", "sensor_1"): (1, 0, Decimal("10.0000")),
    }
    reported: list = []
    assert run((1, second), (1, second), reported=reported) == renewed
    assert {f"{window.end:%H:%M}" for window, _ in reported} == {"08:10", "10:00", "10:10"}
    truncated = [change(12, "t"), insert(13, 8, "11:02:00", 10.0)]
    assert run((2, truncated)) == {
        ("11:10:00", "all"): (1, 0, Decimal("10.0000")),
        ("11:10:00", "sensor_1"): (1, 0, Decimal("10.0000")),
    }


def test_overlapping_windows_and_the_unreadable(run, spark, pipeline):
    messages = [
        insert(1, 1, "10:04:59", 20.0),
        Message(2, b"{"),
        Message(3, None),
        insert(4, 2, "10:05:00", 40.00005),
        change(5, "c", after={**row(3, None, 1.0), "recorded_at": "yesterday"}),
        change(6, "c"),
    ]
    counted: list = []
    found = run((0, messages), windows=Windows(length=600, interval=300), counted=counted)
    assert [counts["unreadable"] for counts in counted] == [3]
    assert {key: value for key, value in found.items() if key[1] == "all"} == {
        ("10:05:00", "all"): (1, 0, Decimal("20.0000")),
        ("10:10:00", "all"): (2, 0, Decimal("30.0000")),  # 30.000025
        ("10:15:00", "all"): (1, 0, Decimal("40.0001")),  # half of the last digit is rounded up
    }
    aside = spark.read.format("delta").load(pipeline.table("temperature_readings_quarantine")).collect()
    assert {row.offset: row.reason for row in aside} == {
        2: "not JSON of at most 64 levels", 5: "a field has the wrong type", 6: "no row image",
    }  # fmt: skip


def test_an_update_without_its_before_image_is_an_error_that_names_the_setting(run):
    with pytest.raises(FraudstreamError, match="REPLICA IDENTITY FULL"):
        run((0, [change(1, "u", None, row(1, "10:01:00", 20.0))]))


@pytest.mark.parametrize(
    ("time", "offset"),
    [
        ("2026-03-29T01:59:59", 1),  # before the clock is put forward
        ("2026-03-29T02:30:00", 1),  # left out: 03:30 by the new clock
        ("2026-03-29T03:00:00", 2),
        ("2026-10-25T01:59:59", 2),
        ("2026-10-25T02:00:00", 1),  # twice: the later one
        ("2026-10-25T02:59:59.999999", 1),
        ("2026-10-25T03:00:00", 1),
        ("2026-10-24T02:30:00", 2),
    ],
)
def test_a_local_time_is_the_instant_that_postgresql_takes_it_for(spark, time, offset):
    naive = datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp()
    micros = round(naive * 1_000_000)
    found = spark.sql(f"select unix_micros({instant_sql(f'cast({micros} as long)', 'Europe/Vienna')})").collect()[0][0]
    assert found == micros - offset * 3_600_000_000
    # The offsets above are Vienna's: both readings of the time, of which the later one counts.
    both = {
        datetime.fromisoformat(time).replace(tzinfo=ZoneInfo("Europe/Vienna"), fold=fold).timestamp() for fold in (0, 1)
    }
    assert found == round(max(both) * 1_000_000)
