"""docs/comparison.md says what its recorded run says, and names commands that there are."""

from __future__ import annotations

import re

from fraudstream.compare.figures import gather
from fraudstream.compare.grid import small
from fraudstream.compare.measurement import read_csv
from fraudstream.stack.settings import REPOSITORY
from record_comparison import PAGE, RECORDED, page

TEXT = PAGE.read_text(encoding="utf-8")


def test_every_figure_of_the_page_is_the_recorded_runs():
    assert page() == TEXT


def test_the_recorded_run_is_the_small_grid_and_cdc_missed_nothing_in_it():
    found = gather(read_csv(RECORDED / "measurements.csv"))
    assert set(found["cell"]) == {cell.name for cell in small().cells}
    assert {paths["cdc"]["missed"].high for paths in [*found["cell"].values(), *found["outage"].values()]} == {0}


def test_every_job_and_target_that_it_names_is_there():
    jobs = re.findall(r"spark-submit\.sh (\w+)", TEXT)
    assert "average_temperature" in jobs
    for job in jobs:
        assert (REPOSITORY / "jobs" / f"{job}.py").exists(), job
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make (\w+)", TEXT):
        assert re.search(rf"^([a-z -]* )?{target}( [a-z -]*)?:", makefile, re.MULTILINE), target
