"""Whether the writes of mirror and archive keep up, and how they grow with the table: their own batch functions on
tables of any size.

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
    # Every 20 s; a tenth of 2,000 rows/s.
    **{
        f"{rows:,} alerts": Load(table_rows=rows, batch_rows=4_000, batches=28, upkeep_every=30, alerts=True)
        for rows in (1_000_000, _LARGEST)
    },
}


def measure(home: Path, load: Load) -> dict[str, Any]:
    """What `summary` tells of the batches, written in a Spark driver of their own, whose tables lie in `home` and are
    deleted afterwards. Raises FraudstreamError when the driver fails."""
    kill_in(home)  # of a run that was killed
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    result, log = home / "result.json", home.parent / f"{home.name}.log"
    module, written = ("archive_batches", "alerts") if load.alerts else ("mirror_batches", "transactions")
    command = python_module(f"fraudstream.bench.{module}", "--load", json.dumps(asdict(load)), "--result", str(result))
    own = {"FRAUDSTREAM_HOME": str(home), "STACK_PROFILE": "open"}
    try:
        with program("mirror", replace(command, environment={**command.environment, **own}), log, home) as child:
            require_success(child, _PATIENCE_S)
        sizes = [*lake.files(lake.open_table(str(home / "lake"), written)).values()]
        return summary(load, json.loads(result.read_text(encoding="utf-8")), sizes)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def summary(load: Load, found: Mapping[str, Any], sizes: Sequence[int]) -> dict[str, Any]:
    """Of a step: alerts (whether it is their archive), table_rows, batch_rows, batches; of a batch seconds, merge_s (of
    its MERGE), files_added and rows_copied (unchanged ones); upkeep_s of one upkeep of the tables, and piece_s of its
    longest piece, for which a batch waits; each as {median, min, max}; rows_per_s of the median batch with its share of
    the upkeep; files_per_hour that are added at the query's trigger; files and bytes of the table in the end; fill_s;
    and failures in words, where the table is not what it must be."""
    found = {
        **found, "upkeep_s": [sum(pieces) for pieces in found["pieces_s"]],
        "piece_s": [max(pieces) for pieces in found["pieces_s"]],
    }  # fmt: skip
    spreads = {name: spread(round(each, 2) for each in found[name]) for name in _SPREADS}
    usual = {name: median(found[name]) for name in ("seconds", "upkeep_s", "files_added")}
    batch_s = usual["seconds"] + usual["upkeep_s"] / load.upkeep_every
    per_hour = 3600 / max(found["trigger_s"], batch_s) * usual["files_added"]
    return {
        **{name: getattr(load, name) for name in ("alerts", "table_rows", "batch_rows", "batches")}, **spreads,
        "rows_per_s": round(load.batch_rows / batch_s, 1), "files_per_hour": round(per_hour),
        "files": len(sizes), "bytes": sum(sizes), "fill_s": round(found["fill_s"], 1),
        "failures": [
            f"{name} is {found['found'].get(name)!r} instead of {value:,}" for name, value in found["expected"].items()
            if found["found"].get(name) != value
        ],
    }  # fmt: skip


_SPREADS = ("seconds", "merge_s", "upkeep_s", "piece_s", "files_added", "rows_copied")


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The steps for a reader."""
    header = ["step", "rows before", "changes a batch", "batches", "s", "min", "max", "MERGE s", "upkeep s",
              "its longest piece s", "changes/s", "rows copied", "files a batch", "files an hour", "files",
              "MiB"]  # fmt: skip
    caption = (
        "Seconds that the mirror takes for a batch of changes, of which 1 % are updates and 0.2 % deletes, as in the "
        "input of rows among the last 50,000 and the batch's own, but where all ids are named; and the archive for "
        "alerts, of which 1 % are there already. MERGE: the part of a batch in which it runs. Upkeep: the project's "
        "own of all tables of the query with what the batches between two of them have left, of which a batch waits "
        "for one piece; changes a second count its share. Rows copied: those that a batch had to write again "
        "unchanged. Files an hour: added to the query's tables at its trigger in conf/. Files and MiB: of the current "
        "rows, after upkeep."
    )
    rows = [
        [
            step, each["table_rows"], each["batch_rows"], each["batches"], *each["seconds"].values(),
            (each["merge_s"] or {}).get("median"), each["upkeep_s"]["median"], each["piece_s"]["max"],
            whole(each["rows_per_s"]), whole(each["rows_copied"]["median"]),
            each["files_added"]["median"], each["files_per_hour"], each["files"], round(each["bytes"] / MIB, 1),
        ]
        for step, each in found.items()
    ]  # fmt: skip
    return Table("Mirror and archive", header, rows, caption)
