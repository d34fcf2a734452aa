"""Faults of what is stored: checkpoints, tables, rules, passwords, Connect's offsets, the replication slot, disks."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from random import Random

import yaml

from fraudstream import documents
from fraudstream.drill.fault import Fault, Struck
from fraudstream.drill.means import refused, require_named, small_disk
from fraudstream.drill.rig import ARCHIVE, MIRROR, Rig
from fraudstream.errors import FraudstreamError, Runbook
from fraudstream.stack.queries import query_states
from fraudstream.streams import manifest
from fraudstream.streams.mirror import TABLES

_SPARE_MIB = 48


def checkpoint_deleted(rig: Rig, random: Random) -> Struck:
    """A query's checkpoint deleted: the start is refused, and made when it is asked to start over."""
    query = random.choice(rig.queries)
    rig.stop_driver()
    shutil.rmtree(rig.pipeline.checkpoint(query))
    said = _refused_start(rig, "checkpoint-gone")
    rig.start_driver("--reset", query)
    return Struck(f"{query}: {said}; then --reset")


def checkpoint_damaged(rig: Rig, random: Random) -> Struck:
    """Files of a checkpoint damaged: repaired by Spark, or a named error and a start over; never wrong alerts."""
    query = random.choice([rule.name for rule in rig.rules if not rule.stateless])
    rig.stop_driver()
    folder = Path(rig.pipeline.checkpoint(query))
    files = {
        "metadata": [folder / "metadata"],
        "commit": [max((folder / "commits").glob("[0-9]*"), key=lambda path: int(path.name))],
        "offset": [max((folder / "offsets").glob("[0-9]*"), key=lambda path: int(path.name))],
        "state": _newest(folder / "state", "*.changelog"),
        # A state of few rows or batches has none yet.
        "snapshot": _newest(folder / "state", "*.zip"),
        "base": [path for path in (folder / "bases").rglob("[0-9]*") if path.is_file()],
    }
    damage = random.choice([name for name, found in files.items() if found])
    victims = files[damage]
    for victim in victims:
        victim.write_bytes(b"") if damage != "metadata" else victim.unlink()
    if damage == "offset":
        require_named(rig, "checkpoint-damaged")
    try:
        rig.start_driver()
        rig.await_judged(rig.ends())
        said = "Spark has repaired it"
    except FraudstreamError as error:
        said = str(error)[:200]
        if "docs/operations.md: checkpoint-" not in rig.log.read_text(encoding="utf-8") + said:
            raise
        rig.stop_driver()
        rig.start_driver("--reset", query)
    return Struck(f"{query}: {damage} {[victim.name for victim in victims]} damaged: {said}")


def _newest(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.rglob(pattern), key=lambda path: path.stat().st_mtime)[-1:]


def second_writer(rig: Rig, random: Random) -> Struck:
    """A second archive and a second mirror, with checkpoints of their own, on the tables of those that run."""
    settings = documents.load(rig.config, "start the drill anew")
    settings |= {folder: str(rig.home / f"other_{folder}") for folder in ("checkpoints", "progress")}
    other = rig.home / "other.yaml"
    other.write_text(yaml.safe_dump(settings), encoding="utf-8")
    before = _commits(rig)
    said = [_refused_writer(rig, job, other) for job in (ARCHIVE, MIRROR)]
    after = _commits(rig)
    if replaced := [str(path) for path, commit in before.items() if after.get(path, commit) != commit]:
        raise FraudstreamError(f"commits were replaced by others: {replaced}")
    return Struck("; ".join(said))


def _refused_writer(rig: Rig, job: str, other: Path) -> str:
    # With a checkpoint that tells what it was made with, or the start would end before it comes to the tables.
    folder = rig.home / "other_checkpoints" / job
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(rig.pipeline.checkpoint(job), manifest.FILE), folder)
    said = refused(rig, job, other, ("table-in-use",))
    return f"{job} {said}"


