"""The earlier exercise's table of people: a million rows, the same ones for the same seed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import psycopg2
import pyarrow as pa
from pyarrow import csv

from fraudstream.cli import ProgressLine
from fraudstream.errors import FraudstreamError
from fraudstream.input.database import explained

_CHUNK = 50_000
_WOMEN = "Anna Cora Diana Elena Fatima Greta Hana Ines Julia Karin Lea Maria Nadia Olga Paula Rosa Sara Tania Vera Yara"
_MEN = "Adam Boris Carlos David Emil Felix Georg Hugo Ivan Jonas Karl Leo Max Noah Oliver Pavel Robert Simon Tim Victor"
_LAST_NAMES = """
Adams Bauer Carter Diaz Edwards Fischer Garcia Huber Ito Jensen Kim Lopez Mayer Novak Okafor Patel Quinn Rossi Silva
Taylor Umar Vogel Weber Xu Young Zimmer Ahmed Baker Cohen Dubois Evans Ferrari Gruber Hansen Ivanov Jones Kovacs Lang
Moreau Nguyen
"""
_DEPARTMENTS = """
Accounting API Audit Backend Billing Brand Compliance Design Frontend IT Legal Logistics Marketing Operations Payroll
Product Purchasing Quality Research Sales Security Support Analytics Science
"""
_WELL_PAID = ("Analytics", "Science")
_COUNTRIES = """
Albania Algeria Angola Argentina Armenia Australia Austria Bangladesh Belgium Bolivia Bosnia Brazil Bulgaria Cameroon
Canada Chile China Colombia Croatia Cuba Cyprus Denmark Ecuador Egypt Estonia Ethiopia Finland France Georgia Germany
Ghana Greece Hungary Iceland India Indonesia Iran Iraq Ireland Israel Italy Japan Jordan Kenya Kuwait Latvia Lebanon
Lithuania Luxembourg Malaysia Malta Mexico Moldova Mongolia Morocco Nepal Netherlands Nigeria Norway Oman Pakistan
Panama Paraguay Peru Philippines Poland Portugal Qatar Romania Rwanda Senegal Serbia Singapore Slovakia Slovenia
Somalia Spain Sudan Sweden Switzerland Syria Taiwan Tanzania Thailand Tunisia Turkey Uganda Ukraine Uruguay Uzbekistan
Venezuela Vietnam Yemen Zambia Zimbabwe
"""
_COPY = (
    "COPY public.people_big (id, first_name, last_name, gender, department, salary, country) FROM STDIN (FORMAT csv)"
)


def people(rows: int, seed: int) -> Iterator[pa.Table]:
    """The columns of people_big in chunks, ids from 1. A shorter table is the beginning of a longer one."""
    women = _WOMEN.split()
    first_names = pa.array([*women, *_MEN.split()])
    last_names, departments, countries = (pa.array(t.split()) for t in (_LAST_NAMES, _DEPARTMENTS, _COUNTRIES))
    is_well_paid = np.isin(departments.to_pylist(), _WELL_PAID)
    for number, first in enumerate(range(0, rows, _CHUNK)):
        random = np.random.default_rng([seed, 6, number])
        name, last_name, department, country = (
            random.integers(0, len(names), _CHUNK) for names in (first_names, last_names, departments, countries)
        )
        columns = {
            "id": np.arange(first + 1, first + 1 + _CHUNK),
            "first_name": first_names.take(pa.array(name)),
            "last_name": last_names.take(pa.array(last_name)),
            "gender": np.where(name < len(women), "Female", "Male"),
            "department": departments.take(pa.array(department)),
            "salary": random.integers(50_000, 120_001, _CHUNK) + 40_000 * is_well_paid[department],
            "country": countries.take(pa.array(country)),
        }
        yield pa.table(columns).slice(0, rows - first)


def load_people(dsn: str, rows: int, seed: int, progress: ProgressLine) -> None:
    """Replace the rows of people_big in one transaction: killed on the way, it leaves the table as it was.

    Raises FraudstreamError when the database refuses it.
    """
    try:
        with closing(psycopg2.connect(dsn)) as connection:
            with connection, connection.cursor() as cursor:
                cursor.execute("TRUNCATE public.people_big")
                done = 0
                for chunk in people(rows, seed):
                    text = io.BytesIO()
                    csv.write_csv(chunk, text, csv.WriteOptions(include_header=False))
                    text.seek(0)
                    cursor.copy_expert(_COPY, text)
                    done += len(chunk)
                    progress.show(lambda: f"{done:,} of {rows:,} people")  # noqa: B023
                cursor.execute("SELECT setval('public.people_big_id_seq', %s)", [rows])
            with connection, connection.cursor() as cursor:
                cursor.execute("ANALYZE public.people_big")
    except psycopg2.Error as error:
        raise FraudstreamError(explained(error)) from None
