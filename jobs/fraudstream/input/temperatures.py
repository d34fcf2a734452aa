"""The exercise's temperature sensor: a row in office_db now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

import numpy as np
import psycopg2

from fraudstream.errors import FraudstreamError
from fraudstream.input.database import explained

SENSOR = "sensor_1"
_INSERT = (
    "INSERT INTO public.temperature_readings (sensor_id, temperature, recorded_at) VALUES (%s, %s, %s) RETURNING id"
)


def produce_temperatures(
    dsn: str,
    interval: float,
    rows: int | None,
    seed: int,
    stop: threading.Event,
    show: Callable[[str], None],
) -> int:
    """Write a reading every `interval` seconds, at once the first, until `rows` or `stop`. Returns how many.

    A reading is uniform in 18..30 with 2 digits (the same ones for the same seed); its time is local, without zone.
    """
    random = np.random.default_rng([seed, 5])
    began = time.monotonic()
    written = 0
    try:
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while rows is None or written < rows:
                if stop.wait(max(0.0, began + written * interval - time.monotonic())):
                    break
                reading = (SENSOR, round(float(random.uniform(18, 30)), 2), datetime.now())
                cursor.execute(_INSERT, reading)
                written += 1
                number = (cursor.fetchone() or (None,))[0]
                show(f"#{number}  {reading[0]}  {reading[1]:.2f}  {reading[2]:%Y-%m-%d %H:%M:%S}")
        connection.close()
    except psycopg2.Error as error:
        raise FraudstreamError(explained(error)) from None
    return written
