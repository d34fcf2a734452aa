"""The triage notebook, executed on a lake of a few rows: it explains, labels and counts what was put into it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from deltalake import DeltaTable
from nbclient import NotebookClient

from fixtures.lake import alert, change, write_lake
from fraudstream.config import RULES_FILE
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "triage_alerts.ipynb"
# Of the three before transaction 4: 300.00 together, mean 100.00; 900.00 is 9 times that and over 3 x 100.00.
FIGURES = {"mean": "100.00", "n": 3, "ratio": "9.00", "sum": "300.00", "threshold": "300.00"}
REASON = "900.00 is over 300.00, 3 times the mean 100.00 of the user's last 3 transactions"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    changes = [change(n, amount, at=n) for n, amount in enumerate(("100.00", "110.00", "90.00", "900.00"), start=1)]
    version = next(rule.version for rule in load_rules(RULES_FILE) if rule.name == "anomaly")
    found = [alert(changes[3], "anomaly", version, REASON, FIGURES)]
    return write_lake(tmp_path_factory.mktemp("lake"), changes, found)


@pytest.fixture(scope="module")
def outputs(lake: str) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert 'LAKE = "../run/demo/lake"' in parameters.source
    parameters.source = f'LAKE = "{lake}"\nALERT_ID, LABEL, NOTE = None, "confirmed", "stolen"'
    place = {"metadata": {"path": str(Path(NOTEBOOK).parent)}}
    executed = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()
    return [output for cell in executed.cells for output in cell.get("outputs", [])]


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_it_explains_labels_and_counts(outputs, lake):
    texts = "\n".join(output.get("text", "") for output in outputs)
    assert REASON in texts
    assert "match: the lake's changes give the same alert again" in texts
    assert "1 alert until 2026-03-01 12:00:04 UTC: 0 confirmed, 0 dismissed, 1 open" in texts
    assert "UTC: 1 confirmed, 0 dismissed, 0 open" in texts
    (row,) = DeltaTable(f"{lake}/labels").to_pyarrow_table().to_pylist()
    assert (row["transaction_id"], row["label"], row["note"]) == (4, "confirmed", "stolen")


def test_it_draws_two_plots_and_warns_of_nothing(outputs):
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
