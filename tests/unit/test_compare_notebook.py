"""The comparison's notebook, executed on a recorded run of the small grid."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from fraudstream.stack.settings import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "compare_jdbc_cdc.ipynb"
RECORDED = Path(__file__).parents[1] / "fixtures" / "compare"


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


@pytest.fixture(scope="module")
def outputs() -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert parameters.source == 'RESULTS = "../run/compare"'
    parameters.source = f'RESULTS = "{RECORDED}"'
    executed = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    return [output for cell in executed.cells for output in cell.get("outputs", [])]


def test_it_draws_every_plot_again(outputs):
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 6


def test_it_tells_which_path_when_and_what_is_missed(outputs):
    texts = "\n".join(output.get("data", {}).get("text/plain", "") + output.get("text", "") for output in outputs)
    assert re.search(r"\d+ figures of \d+ cells", texts)
    assert "one row a minute" in texts
    assert "changes seen, median" in texts


def test_it_warns_of_nothing(outputs):
    assert [o.text for o in outputs if o.get("name") == "stderr" and "Warning" in o.text] == []
