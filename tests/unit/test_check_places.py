"""The lake and the progress files as the check reads them, without Spark."""

from __future__ import annotations

import json
from decimal import Decimal

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from fraudstream.check import places
from fraudstream.check.topic import Record
from fraudstream.check.verify import alert_messages

YEAR_2999 = 32_472_144_000_000_000


@pytest.fixture
def mirror(tmp_path):
    columns = {
        "id": pa.array([1, 2, 3], pa.int64()),
        "user_id": pa.array([7, 7, 8], pa.int64()),
        "amount": pa.array([Decimal("12.34"), Decimal("1.00"), None], pa.decimal128(18, 2)),
        "card_type": ["VISA", "AMEX", None],
        "merchant_id": pa.array([17, None, None], pa.int64()),
        "created_us": pa.array([YEAR_2999, 5, -(2**60)], pa.int64()),
        "created_at": pa.array([YEAR_2999, 5, None], pa.timestamp("us", "UTC")),
        "deleted": [False, True, False],
    }
    write_deltalake(tmp_path / "transactions", pa.table(columns))
    return str(tmp_path / "transactions")


def test_current_rows_are_those_not_deleted_with_exact_cents_and_microseconds(mirror):
    assert list(places.current_rows(mirror)) == [
        (1, 7, 1234, "VISA", 17, YEAR_2999, YEAR_2999),
        (3, 8, None, None, None, -(2**60), None),
    ]


def test_a_table_that_was_never_written_has_no_rows(tmp_path):
    path = str(tmp_path / "none")
    assert list(places.current_rows(path)) == places.archived_alerts(path) == places.quarantined(path) == []


def test_messages_that_are_no_alerts_are_counted_apart():
    alert = {"alert_id": "a", "rule": "velocity", "transaction_id": 1, "partition": 0, "offset": 2}
    values = [json.dumps(alert).encode(), b"{}", b"no JSON", None, b"[]", json.dumps({**alert, "rule": []}).encode()]
    found, others = alert_messages(Record(0, n, b"a", value, (), 5) for n, value in enumerate(values))
    assert others == 5
    assert [message.position for message in found["velocity"]] == [(1, 0, 2)]
