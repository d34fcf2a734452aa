"""One cell: a table, its writer, and the readers of every path side by side; what they saw and what it cost."""

from __future__ import annotations

import csv
import gzip
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from fraudstream.compare import capture, database
from fraudstream.compare.account import KINDS, Account, Change, account, changes_of
from fraudstream.compare.grid import Cell
from fraudstream.compare.measurement import Measurement, measured
from fraudstream.compare.readers import PATHS, Reader, of_kind, running
from fraudstream.compare.usage import spent, used
from fraudstream.compare.workload import plan
from fraudstream.compare.writing import WorkloadWriter
from fraudstream.input.ledger import Ledger, read_ledger
from fraudstream.stack import kafka
from fraudstream.stack.processes import pid_of
from fraudstream.stack.settings import StackSettings

_GRACE_S = 1.0  # a change is late when it is seen later than the poll interval and this after its commit
_SAMPLE_S = 2.0
_WHERE = {"poll_id": "id >", "poll_updated": "updated_at >"}


@dataclass
class Window:
    """What was read off at the start and at the end of a cell's window."""

    began: float
    wal: int
    groups: dict[str, list[int]]
    cpu: dict[str, float]
    statements: bool
    write_s: float = 0.0
    seconds: float = 0.0
    cost: dict[str, float] = field(default_factory=dict)
    wal_bytes: int = 0
    retained_peak: int = 0


def run_cell(settings: StackSettings, cell: Cell, folder: Path, seed: int = 0) -> tuple[list[Measurement], list[str]]:
    """The cell's measurements, and what was not equal that must be. Its table and topic are gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    table = table_of(cell.key)
    ledger_file = folder / "ledger.jsonl"
    ledger_file.unlink(missing_ok=True)
    database.create_table(settings, table, cell.table_rows, cell.identity)
    capture.create_topic(settings, capture.topic_of(table))
    ledger = Ledger(ledger_file)
    writer = WorkloadWriter(settings.dsn("app"), table, cell.table_rows, ledger)
    try:
        capture.set_pace(settings, cell.pace)
        database.write_marker(settings, table)
        options = reader_options(settings, table, cell.interval_s)
        with running(PATHS, cell.consumers, folder, options) as readers:
            window = _open(settings, readers)
            _write(settings, cell, writer, window, seed)
            _finish(settings, cell, readers, window)
            changes = changes_of(read_ledger(ledger_file))
            return _result(settings, cell, table, readers, window, changes, folder)
    finally:
        writer.close()
        ledger.close()
        database.drop_table(settings, table)
        kafka.delete_topic(settings, capture.topic_of(table))


def table_of(key: str) -> str:
    """The name of a cell's table."""
    return "compare_cell_" + re.sub(r"\W+", "_", key.lower())


def reader_options(settings: StackSettings, table: str, interval_s: float) -> Any:
    """Options of a reader, by its kind and number."""
    return lambda kind, number: {
        "table": table, "interval_s": interval_s, "dsn": settings.dsn("batch"), "bootstrap": settings.bootstrap,
        "topic": capture.topic_of(table), "group": f"{table}-{number}",
    }  # fmt: skip


def _open(settings: StackSettings, readers: Sequence[Reader]) -> Window:
    groups: dict[str, list[int]] = {
        **database.backends(settings),
        **{kind: [reader.ready["backend"] for reader in of_kind(readers, kind)] for kind in _WHERE},
        **{name: [pid] for name in ("kafka", "connect") if (pid := pid_of(settings, name))},
    }
    has_statements = database.reset_statements(settings)
    began = time.time() + 0.3
    for reader in readers:
        reader.command("start", began)
    time.sleep(max(0.0, began - time.time()))
    return Window(began, database.wal_position(settings), groups, used(groups), has_statements)


