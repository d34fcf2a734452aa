"""New rows of the transactions table: those with an id above the position that was reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fraudstream.masking import Mask, masked_ids
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.payload import NULL

TABLE = "public.transactions"
_DAY_US = 86_400_000_000
_COLUMNS = ("id", "user_id", "cents", "card_type", "merchant_id", "created_at")
_UNKNOWN = ("lsn", "tx_id", "committed_ms", "captured_ms")  # only the change stream tells

Row = tuple[int, int, int | None, str | None, int | None, int | None, int]
Ask = Callable[[str], Sequence[Sequence[Any]]]
"""Runs SQL and returns its rows; raises FraudstreamError when the database does not answer."""


class Entering(NamedTuple):
    """The rows that enter a history, as columns for `fold`, and how many a rule cannot weigh."""

    batch: Batch
    unjudged: int


def new_rows_sql(position: int, overlap: int, limit: int) -> str:
    """The rows after `position`, and the `overlap` ids up to it anew, by id. `created_at` counts as UTC, as in the
    change stream; the last column is the database's clock, in microseconds."""
    return f"""
SELECT id, user_id, CASE WHEN amount <> 'NaN' THEN (amount * 100)::bigint END AS cents, card_type, merchant_id,
    CASE WHEN isfinite(created_at) THEN (extract(epoch FROM created_at) * 1000000)::bigint END AS created_at,
    (extract(epoch FROM now()) * 1000000)::bigint AS asked_at
FROM {TABLE} WHERE id > {position - overlap} ORDER BY id LIMIT {limit + overlap}
""".strip()


def entering(rows: Sequence[Row], read: int, joining: int, mask: Mask | None = None) -> Entering:
    """`rows`, which follow `read` earlier ones, users masked by `mask`. Those up to the id `joining` only join the
    histories."""
    judgeable = [row for row in rows if _is_judgeable(row)]
    columns = dict(zip(_COLUMNS, zip(*(row[:6] for row in judgeable), strict=True), strict=False)) if judgeable else {}
    numbers = {name: _integers(columns.get(name, ())) for name in _COLUMNS if name != "card_type"}
    if mask:
        numbers["user_id"] = masked_ids(numbers["user_id"], mask)
    count = len(judgeable)
    batch = {
        **numbers,
        "card_type": np.array(columns.get("card_type", ()), dtype=object),
        "judge": numbers["id"] > joining,
        # The order in which rows were found is what offsets are for the stream.
        "partition": np.zeros(count, dtype=np.int64),
        "offset": np.arange(read, read + count),
        **{name: np.full(count, NULL) for name in _UNKNOWN},
    }
    return Entering(batch, len(rows) - count)


def _is_judgeable(row: Row) -> bool:
    _, _, cents, _, _, created_at, asked_at = row
    return cents is not None and created_at is not None and 0 <= created_at <= asked_at + _DAY_US


def _integers(values: Sequence[int | None]) -> np.ndarray:
    return np.array([NULL if value is None else value for value in values], dtype=np.int64)
