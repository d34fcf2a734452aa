"""Whether the mirror's writes keep up, and how they grow with the table: its own batch function on tables of any size.

The records come from Parquet instead of Kafka. The tables are filled by the same function, so they lie as it leaves
them."""

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
from fraudstream.bench.processes import program, python_module, require_success
from fraudstream.bench.tables import Table, whole
from fraudstream.check.resources import MIB
from fraudstream.errors import FraudstreamError

_PATIENCE_S = 4 * 3600.0
_SIZES = (100_000, 1_000_000, 3_000_000, 10_000_000)
# Files pile up where batches are small and old files are left alone; 50 small ones set the compaction off.
_MANY = Load(table_rows=1_000_000, batch_rows=6_000, batches=150, recent=True)
STEPS: Mapping[str, Load] = {
    **{f"{rows:,} rows": Load(table_rows=rows) for rows in _SIZES},
    f"{_SIZES[-1]:,} rows, recent ids": Load(table_rows=_SIZES[-1], recent=True),
    "many batches": _MANY,
    "many batches, autoCompact": replace(_MANY, compacted=True),
}


def measure(home: Path, load: Load) -> dict[str, Any]:
    """What `summary` tells of the batches, written in a Spark driver of their own, whose tables lie in `home` and are
    deleted afterwards. A driver that fails is one of the `failures`."""
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
        sizes = lake.file_sizes(lake.open_table(str(home / "lake"), "transactions"))
        stored = sum(file.stat().st_size for file in (home / "lake" / "transactions").rglob("*.parquet"))
        return summary(load, json.loads(result.read_text(encoding="utf-8")), sizes, stored)
    except FraudstreamError as error:
        return {**summary(load, _NOTHING, [], 0), "failures": [str(error)]}
    finally:
        shutil.rmtree(home, ignore_errors=True)


_NOTHING: Mapping[str, Any] = {
    "fill_s": 0.0, "seconds": [], "rows_copied": [], "compactions": 0, "expected": {}, "found": {},
}  # fmt: skip


def summary(load: Load, found: Mapping[str, Any], sizes: Sequence[int], stored: int) -> dict[str, Any]:
    """Of a step: table_rows, batch_rows, batches; seconds of a batch and rows that it copied unchanged, both as
    {median, min, max}; rows_per_s of the median batch; files and bytes of the table, bytes_on_disk with the files that
    it has left behind, compactions; fill_s; and failures in words, where the table is not what it must be."""
    seconds = spread(round(each, 2) for each in found["seconds"])
    return {
        "table_rows": load.table_rows, "batch_rows": load.batch_rows, "batches": load.batches, "seconds": seconds,
        "rows_per_s": round(load.batch_rows / median(found["seconds"]), 1) if seconds else None,
        "rows_copied": spread(found["rows_copied"]), "files": len(sizes), "bytes": sum(sizes), "bytes_on_disk": stored,
        "compactions": found["compactions"], "fill_s": round(found["fill_s"], 1),
        "failures": [
            f"{name} is {found['found'].get(name)!r} instead of {value:,}" for name, value in found["expected"].items()
            if found["found"].get(name) != value
        ],
    }  # fmt: skip


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The steps for a reader; None where there is no figure."""
    header = ["step", "rows before", "changes a batch", "batches", "s", "min", "max", "changes/s", "rows copied",
              "files", "MiB", "MiB on disk", "compactions"]  # fmt: skip
    caption = (
        "Seconds that the mirror takes for a batch of changes, of which 1 % are updates and 0.2 % deletes, spread over "
        "all rows but where recent ids are named; rows copied: those that a batch had to write again unchanged. On "
        "disk: with the files that the table has left behind."
    )
    none = {"median": None, "min": None, "max": None}
    rows = [
        [
            step, each["table_rows"], each["batch_rows"], each["batches"], *(each["seconds"] or none).values(),
            whole(each["rows_per_s"]), whole((each["rows_copied"] or none)["median"]), each["files"],
            *(round(each[name] / MIB, 1) for name in ("bytes", "bytes_on_disk")), each["compactions"],
        ]
        for step, each in found.items()
    ]  # fmt: skip
    return Table("Mirror", header, rows, caption)
