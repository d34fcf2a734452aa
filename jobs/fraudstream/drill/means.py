"""What several faults need: a job run to its end, a start that must be refused, a repair, a large transaction, a word
of the doctor, a disk with little room."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fraudstream.check.children import Child
from fraudstream.drill.fault import NotMadeError, NotStruckError
from fraudstream.drill.rig import Rig
from fraudstream.drill.signals import killed, signal_all
from fraudstream.errors import FraudstreamError, Runbook
from fraudstream.health.doctor import Doctor
from fraudstream.health.limits import load_limits

_END_S = 120.0
_REPAIR_S = 480.0


def ended(rig: Rig, job: str, options: list[str], log: str, seconds: float, config: Path | None = None) -> Child:
    """A job on the rig's pipeline, or one with another `config`, that has run to its end with a fresh log."""
    path = rig.home / log
    path.unlink(missing_ok=True)
    child = rig.start_job(job, options, path, config)
    try:
        child.process.wait(seconds)
    finally:
        child.stop()
    return child


def refused(rig: Rig, job: str, config: Path, runbooks: tuple[Runbook, ...], *options: str) -> str:
    """Start a job that must end with exit code 2 and one of these names; what it said."""
    started = ended(rig, job, list(options), "refused.log", _END_S, config)
    lines = started.log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if any(f"docs/operations.md: {runbook}]" in line for runbook in runbooks)]
    if started.process.returncode != 2 or not said:
        raise FraudstreamError(f"{job} was not refused (exit code {started.process.returncode}): {lines[-3:]}")
    return f"refused: {said[-1][-120:]}"


def repaired(rig: Rig, parts: str) -> str:
    """Run repair_pipeline over these parts of the audit; what it said first. Raises FraudstreamError if it left
    something open."""
    options = ["--rules-file", str(rig.rules_file), "--parts", parts]
    repairing = ended(rig, "repair_pipeline", options, "repair.log", _REPAIR_S)
    if repairing.process.returncode:
        raise FraudstreamError(f"the repair left something open: {repairing.last_words()}")
    return str(repairing.log.read_text(encoding="utf-8", errors="replace").splitlines()[:1])


def kill_connect(rig: Rig) -> tuple[int, float]:
    """Kill Connect; its pid, and when (monotonic). Raises NotStruckError when it does not end."""
    pid, since = rig.component_pids()["connect"], time.monotonic()
    signal_all([pid], signal.SIGKILL)
    if not killed([pid]):
        raise NotStruckError("Connect did not end")
    return pid, since


def write_at_once(rig: Rig, first_user: int, rows: int) -> None:
    """Commit so many small rows of 5,000 users in one transaction, and note them."""
    rig.write(
        "INSERT INTO public.transactions (user_id, amount, card_type, merchant_id)"
        f" SELECT {first_user} + n % 5000, 10 + n % 30, 'VISA', n % 100 FROM generate_series(1, {rows}) AS n"
        " RETURNING id, user_id, amount::text, card_type, merchant_id, created_at"
    )


def require_named(rig: Rig, *runbooks: Runbook) -> None:
    """Raises FraudstreamError unless the doctor names all of these now."""
    found = {each.name for each in Doctor(rig.settings, rig.pipeline, load_limits(), rig.rules_file).look()[1]}
    if not found >= set(runbooks):
        raise FraudstreamError(f"the doctor does not name {', '.join(sorted(set(runbooks) - found))}")


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
