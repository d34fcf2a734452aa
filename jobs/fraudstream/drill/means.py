"""What several faults need: a start that must be refused, a repair, a disk with little room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fraudstream.drill.fault import NotMadeError
from fraudstream.drill.rig import Rig
from fraudstream.errors import FraudstreamError, Runbook

_END_S = 120.0
_REPAIR_S = 480.0


def refused(rig: Rig, job: str, config: Path, runbooks: tuple[Runbook, ...], *options: str) -> str:
    """Start a job that must end with exit code 2 and one of these names; what it said."""
    log = rig.home / "refused.log"
    log.unlink(missing_ok=True)
    started = rig.start_job(job, list(options), log, config)
    try:
        started.process.wait(_END_S)
    finally:
        started.stop()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if any(f"docs/operations.md: {runbook}]" in line for runbook in runbooks)]
    if started.process.returncode != 2 or not said:
        raise FraudstreamError(f"{job} was not refused (exit code {started.process.returncode}): {lines[-3:]}")
    return f"refused: {said[-1][-120:]}"


def repaired(rig: Rig, parts: str) -> str:
    """Run repair_pipeline over these parts of the audit; what it said first. Raises FraudstreamError if it left
    something open."""
    log = rig.home / "repair.log"
    log.unlink(missing_ok=True)
    repairing = rig.start_job("repair_pipeline", ["--rules-file", str(rig.rules_file), "--parts", parts], log)
    try:
        repairing.process.wait(_REPAIR_S)
    finally:
        repairing.stop()
    if repairing.process.returncode:
        raise FraudstreamError(f"the repair left something open: {repairing.last_words()}")
    return str(log.read_text(encoding="utf-8", errors="replace").splitlines()[:1])


@contextmanager
def small_disk(folder: Path, spare_mib: int) -> Iterator[None]:
    """Put a folder, which nobody uses, on a disk with little room, and back where it was. Raises NotMadeError where
    none can be mounted."""
    kept = folder.with_name(f"{folder.name}.kept")
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    folder.rename(kept)
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={used // 1024 + spare_mib * 1024}k", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        folder.rmdir()
        kept.rename(folder)
        raise NotMadeError(f"no file system of a fixed size can be mounted here: {made.stderr.strip()}")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        shutil.rmtree(kept)
        yield
        shutil.copytree(folder, kept)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
        if kept.exists():
            folder.rmdir()
            kept.rename(folder)
