"""The messages of a data set, byte for byte as the connector in docker/connect writes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fraudstream.bench.dataset import CARD_TYPES, Columns, Form, Ints

# Every message of Debezium 3.7 carries these.
HEADERS: list[tuple[str, str | bytes | None]] = [
    ("__debezium.context.connectorLogicalName", b"dbserver1"),
    ("__debezium.context.taskId", b"0"),
    ("__debezium.context.connectorName", b"postgresql"),
    ("__debezium.context.runId", b"01a2076d-950a-77f8-b4e3-4c5e5cf085fe"),
]
ROWS_PER_TRANSACTION = 1000  # the exercise's producer
_FIRST_TRANSACTION, _FIRST_LSN, _LSN_STEP = 798, 26_687_408, 184
_COMMIT_US, _CAPTURE_US = 2_345, 31_789  # after created_at


def values(columns: Columns, places: Ints, form: Form) -> Iterator[str]:
    """The message value of each event at `places`."""
    cards = [CARD_TYPES[number] for number in columns.card[places].tolist()]
    rows = zip(
        (places + 1).tolist(), columns.user_id[places].tolist(), columns.cents[places].tolist(), cards,
        columns.merchant_id[places].tolist(), columns.created_at[places].tolist(), strict=True,
    )  # fmt: skip
    write = {"envelope": _envelope, "compact": _compact}[form]
    return (write(*row) for row in rows)


def _envelope(number: int, user: int, cents: int, card: str, merchant: int, at: int) -> str:
    lsn, committed, captured = _FIRST_LSN + number * _LSN_STEP, at + _COMMIT_US, at + _CAPTURE_US
    return (
        f'{{"before":null,"after":{{"id":{number},"user_id":{user},"amount":"{cents // 100}.{cents % 100:02d}",'
        f'"card_type":"{card}","merchant_id":{merchant},"created_at":{at}}},"source":{{"version":"3.7.0.Final",'
        f'"connector":"postgresql","name":"dbserver1","ts_ms":{committed // 1000},"snapshot":null,"db":"mydb",'
        f'"sequence":"[\\"{lsn - _LSN_STEP}\\",\\"{lsn}\\"]","ts_us":{committed},"ts_ns":{committed}000,'
        f'"schema":"public","table":"transactions","txId":{_transaction(number)},"lsn":{lsn},"xmin":null,'
        f'"origin":null,"origin_lsn":null}},"transaction":null,"op":"c","ts_ms":{captured // 1000},"ts_us":{captured},'
        f'"ts_ns":{captured}{number % 1000:03d}}}'
    )


def _compact(number: int, user: int, cents: int, card: str, merchant: int, at: int) -> str:
    """ExtractNewRecordState with add.fields=op,source.lsn,source.txId,source.ts_ms,source.snapshot."""
    return (
        f'{{"id":{number},"user_id":{user},"amount":"{cents // 100}.{cents % 100:02d}","card_type":"{card}",'
        f'"merchant_id":{merchant},"created_at":{at},"__deleted":"false","__op":"c",'
        f'"__source_lsn":{_FIRST_LSN + number * _LSN_STEP},"__source_txId":{_transaction(number)},'
        f'"__source_ts_ms":{(at + _COMMIT_US) // 1000},"__source_snapshot":null}}'
    )


def _transaction(number: int) -> int:
    return _FIRST_TRANSACTION + (number - 1) // ROWS_PER_TRANSACTION


def places_of(columns: Columns, partition: int) -> Ints:
    """Where the partition's events are, in their order."""
    return np.flatnonzero(columns.partition == partition)
