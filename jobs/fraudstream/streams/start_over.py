"""Forgetting what a query has done."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from fraudstream.config import Pipeline
from fraudstream.streams import progress
from fraudstream.streams.manifest import hold_checkpoint


def start_over(pipeline: Pipeline, query: str, tables: Iterable[str] = ()) -> None:
    """Delete the query's checkpoint and progress and these tables of the lake, which it alone writes. Raises GuardError
    while another driver runs it, before anything is deleted."""
    checkpoint = pipeline.checkpoint(query)
    hold_checkpoint(checkpoint)
    for folder in (checkpoint, *map(pipeline.table, tables)):
        if Path(folder).exists():
            shutil.rmtree(folder)
    progress.forget(pipeline.progress, query)
