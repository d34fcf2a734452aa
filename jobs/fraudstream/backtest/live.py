"""What a backtest finds, compared with the alerts that are in the lake."""

from __future__ import annotations

from typing import Any

import numpy as np

from fraudstream import lake
from fraudstream.backtest.figures import Bools, Period
from fraudstream.backtest.source import History
from fraudstream.backtest.truth import FRAUD, HONEST

_SHOWN = 5


def live_alerts(folder: str, rule: str) -> dict[int, str]:
    """The rule's alerts in the lake that are not withdrawn: transaction -> rule version. Empty without a table."""
    columns = lake.columns(folder, "alerts")
    if not columns:
        return {}
    stands = "WHERE (status IS DISTINCT FROM 'withdrawn') AND" if "status" in columns else "WHERE"
    found = lake.query(
        folder, "alerts", f"SELECT transaction_id, rule_version FROM alerts {stands} rule = {lake.literal(rule)}"
    )
    return dict(zip(found["transaction_id"].to_pylist(), found["rule_version"].to_pylist(), strict=True))


def compared(history: History, period: Period, alerted: Bools, live: dict[int, str]) -> dict[str, Any]:
    """The transactions of the period that alert in both, only in the backtest and only in the lake, with what is known
    of them."""
    places = history.places(live)
    at = np.searchsorted(period.place, places)
    at = np.minimum(at, max(0, len(period.place) - 1))
    inside = (places >= 0) & (period.place[at] == places) if len(period.place) else np.zeros(len(places), dtype=bool)
    is_live = np.zeros(len(period.place), dtype=bool)
    is_live[at[inside]] = True
    versions = [version for version, counts in zip(live.values(), inside.tolist(), strict=True) if counts]
    return {
        "versions": {version: versions.count(version) for version in sorted(set(versions))},
        "both": _counted(history, period, alerted & is_live),
        "only_backtest": _counted(history, period, alerted & ~is_live),
        "only_live": _counted(history, period, ~alerted & is_live),
    }


def _counted(history: History, period: Period, chosen: Bools) -> dict[str, Any]:
    ids = history.batch["id"][period.place[chosen]]
    fraud, honest = (int((chosen & period.is_state(state)).sum()) for state in (FRAUD, HONEST))
    return {"alerts": len(ids), "fraud": fraud, "honest": honest, "transactions": ids[:_SHOWN].tolist()}