def _write(settings: StackSettings, cell: Cell, writer: WorkloadWriter, window: Window, seed: int) -> None:
    """Carry out the plan, and whatever of the cell's time is left after it."""
    next_sample = time.monotonic()

    def sample() -> None:
        nonlocal next_sample
        if time.monotonic() >= next_sample:
            window.retained_peak = max(window.retained_peak, database.retained_bytes(settings))
            next_sample = time.monotonic() + _SAMPLE_S

    window.write_s = writer.run(plan(cell.rate, cell.seconds, cell.table_rows, seed), sample)
    time.sleep(max(0.0, window.began + cell.seconds - time.time()))


def _finish(settings: StackSettings, cell: Cell, readers: Sequence[Reader], window: Window) -> None:
    """Let every path read what was committed, each by its own schedule, and read off what it took."""
    wal = database.wal_position(settings)
    intervals = math.ceil((time.time() - window.began) / cell.interval_s)
    pollers = [reader for reader in readers if reader.kind != "cdc"]
    consumers = of_kind(readers, "cdc")
    for reader in pollers:
        reader.command("finish", window.began + intervals * cell.interval_s - 0.001)
    marker = database.write_marker(settings, table_of(cell.key))
    for reader in consumers:
        reader.command("finish", marker)
    for reader in [*pollers, *consumers]:
        reader.await_end(cell.interval_s + 120)
    window.groups |= {"writer": database.backends(settings)["writer"]}  # its sessions are opened as it needs them
    window.cost = spent(window.cpu, used(window.groups))
    window.seconds = time.time() - window.began
    window.wal_bytes = wal - window.wal


def _result(
    settings: StackSettings, cell: Cell, table: str, readers: Sequence[Reader], window: Window,
    changes: Sequence[Change], folder: Path,
) -> tuple[list[Measurement], list[str]]:  # fmt: skip
    late_after = cell.interval_s + _GRACE_S
    accounts = {
        kind: [account(changes, reader.seen(), late_after) for reader in of_kind(readers, kind)] for kind in PATHS
    }
    _write_raw(folder / "changes.csv.gz", changes, {kind: of_kind(readers, kind)[0] for kind in PATHS}, window.began)
    failures = [f"cell {cell.key}: {each}" for each in _unequal(settings, cell, table, changes, accounts)]
    found = measured("cell", cell.name, cell.repeat, "all", _common(cell, changes, window))
    for kind in PATHS:
        own = of_kind(readers, kind)
        figures = {**completeness(accounts[kind]), **_readers_cost(own), **_path_cost(settings, kind, table, window)}
        figures["total_cpu_s"] = sum(figures.get(name, 0.0) for name in _PARTS)
        found += measured("cell", cell.name, cell.repeat, kind, figures)
    return found, failures


_PARTS = ("readers_cpu_s", "database_cpu_s", "broker_cpu_s", "connect_cpu_s")


def _common(cell: Cell, changes: Sequence[Change], window: Window) -> dict[str, float]:
    kinds = [change.kind for change in changes]
    return {
        "rate": cell.rate, "interval_s": cell.interval_s, "table_rows": cell.table_rows, "consumers": cell.consumers,
        "identity_full": float(cell.identity == "full"), "pace_quick": float(cell.pace == "quick"),
        "seconds": cell.seconds,
        "changes": len(changes), **{f"changes_{kind}": kinds.count(kind) for kind in KINDS},
        "changes_per_s": len(changes) / max(window.write_s, 1e-9),
        "window_s": window.seconds, "write_s": window.write_s,
        "wal_bytes": window.wal_bytes, "wal_bytes_per_change": window.wal_bytes / max(1, len(changes)),
        "writer_cpu_s": window.cost["writer"], "background_cpu_s": window.cost["background"],
    }  # fmt: skip


