"""Outages: a reader, the connector or the database is away for a while; what each path misses and how it catches up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from fraudstream.compare import capture, database
from fraudstream.compare.account import Change, Seen, account, changes_of
from fraudstream.compare.cell import completeness, reader_options, table_of
from fraudstream.compare.grid import BASE
from fraudstream.compare.measurement import Measurement, measured
from fraudstream.compare.readers import PATHS, Reader, running
from fraudstream.compare.workload import plan
from fraudstream.compare.writing import WorkloadWriter
from fraudstream.input.ledger import Ledger, read_ledger
from fraudstream.stack import connect, kafka, postgres
from fraudstream.stack.settings import StackSettings

Victim = Literal["reader", "connect", "database"]
VICTIMS: tuple[Victim, ...] = ("reader", "connect", "database")
_BEFORE_S, _AFTER_S = 8.0, 12.0


class _Scene:
    """One outage under way."""

    def __init__(self, settings: StackSettings, victim: Victim, outage_s: float, folder: Path) -> None:
        self.settings, self.victim, self.outage_s, self.folder = settings, victim, outage_s, folder
        self.table = table_of(f"outage_{victim}")
        self.ledger_file = folder / "ledger.jsonl"
        self.ledger_file.unlink(missing_ok=True)
        self.ledger = Ledger(self.ledger_file)
        self.writer = WorkloadWriter(settings.dsn("app"), self.table, BASE.table_rows, self.ledger)
        self.seen: dict[str, list[Seen]] = {kind: [] for kind in PATHS}
        self.began_again = 0.0
        """When what was away was started again."""
        self.answered_after_s = 0.0
        self.retained = 0

    def write(self, seconds: float, seed: int) -> None:
        """Write the base cell's changes for some seconds."""
        self.writer.run(plan(BASE.rate, seconds, BASE.table_rows, seed))

    def end_readers(self, readers: Sequence[Reader]) -> dict[str, dict[str, Any]]:
        """Let the readers read to their end; keeps what they saw. Returns what they said, by kind."""
        marker, now = database.write_marker(self.settings, self.table), time.time()
        for reader in readers:
            reader.command("finish", marker if reader.kind == "cdc" else now)
        for reader in readers:
            reader.await_end()
            self.seen[reader.kind] += reader.seen()
        return {reader.kind: reader.summary for reader in readers}

    def close(self) -> None:
        """Drop what the scene made."""
        self.writer.close()
        self.ledger.close()
        database.drop_table(self.settings, self.table)
        kafka.delete_topic(self.settings, capture.topic_of(self.table))


def run_outage(
    settings: StackSettings, victim: Victim, outage_s: float, folder: Path
) -> tuple[list[Measurement], list[str]]:
    """The measurements of one outage, and what was not equal that must be."""
    folder.mkdir(parents=True, exist_ok=True)
    capture.set_pace(settings, BASE.pace)
    database.create_table(settings, table_of(f"outage_{victim}"), BASE.table_rows, BASE.identity)
    capture.create_topic(settings, capture.topic_of(table_of(f"outage_{victim}")))
    with ExitStack() as ending:
        scene = _Scene(settings, victim, outage_s, folder)
        ending.callback(scene.close)
        database.write_marker(settings, scene.table)
        _SCENES[victim](scene)
        return _result(scene)


def _reader_away(scene: _Scene) -> None:
    options = reader_options(scene.settings, scene.table, BASE.interval_s)
    with running(PATHS, 1, _folder(scene, "before"), options) as readers:
        _start(readers)
        scene.write(_BEFORE_S, 1)
        reached = scene.end_readers(readers)
    scene.write(scene.outage_s, 2)
    again = time.time()

    def resumed(kind: str, number: int) -> dict[str, Any]:
        return {**options(kind, number), "resume": True, "position": reached[kind].get("position")}

    with running(PATHS, 1, _folder(scene, "after"), resumed) as readers:
        scene.began_again = again
        _start(readers)
        scene.write(_AFTER_S, 3)
        scene.end_readers(readers)


def _connect_away(scene: _Scene) -> None:
    def away() -> None:
        connect.halt(scene.settings)
        scene.write(scene.outage_s, 2)
        scene.retained = database.retained_bytes(scene.settings)
        scene.began_again = time.time()
        connect.launch(scene.settings)

    def back() -> None:
        connect.wait_ready(scene.settings)
        connect.wait_running(scene.settings, capture.PREFIX)

    _around(scene, away, back)


def _database_away(scene: _Scene) -> None:
    def away() -> None:
        scene.writer.close()
        postgres.halt(scene.settings)
        time.sleep(scene.outage_s)
        scene.began_again = time.time()
        database.start(scene.settings)

    _around(scene, away, lambda: None)


def _around(scene: _Scene, away: Callable[[], None], back: Callable[[], None]) -> None:
    """Write, take something away and start it again, write on; the readers are there all the time."""
    options = reader_options(scene.settings, scene.table, BASE.interval_s)
    with running(PATHS, 1, _folder(scene, "all"), options) as readers:
        _start(readers)
        scene.write(_BEFORE_S, 1)
        away()
        back()
        scene.answered_after_s = time.time() - scene.began_again
        scene.write(_AFTER_S, 3)
        scene.end_readers(readers)


_SCENES: dict[Victim, Callable[[_Scene], None]] = {
    "reader": _reader_away, "connect": _connect_away, "database": _database_away,
}  # fmt: skip


def _folder(scene: _Scene, name: str) -> Path:
    found = scene.folder / name
    found.mkdir(parents=True, exist_ok=True)
    return found


def _start(readers: Sequence[Reader]) -> None:
    began = time.time()
    for reader in readers:
        reader.command("start", began)


def _result(scene: _Scene) -> tuple[list[Measurement], list[str]]:
    changes = changes_of(read_ledger(scene.ledger_file))
    common = {
        "outage_s": scene.outage_s, "interval_s": BASE.interval_s, "changes": len(changes),
        "answered_after_s": scene.answered_after_s, "slot_retained_bytes": scene.retained,
    }  # fmt: skip
    found = measured("outage", scene.victim, 1, "all", common)
    failures = []
    for kind, seen in scene.seen.items():
        one = account(changes, seen, BASE.interval_s + 1)
        figures = {**completeness([one]), **recovery(changes, seen, scene.began_again)}
        found += measured("outage", scene.victim, 1, kind, figures)
        if one.unknown or (kind == "cdc" and one.missed_in_all + one.wrong_rows):
            failures.append(
                f"outage of {scene.victim}: {kind} missed {one.missed_in_all} changes, saw {one.unknown} that were "
                f"never committed, its copy is wrong in {one.wrong_rows} rows"
            )
    return found, failures


def recovery(changes: Sequence[Change], seen: Sequence[Seen], began_again: float) -> dict[str, float | None]:
    """Seconds from the new start of what was away: first_s until a change was seen, catch_up_s until all had been seen
    that were committed before it and are ever seen. None: there was none."""
    first: dict[tuple[int, int | None], float] = {}
    for each in seen:
        first.setdefault((each.id, each.value), each.at)
    after = [each.at - began_again for each in seen if each.at > began_again]
    waited = [
        first[change.id, change.value] - began_again
        for change in changes
        if change.at <= began_again and first.get((change.id, change.value), 0.0) > began_again
    ]
    return {"first_s": min(after, default=None), "catch_up_s": max(waited, default=None)}