def _commits(rig: Rig) -> dict[Path, bytes]:
    """The commits in the logs of the tables that archive and mirror write."""
    logs = [Path(rig.pipeline.table(table), "_delta_log") for table in ("alerts", *TABLES)]
    return {path: path.read_bytes() for log in logs for path in log.glob("*.json")}


def broken_rules(rig: Rig, random: Random) -> Struck:
    """The rules file broken while it is followed: the old rules go on, and it is said."""
    text = rig.rules_file.read_text(encoding="utf-8")
    broken = random.choice(("anomaly: {severity: [", "anomaly: {severity: high, parameters: {factor: three}}\n", ""))
    rig.rules_file.write_text(broken, encoding="utf-8")
    try:
        rig.until(lambda: _rules(rig).get("refused") is not None, "the refusal of the rules file")
        said = str(_rules(rig)["refused"])
        if not rig.is_driving():
            raise FraudstreamError("the rules did not go on")
        time.sleep(5)
    finally:
        rig.rules_file.write_text(text, encoding="utf-8")
    rig.until(lambda: _rules(rig).get("refused") is None, "the mended rules file")
    return Struck(f"refused: {said[:160]}")


def _rules(rig: Rig) -> dict[str, object]:
    found = json.loads(Path(rig.pipeline.progress, "queries.json").read_text(encoding="utf-8"))
    return dict(found.get("rules", {}))


def full_disk(rig: Rig, random: Random) -> Struck:
    """The lake's disk full: no half commit, a clear error, and it goes on when there is room."""
    return _filled(rig, Path(rig.pipeline.lake))


def full_checkpoints(rig: Rig, random: Random) -> Struck:
    """The checkpoints' disk full: no half commit, a clear error, and it goes on when there is room."""
    return _filled(rig, Path(rig.pipeline.checkpoints))


def _filled(rig: Rig, folder: Path) -> Struck:
    rig.stop_driver()
    with small_disk(folder, _SPARE_MIB + 64):
        rig.start_driver()
        ballast = folder / "ballast"
        with ballast.open("wb") as file:
            free = shutil.disk_usage(folder).free
            os.posix_fallocate(file.fileno(), 0, max(4096, free - 64 * 1024))
        rig.until(lambda: _is_full(rig), "the error of a full disk")
        states = query_states(rig.pipeline.progress)[1]
        said = next(state for state in states.values() if "disk-full" in state or "No space" in state)
        ballast.unlink()
        rig.stop_driver()
    return Struck(said[:200])


def _is_full(rig: Rig) -> bool:
    states = query_states(rig.pipeline.progress)[1]
    return any("disk-full" in state or "No space" in state for state in states.values())


def _refused_start(rig: Rig, runbook: Runbook) -> str:
    return refused(rig, "detect_fraud", rig.config, (runbook,), "--with", f"{ARCHIVE},{MIRROR}")


STORED = (
    Fault(
        name="checkpoint_deleted", rows=(21,), strike=checkpoint_deleted,
        must_hold="refused by name without --reset; with it the same tables and alerts, nothing doubled",
    ),
    Fault(
        name="checkpoint_damaged", rows=(21,), strike=checkpoint_damaged,
        must_hold="repaired or a named error, never wrong alerts; with --reset the same alerts",
    ),
    Fault(
        name="second_writer", rows=(27,), strike=second_writer,
        must_hold="a second archive and a second mirror are refused; no commit of their tables is replaced",
    ),
    Fault(
        name="broken_rules", rows=(23,), strike=broken_rules,
        must_hold="the old rules go on; the file is refused with a reason",
    ),
    Fault(
        name="full_disk", rows=(13,), strike=full_disk,
        must_hold="the batch fails with a clear error; no half commit; goes on with room",
    ),
    Fault(
        name="full_checkpoints", rows=(13,), strike=full_checkpoints,
        must_hold="the batch fails with a clear error; no half commit; goes on with room",
    ),
)  # fmt: skip