def completeness(accounts: Sequence[Account]) -> dict[str, float]:
    """Freshness over all readers, and the means over the readers of what was missed, late, repeated and wrong."""
    fresh = np.concatenate([np.asarray(each.freshness_s, float) for each in accounts]) * 1000
    shares = {f"fresh_p{share}_ms": float(np.percentile(fresh, share)) for share in (50, 95, 99)} if fresh.size else {}
    return {
        **shares,
        **({"fresh_max_ms": float(fresh.max())} if fresh.size else {}),
        "missed": fmean(each.missed_in_all for each in accounts),
        **{f"missed_{kind}": fmean(each.missed[kind] for each in accounts) for kind in KINDS},
        "missed_intermediate": fmean(each.missed_intermediate for each in accounts),
        "late": fmean(each.late for each in accounts),
        "repeated": fmean(each.repeated for each in accounts),
        "wrong_rows": fmean(each.wrong_rows for each in accounts),
        "lacking_rows": fmean(each.lacking_rows for each in accounts),
        "stale_rows": fmean(each.stale_rows for each in accounts),
        "ghost_rows": fmean(each.ghost_rows for each in accounts),
    }


def _readers_cost(readers: Sequence[Reader]) -> dict[str, float]:
    figures: dict[str, float] = {
        "readers_cpu_s": sum(reader.summary["cpu_s"] for reader in readers),
        "reader_peak_kib": max(reader.summary["peak_kib"] for reader in readers),
        "reader_start_s": fmean(reader.ready["started_s"] for reader in readers),
    }
    for name in ("polls", "messages", "value_bytes"):
        if name in readers[0].summary:
            figures[name] = sum(reader.summary[name] for reader in readers)
    return figures


def _path_cost(settings: StackSettings, kind: str, table: str, window: Window) -> dict[str, float]:
    if kind == "cdc":
        parts = {name: window.cost[name] for name in ("walsender", "capture")}
        return {
            "walsender_cpu_s": parts["walsender"], "capture_sessions_cpu_s": parts["capture"],
            "database_cpu_s": sum(parts.values()), "broker_cpu_s": window.cost["kafka"],
            "connect_cpu_s": window.cost["connect"], "retained_peak_bytes": window.retained_peak,
        }  # fmt: skip
    figures = {"database_cpu_s": window.cost[kind]}
    if window.statements:
        asked = database.statements(settings, f"%public.{table} WHERE {_WHERE[kind]}%")
        figures |= {f"statements_{name}": value for name, value in asked.items()}
    return figures


def _unequal(
    settings: StackSettings, cell: Cell, table: str, changes: Sequence[Change], accounts: Mapping[str, list[Account]]
) -> list[str]:
    """What differs of the answers that must be equal: the ledger's table and PostgreSQL's, CDC's changes and the
    ledger's, and no reader saw what was never committed."""
    found = database.table_values(settings, table)
    last = {change.id: change.value for change in changes if change.final}
    wrong = sum(found.get(row) != value for row, value in last.items())
    surplus = sum(row > cell.table_rows and row not in last for row in found)
    said = [f"the ledger and PostgreSQL differ in {wrong + surplus} rows"] if wrong or surplus else []
    for kind, each in accounts.items():
        unknown = sum(one.unknown for one in each)
        said += [f"{kind} saw {unknown} changes that were never committed"] if unknown else []
    for one in accounts["cdc"]:
        said += [f"cdc missed {one.missed_in_all} changes"] if one.missed_in_all else []
        said += [f"cdc's copy of the table is wrong in {one.wrong_rows} rows"] if one.wrong_rows else []
    return said


def _write_raw(path: Path, changes: Sequence[Change], readers: Mapping[str, Reader], began: float) -> None:
    """Every change with the ms from its commit until each path's first reader had it (empty: never)."""
    first: dict[str, dict[tuple[int, int | None], float]] = {kind: {} for kind in readers}
    for kind, reader in readers.items():
        for each in reader.seen():
            first[kind].setdefault((each.id, each.value), each.at)
    with gzip.open(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["committed_s", "kind", "id", "final", *(f"{kind}_ms" for kind in readers)])
        for change in changes:
            seen = [first[kind].get((change.id, change.value)) for kind in readers]
            waited = ["" if at is None else f"{(at - change.at) * 1000:.1f}" for at in seen]
            writer.writerow([f"{change.at - began:.3f}", change.kind, change.id, int(change.final), *waited])
