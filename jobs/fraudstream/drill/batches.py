"""A batch job that is killed, and run again."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from random import Random

import psycopg2
from deltalake import DeltaTable

from fraudstream.drill.fault import Fault, NotStruckError, Struck
from fraudstream.drill.means import ended
from fraudstream.drill.rig import Rig
from fraudstream.drill.signals import family, killed, signal_all
from fraudstream.errors import FraudstreamError
from fraudstream.temperature.averages import TABLE

_KILLS, _READINGS, _WINDOWS = 3, 50_000, 48
_WINDOW_S = 600
_RUN_S = 180.0
_ASKING = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'batch' AND datname = 'office_db'"
_OPTIONS = ("--engine", "jdbc", "--once", "--again", str(_WINDOWS), "--at")


def killed_batch(rig: Rig, random: Random) -> Struck:
    """The averages of temperatures by JDBC, killed while it asks and late readings come, and run again."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    _write_readings(rig, end, _READINGS)
    proofs = []
    for number in range(_KILLS):
        proofs.append(_killed_once(rig, end, random.uniform(0, 2), 1000 + number))
    job = ended(rig, "average_temperature", [*_OPTIONS, end.isoformat()], "batch.log", _RUN_S)
    if job.process.returncode:
        raise FraudstreamError(f"the batch job did not end well after its kills: {job.last_words()}")
    _require_equal(rig, end)
    return Struck(f"{'; '.join(proofs)}; run again, {_WINDOWS} windows equal PostgreSQL's")


def _killed_once(rig: Rig, end: datetime, seconds: float, late: int) -> str:
    """Kill the job some seconds after it has begun to ask the database, readings coming meanwhile."""
    job = rig.start_job("average_temperature", [*_OPTIONS, end.isoformat()], rig.home / "batch.log")
    try:
        rig.until(lambda: bool(rig.admin(_ASKING)[0][0]) or job.process.poll() is not None, "the job's questions")
        _write_readings(rig, end, late)
        time.sleep(seconds)
        if job.process.poll() is not None:
            raise NotStruckError(f"the batch job had ended before it was killed after {seconds:.1f} s")
        pids = family(job.process.pid)
        signal_all(pids, signal.SIGKILL)
        job.process.wait(10)
        if not killed(pids):
            raise NotStruckError("the batch job did not end")
    finally:
        job.stop()
    return f"pids {pids} killed {seconds:.1f} s after its first question"


def _write_readings(rig: Rig, end: datetime, count: int) -> None:
    """Readings of three sensors, spread over the windows."""
    span = _WINDOWS * _WINDOW_S
    with psycopg2.connect(rig.settings.dsn("app", "office_db")) as database, database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO public.temperature_readings (sensor_id, temperature, recorded_at)"
            " SELECT 'sensor_' || n %% 3, 18 + (n * 7919 %% 1200) / 100.0,"
            " %s - make_interval(secs => n * 613 %% %s + 1) FROM generate_series(1, %s) AS n",
            (end.replace(tzinfo=None), span - 1, count),
        )
    database.close()


def _require_equal(rig: Rig, end: datetime) -> None:
    """Raises FraudstreamError unless the table has each window once, as PostgreSQL averages it."""
    begin = (end - timedelta(seconds=_WINDOWS * _WINDOW_S)).replace(tzinfo=None)
    with psycopg2.connect(rig.settings.dsn("app", "office_db")) as database, database.cursor() as cursor:
        cursor.execute(
            "SELECT date_bin('10 minutes', recorded_at, '1970-01-01'), count(*), round(avg(temperature::numeric), 4)"
            " FROM public.temperature_readings WHERE recorded_at >= %s AND recorded_at < %s GROUP BY 1 ORDER BY 1",
            (begin, end.replace(tzinfo=None)),
        )
        expected = cursor.fetchall()
    database.close()
    rows = DeltaTable(rig.pipeline.table(TABLE)).to_pyarrow_table().to_pylist()
    found = sorted(
        (row["window_start"].replace(tzinfo=None), row["readings"], row["average"])
        for row in rows
        if row["engine"] == "jdbc" and row["all_sensors"]
    )
    if len(expected) != _WINDOWS or found != expected:
        wrong = [pair for pair in zip(found, expected, strict=False) if pair[0] != pair[1]][:2]
        raise FraudstreamError(f"{len(found)} windows of {len(expected)}, and these differ: {wrong}")


BATCHES = (
    Fault(
        name="killed_batch", rows=(28,), strike=killed_batch,
        must_hold="run again, the result equals PostgreSQL's own; each window stands there once",
    ),
)  # fmt: skip
