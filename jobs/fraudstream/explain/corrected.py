"""What a rule with corrections knew: the changes of the alert's user, updates and deletes among them, folded as on the
stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fraudstream import lake
from fraudstream.changes import CORRECTS, ENTERS, corrected_batch
from fraudstream.explain.history import missing, of_partition
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.corrections import Change
from fraudstream.rulebook.fold import fold


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
    wanted = f'{of_partition(alert)} AND "offset" <= {last} AND ({ENTERS} OR {CORRECTS})'
    wanted += f" AND (user_id = {user} OR before_user_id = {user})"
    changes = f'SELECT * FROM transaction_changes WHERE {wanted} ORDER BY "offset"'
    found = lake.query(folder, "transaction_changes", changes)
    if not len(found) or found["offset"][-1].as_py() != last:
        raise missing(folder, {**alert, "offset": last})
    batch, places = corrected_batch(found)
    own = batch["user_id"] == alert["user_id"]
    batch, places = {name: column[own] for name, column in batch.items()}, places[own]
    if np.any(~batch["judge"] & (batch["offset"] == alert["offset"]) & (batch["change"] == Change.ENTER)):
        rule = replace(rule, snapshot="judge")
    messages = fold(rule, None, batch, str(alert["topic"])).alerts
    own_messages = [each for each in messages if each["transaction_id"] == alert["transaction_id"]]
    operations = found["op"].to_pylist()
    return CorrectedHistory(batch, [operations[place] for place in places.tolist()], own_messages)


def _last_offset(alert: Mapping[str, Any]) -> int:
    """The offset of the alert's newest revision; a withdrawal's stands in `changed_by` alone."""
    change = str(alert.get("changed_by") or "").rpartition("-")[2]
    return max(int(alert["offset"]), int(change)) if change else int(alert["offset"])
