"""Rows of lake/transaction_changes as the columns that `fold` takes: history for whoever judges it again.

The table has no id of a row before an update: an update that changes the id is taken for one of the new row, as
PostgreSQL's connector never sends one (it sends a delete and an insert).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraudstream.arrow import cents_of, integers_of, micros_of
from fraudstream.cdc.shape import DAY_MS
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.corrections import Change
from fraudstream.rulebook.exact import NULL

COLUMNS = (
    "op", "id", "user_id", "amount", "card_type", "merchant_id", "created_us", "before_user_id", "snapshot", "moved",
    "entry", "topic", "partition", "offset", "lsn", "tx_id", "committed_at", "captured_at",
)  # fmt: skip
ENTERS = "entry IN ('judge', 'history')"
# What a rule with corrections takes besides; streams.changes says the same to Spark.
CORRECTS = (
    "(op IN ('u', 'd') AND entry = 'ignored' AND (moved OR snapshot IS DISTINCT FROM 'incremental') "
    "OR op = 'c' AND moved)"
)
_INTEGERS = ("partition", "offset", "id", "user_id", "merchant_id", "lsn", "tx_id")
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def batch_of(changes: pa.Table) -> Batch:
    """The rows as columns of a batch; those that do not enter are there with what they have, null as NULL."""
    columns: dict[str, Any] = {name: integers_of(changes[name]) for name in _INTEGERS}
    columns["cents"] = cents_of(changes["amount"])
    columns["created_at"] = integers_of(changes["created_us"])
    for name in ("committed", "captured"):
        micros = micros_of(changes[f"{name}_at"])
        columns[f"{name}_ms"] = np.where(micros == NULL, NULL, micros // 1000)
    columns["card_type"] = changes["card_type"].to_pandas().to_numpy(dtype=object)
    columns["card_type"][columns["card_type"] != columns["card_type"]] = None  # NaN, which pandas makes of null
    columns["judge"] = _texts(changes["entry"]) == "judge"
    return columns


def corrected_batch(changes: pa.Table) -> tuple[Batch, Ints]:
    """The rows for a rule with corrections, with the column `change`; and the place in `changes` of each. An update
    that moves a row to another user is two rows: it leaves the one and joins the other."""
    batch = batch_of(changes)
    before, judgeable = integers_of(changes["before_user_id"]), is_judgeable(batch)
    change = _change(changes, batch, before, judgeable)
    halved = (change == Change.LEAVE) & (_texts(changes["op"]) == "u")
    order = np.concatenate([np.arange(len(change)), np.flatnonzero(halved & judgeable)])
    order.sort(kind="stable")
    is_second = np.append(False, order[1:] == order[:-1])[: len(order)]
    rows = {name: column[order] for name, column in batch.items()}
    rows["change"] = np.where(is_second, Change.FOLLOW.value, change[order])
    rows["user_id"] = np.where(halved[order] & ~is_second, before[order], rows["user_id"])
    return rows, order


def is_judgeable(batch: Batch) -> Bools:
    """Whether the rows have an amount and a time from 1970 to one day after their capture, as for an insert."""
    created, captured = batch["created_at"], batch["captured_ms"]
    in_time = (created >= 0) & ((captured == NULL) | (created <= (captured + DAY_MS) * 1000))
    found: Bools = (batch["cents"] != NULL) & in_time
    return found


def _change(changes: pa.Table, batch: Batch, before: Ints, judgeable: Bools) -> Ints:
    op, moved = _texts(changes["op"]), changes["moved"].to_pandas().to_numpy(dtype=object).astype(bool)
    is_update = op == "u"
    enters = np.isin(_texts(changes["entry"]), ("judge", "history"))
    kinds = (
        (enters, Change.ENTER),
        ((batch["lsn"] == NULL) | (is_update & (before == NULL)), Change.BLIND),
        ((op == "d") & moved, Change.LEAVE),
        (op == "d", Change.DELETE),
        (is_update & (before != batch["user_id"]), Change.LEAVE),
        (~judgeable, Change.BLANK),
        (op == "c", Change.JOIN),
    )
    conditions, results = zip(*kinds, strict=True)
    found: Ints = np.select(conditions, [result.value for result in results], Change.REPLACE.value)
    return found


def _texts(column: Any) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = column.to_pandas().to_numpy(dtype=object)
    return found
