"""The notebook runs from top to bottom on a small lake and finds what was put into it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from nbclient import NotebookClient

from fraudstream.stack.settings import REPOSITORY
from fraudstream.streams.tables import ALERTS, CHANGES, QUARANTINE, TRANSACTIONS

NOTEBOOK = REPOSITORY / "notebooks" / "inspect_alerts.ipynb"
START = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
_TYPES = {
    "string": pa.string(), "int": pa.int32(), "long": pa.int64(), "boolean": pa.bool_(), "binary": pa.binary(),
    "timestamp": pa.timestamp("us", "UTC"), "decimal(18,2)": pa.decimal128(18, 2),
    "decimal(18,4)": pa.decimal128(18, 4),
}  # fmt: skip


def _write(path: Path, columns: str, rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in (each.split() for each in columns.split(", "))])
    write_deltalake(path, pa.Table.from_pylist(rows, schema=schema), mode="append")


def _change(number: int) -> dict[str, Any]:
    """The n-th insert: of ten users in turn, 100.00 each, but 900.00 for every 83rd."""
    at = START + timedelta(milliseconds=250 * number)
    return {
        "op": "c", "id": number, "user_id": 1000 + number % 10, "card_type": "VISA", "merchant_id": 7,
        "amount": Decimal("900.00" if number % 83 == 82 else "100.00"), "created_at": at, "moved": False,
        "snapshot": "false", "entry": "judge", "topic": "t", "partition": 0, "offset": number, "lsn": 10 * number,
        "committed_at": at, "captured_at": at,
    }  # fmt: skip


def _alert(rule: str, change: dict[str, Any], n: int) -> dict[str, Any]:
    evidence = {"n": n, "sum": f"{100 * n}.00", "mean": "100.00", "ratio": "9"} if rule == "anomaly" else {"limit": 450}
    return {
        **{name: change[name] for name in ("user_id", "amount", "card_type", "merchant_id", "topic", "partition",
                                           "offset", "lsn", "committed_at", "captured_at")},
        "alert_id": hashlib.sha256(f"{rule}|v|{change['id']}".encode()).hexdigest(), "rule": rule, "rule_version": "v",
        "severity": "high", "transaction_id": change["id"], "reason": f"900.00 stands out for {rule}",
        "evidence": json.dumps(evidence), "event_time": change["created_at"], "alert_partition": 0,
        "alert_offset": change["id"], "detected_at": change["committed_at"] + timedelta(milliseconds=400),
        "payload": "{}",
    }  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 inserts, 6 of them alerts of two rules; one alerted row deleted since; alerts in two versions."""
    path = tmp_path_factory.mktemp("lake")
    changes = [_change(number) for number in range(500)]
    large = [change for change in changes if change["amount"] > 500]
    _write(path / "transaction_changes", CHANGES, changes)
    current = [{**change, "deleted": change["id"] == large[0]["id"]} for change in changes]
    _write(path / "transactions", TRANSACTIONS, current)
    for part in (large[:2], large[2:]):
        alerts = [_alert(rule, each, each["id"] // 10) for each in part for rule in ("anomaly", "high_amount")]
        _write(path / "alerts", ALERTS, alerts)
    bad = {"topic": "t", "partition": 0, "offset": 500, "reason": "not JSON", "value": b"\xff", "timestamp": START}
    _write(path / "quarantine", QUARANTINE, [bad])
    return path


@pytest.fixture(scope="module")
def executed(lake: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert 'LAKE = "../run/demo/lake"' in parameters.source
    parameters.source = parameters.source.replace("../run/demo/lake", str(lake))
    return NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()


def _texts(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_it_counts_what_is_in_the_lake(executed: nbformat.NotebookNode):
    texts = _texts(executed)
    assert "{'alerts': 12, 'changes': 500, 'transactions': 500}" in texts
    assert "not JSON" in texts


def test_it_explains_the_anomaly_with_the_longest_history(executed: nbformat.NotebookNode):
    # The 6th large amount is change 497: user 1007, with 49 rows before it.
    texts = _texts(executed)
    assert "anomaly (high), user 1007, transaction 497" in texts
    assert "900.00 stands out for anomaly" in texts


def test_it_opens_an_earlier_version_without_and_with_spark(executed: nbformat.NotebookNode):
    texts = _texts(executed)
    assert "version 0: 4 alerts, now 12" in texts
    assert "earlier: 4" in texts


def test_it_draws_three_plots_and_warns_of_nothing(executed: nbformat.NotebookNode):
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    warnings = [o.text for o in outputs if o.get("name") == "stderr" and "Warning" in o.text]
    assert warnings == []
