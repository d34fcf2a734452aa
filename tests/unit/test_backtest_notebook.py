"""The backtest's notebook, executed on a small world."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import simulate_world
from fraudstream.config import RULES_FILE
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "backtest.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[nbformat.NotebookNode]:
    world = tmp_path_factory.mktemp("world")
    size = ["--customers", "120", "--terminals", "400", "--days", "60", "--radius", "20", "--seed", "9"]
    simulate_world.main([*size, "--home", str(world), "--progress", "none"])
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert "../run/world/" in parameters.source
    parameters.source = parameters.source.replace("../run/world", str(world))
    place = {"metadata": {"path": str(Path(NOTEBOOK).parent)}}
    executed = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()
    return [output for cell in executed.cells for output in cell.get("outputs", [])]


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_it_tries_every_rule_and_the_sweep(outputs):
    texts = "\n".join(output.get("data", {}).get("text/plain", "") + output.get("text", "") for output in outputs)
    assert "transactions from 2018-04-01 to 2018-05-31" in texts
    for rule in load_rules(RULES_FILE):
        assert rule.name in texts
    assert "all together" in texts
    assert "anomaly factor=2 floor=100" in texts
    assert "false alarm" in texts
    assert "does not see: compromised_terminal" in texts


def test_it_draws_three_plots_and_warns_of_nothing(outputs):
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
