"""An alert by its id, or by the beginning of it."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any

from fraudstream import lake
from fraudstream.errors import FraudstreamError

_ID = re.compile(r"[0-9a-f]{1,64}")
_NAMED = 5  # alerts that an error names
_TOLD = ["alert_id", "rule", "user_id", "transaction_id"]


def find_alert(folder: str, wanted: str) -> dict[str, Any]:
    """The row of lake/alerts whose alert_id is or begins with `wanted`. Raises FraudstreamError naming the matches if
    there are several, and the nearest ids if there is none."""
    prefix = wanted.strip().lower()
    if not _ID.fullmatch(prefix):
        raise FraudstreamError(
            f"{wanted!r} is no alert id; give the 64 hex digits of one, or its first ones. "
            "`./spark-submit.sh triage_alerts alerts` lists alerts."
        )
    is_wanted = f"alert_id = '{prefix}'" if len(prefix) == 64 else f"starts_with(alert_id, '{prefix}')"
    found = lake.query(folder, "alerts", f"SELECT * FROM alerts WHERE {is_wanted}").to_pylist()
    if len(found) == 1:
        return dict(found[0])
    if found:
        raise FraudstreamError(f"{len(found):,} alerts begin with {prefix}; give more digits: {_named(found, '')}")
    every = lake.query(folder, "alerts", f"SELECT {', '.join(_TOLD)} FROM alerts").to_pylist()
    if not every:
        raise FraudstreamError(f"{folder}/alerts has no alerts yet.")
    raise FraudstreamError(f"{folder}/alerts has no alert {prefix}; the nearest are {_named(every, prefix)}")


def _named(rows: list[dict[str, Any]], prefix: str) -> str:
    """The alerts whose ids have most digits in common with the beginning, as many as fit into a sentence."""
    rows.sort(key=lambda row: (-_common(row["alert_id"], prefix), row["alert_id"]))
    told = (
        f"{row['alert_id'][: max(12, len(prefix))]} ({row['rule']}, user {row['user_id']}, "
        f"transaction {row['transaction_id']})"
        for row in rows[:_NAMED]
    )
    return ", ".join(told) + ("." if len(rows) <= _NAMED else ", ...")


def _common(left: str, right: str) -> int:
    """Number of characters that both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
