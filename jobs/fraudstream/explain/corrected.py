"""What a rule with corrections knew: the changes of the alert's user, updates and deletes among them, folded as on the
stream. lake/transaction_changes has no id of a row before an update: an update that changes the id is taken for one of
the new row, as PostgreSQL's connector never sends one (it sends a delete and an insert)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from fraudstream import lake
from fraudstream.cdc.shape import DAY_MS
from fraudstream.explain.history import batch_of, missing, of_partition
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.corrections import Change
from fraudstream.rulebook.fold import fold

_IS_CHANGE = """
entry IN ('judge', 'history')
OR (op IN ('u', 'd') AND (moved OR snapshot IS DISTINCT FROM 'incremental'))
OR (op = 'c' AND moved)"""


@dataclass(frozen=True)
class CorrectedHistory:
    """The changes of a user up to the newest revision of the alert, as columns of a batch, and their operations."""

    batch: Batch
    operations: list[str]
    messages: list[dict[str, Any]]  # what the rule says of the alert's transaction, in order

    def standing(self, offset: int) -> dict[str, Any] | None:
        """The payload that the row of lake/alerts shows: of the change at `offset`."""
        found = [each for each in self.messages if each["offset"] == offset and each["status"] != "withdrawn"]
        return found[-1] if found else None


def corrected_history(folder: str, alert: Mapping[str, Any], rule: Rule) -> CorrectedHistory:
    """What `rule` knew at the alert's newest revision. Raises FraudstreamError if its change is not in the lake."""
    rule = replace(rule, corrections="on")
    last = _last_offset(alert)
    user = lake.literal(alert["user_id"])
    wanted = f'{of_partition(alert)} AND "offset" <= {last} AND ({_IS_CHANGE})'
    wanted += f" AND (user_id = {user} OR before_user_id = {user})"
    changes = f'SELECT * FROM transaction_changes WHERE {wanted} ORDER BY "offset"'
    found = lake.query(folder, "transaction_changes", changes)
    if not len(found) or found["offset"][-1].as_py() != last:
        raise missing(folder, {**alert, "offset": last})
    if any(row["offset"] == alert["offset"] and row["entry"] == "history" for row in found.to_pylist()):
        rule = replace(rule, snapshot="judge")
    rows = [half for row in found.to_pylist() for half in _halves(row) if half["user_id"] == alert["user_id"]]
    columns = [*found.schema, pa.field("change", pa.int64())]
    table = pa.Table.from_pylist(rows, schema=pa.schema(columns))
    batch = {**batch_of(table), "change": np.array([row["change"] for row in rows], dtype=np.int64)}
    messages = fold(rule, None, batch, str(alert["topic"])).alerts
    own = [each for each in messages if each["transaction_id"] == alert["transaction_id"]]
    return CorrectedHistory(batch, [row["op"] for row in rows], own)


def _last_offset(alert: Mapping[str, Any]) -> int:
    """The offset of the alert's newest revision; a withdrawal's stands in `changed_by` alone."""
    change = str(alert.get("changed_by") or "").rpartition("-")[2]
    return max(int(alert["offset"]), int(change)) if change else int(alert["offset"])


def _halves(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The change as the rows of a batch (streams.changes does the same on the stream)."""
    op, before = row["op"], row["before_user_id"]
    if row["entry"] in ("judge", "history"):
        return [{**row, "change": Change.ENTER}]
    if row["lsn"] is None or (op == "u" and before is None):
        return [{**row, "change": Change.BLIND}]
    if op == "d":
        return [{**row, "change": Change.LEAVE if row["moved"] else Change.DELETE}]
    if op == "u" and before != row["user_id"]:
        leaving = {**row, "user_id": before, "change": Change.LEAVE}
        return [leaving, {**row, "change": Change.FOLLOW}] if _is_judgeable(row) else [leaving]
    if not _is_judgeable(row):
        return [{**row, "change": Change.BLANK}]
    return [{**row, "change": Change.JOIN if op == "c" else Change.REPLACE}]


def _is_judgeable(row: Mapping[str, Any]) -> bool:
    """Whether the row has an amount and a time from 1970 to one day after its capture, as for an insert."""
    if row["amount"] is None or row["created_us"] is None or row["created_us"] < 0:
        return False
    if row["captured_at"] is None:
        return True
    captured_ms = round(row["captured_at"].timestamp() * 1000)
    return bool(row["created_us"] <= (captured_ms + DAY_MS) * 1000)
