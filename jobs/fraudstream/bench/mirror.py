"""Whether the mirror's writes keep up, and how they grow with the table: its own batch function on tables of any size.

The records come from Parquet instead of Kafka. The tables are filled by the same function and looked after, so
they lie as the project leaves them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from fraudstream import lake
from fraudstream.bench.figures import spread
from fraudstream.bench.mirror_plan import Load
from fraudstream.bench.processes import kill_in, program, python_module, require_success
from fraudstream.bench.tables import Table, whole
from fraudstream.check.resources import MIB

_PATIENCE_S = 4 * 3600.0
_SIZES = (100_000, 1_000_000, 3_000_000, 10_000_000)
_LARGEST = _SIZES[-1]
STEPS: Mapping[str, Load] = {
    **{f"{rows:,} rows": Load(table_rows=rows) for rows in _SIZES},
    f"{_LARGEST:,} rows, large batches": Load(table_rows=_LARGEST, batch_rows=250_000, batches=6, upkeep_every=8),
    f"{_LARGEST:,} rows, changes of all ids": Load(table_rows=_LARGEST, spread=True),
    "many small batches": Load(table_rows=1_000_000, batch_rows=6_000, batches=158),
}


def measure(home: Path, load: Load) -> dict[str, Any]:
    """What `summary` tells of the batches, written in a Spark driver of their own, whose tables lie in `home` and are
    deleted afterwards. Raises FraudstreamError when the driver fails."""
    kill_in(home)  # of a run that was killed
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    result, log = home / "result.json", home.parent / f"{home.name}.log"
    command = python_module(
        "fraudstream.bench.mirror_batches", "--load", json.dumps(asdict(load)), "--result", str(result)
    )
    own = {"FRAUDSTREAM_HOME": str(home), "STACK_PROFILE": "open"}
    try:
        with program("mirror", replace(command, environment={**command.environment, **own}), log, home) as child:
            require_success(child, _PATIENCE_S)
        sizes = [*lake.files(lake.open_table(str(home / "lake"), "transactions")).values()]
        return summary(load, json.loads(result.read_text(encoding="utf-8")), sizes)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def summary(load: Load, found: Mapping[str, Any], sizes: Sequence[int]) -> dict[str, Any]:
    """Of a step: table_rows, batch_rows, batches; of a batch seconds, files_added and rows_copied (unchanged ones), and
    upkeep_s of one upkeep of the tables, each as {median, min, max}; rows_per_s of the median batch with its share of
    the upkeep; files_per_hour that are added at the mirror's trigger; files and bytes of the table in the end; fill_s;
    and failures in words, where the table is not what it must be."""
    spreads = {name: spread(round(each, 2) for each in found[name]) for name in _SPREADS}
    usual = {name: median(found[name]) for name in _SPREADS}
    batch_s = usual["seconds"] + usual["upkeep_s"] / load.upkeep_every
    per_hour = 3600 / max(found["trigger_s"], batch_s) * usual["files_added"]
    return {
        "table_rows": load.table_rows, "batch_rows": load.batch_rows, "batches": load.batches, **spreads,
        "rows_per_s": round(load.batch_rows / batch_s, 1), "files_per_hour": round(per_hour),
        "files": len(sizes), "bytes": sum(sizes), "fill_s": round(found["fill_s"], 1),
        "failures": [
            f"{name} is {found['found'].get(name)!r} instead of {value:,}" for name, value in found["expected"].items()
            if found["found"].get(name) != value
        ],
    }  # fmt: skip


_SPREADS = ("seconds", "upkeep_s", "files_added", "rows_copied")


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The steps for a reader."""
    header = ["step", "rows before", "changes a batch", "batches", "s", "min", "max", "upkeep s", "changes/s",
              "rows copied", "files a batch", "files an hour", "files", "MiB"]  # fmt: skip
    caption = (
        "Seconds that the mirror takes for a batch of changes, of which 1 % are updates and 0.2 % deletes, as in the "
        "input of rows among the last 50,000 and the batch's own, but where all ids are named. Upkeep: the project's "
        "own of all three tables, between batches, with what 20 of them have left (8 of the large ones); changes a "
        "second count its share. Rows copied: those that a batch had to write again unchanged. Files an hour: added to "
        "all three tables at the trigger of 30 s. Files and MiB: of the current rows, after upkeep."
    )
    rows = [
        [
            step, each["table_rows"], each["batch_rows"], each["batches"], *each["seconds"].values(),
            each["upkeep_s"]["median"], whole(each["rows_per_s"]), whole(each["rows_copied"]["median"]),
            each["files_added"]["median"], each["files_per_hour"], each["files"], round(each["bytes"] / MIB, 1),
        ]
        for step, each in found.items()
    ]  # fmt: skip
    return Table("Mirror", header, rows, caption)
