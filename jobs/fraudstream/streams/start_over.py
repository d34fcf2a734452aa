"""Forgetting what a query has done."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from fraudstream.config import Pipeline
from fraudstream.errors import GuardError
from fraudstream.streams import progress
from fraudstream.streams.manifest import hold_checkpoint, hold_table


def start_over(pipeline: Pipeline, query: str, tables: Iterable[str] = ()) -> None:
    """Delete the query's checkpoint and progress and these tables of the lake, which it alone writes. An empty
    checkpoint says that it was asked for (require_not_gone). Raises GuardError while another driver runs it, before
    anything is deleted."""
    checkpoint = pipeline.checkpoint(query)
    hold_checkpoint(checkpoint)
    for table in tables:
        hold_table(pipeline.table(table))
    progress.forget(pipeline.progress, query)
    for folder in (checkpoint, *map(pipeline.table, tables)):
        if Path(folder).exists():
            shutil.rmtree(folder)
    Path(checkpoint).mkdir(parents=True)


def require_not_gone(pipeline: Pipeline, query: str, evidence: str) -> None:
    """Raises GuardError if the query has worked before, as its progress or the file or folder `evidence` says, but its
    checkpoint is gone: it would begin anew, and nobody has asked for that."""
    checkpoint = pipeline.checkpoint(query)
    if progress.begun_batches(checkpoint):
        return
    counted = any(progress.read_lines(pipeline.progress, query))
    if counted or (Path(evidence).exists() and not Path(checkpoint).exists()):
        seen = f"{pipeline.progress}/{query}.jsonl" if counted else evidence
        raise GuardError(
            f"{checkpoint}: this checkpoint is gone, but {seen} says that {query} has worked before, so it would begin "
            f"anew unasked. Put the checkpoint back, or start over with --reset {query}.",
            "checkpoint-gone",
        )
