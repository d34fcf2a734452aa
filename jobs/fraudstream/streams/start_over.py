"""Forgetting what a query has done."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from fraudstream.config import Pipeline
from fraudstream.errors import GuardError
from fraudstream.streams import progress
from fraudstream.streams.manifest import hold_checkpoint, hold_table
from fraudstream.streams.topic import cut_at


def start_over(pipeline: Pipeline, query: str, tables: Iterable[str] = ()) -> None:
    """Delete the query's checkpoint, its rules' progress and these tables of the lake, which it alone writes. An empty
    checkpoint says that it was asked for (require_not_gone). Raises GuardError while another driver runs it, before
    anything is deleted."""
    checkpoint, rules = pipeline.checkpoint(query), pipeline.judged_by(query)
    for name in rules:
        hold_rule(pipeline, name)
    for table in tables:
        hold_table(pipeline.table(table))
    for name in rules:
        progress.forget(pipeline.progress, name)
    # The rules of a shared query may have had queries of their own, whose checkpoints end here too.
    for folder in (checkpoint, *(f"{pipeline.checkpoints}/{name}" for name in rules), *map(pipeline.table, tables)):
        _delete(Path(folder))
    Path(checkpoint).mkdir(parents=True)


def _delete(folder: Path) -> None:
    """Delete a folder at once: what a death in the middle leaves has another name, and is never taken for a whole."""
    gone = folder.with_name(f".{folder.name}.deleted")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.exists():
        folder.rename(gone)
        shutil.rmtree(gone)


def start_tables_over(spark: SparkSession, pipeline: Pipeline, query: str, topic: str, tables: Sequence[str]) -> None:
    """Start a query over that alone writes these tables of the lake. Raises GuardError where the topic has lost its
    beginning and one of them is there, which alone still tells of it; and as start_over. Nothing is deleted then."""
    begins = cut_at(spark, pipeline.kafka, topic)
    found = [pipeline.table(table) for table in tables if Path(pipeline.table(table)).exists()]
    if begins and found:
        raise GuardError(
            f"{query} is not started over: {topic} has lost what was before {begins}, and {', '.join(found)} alone "
            "still tell of it. Move them to another place to keep them, then start over again.",
            "history-gone",
        )
    start_over(pipeline, query, tables)


def hold_rule(pipeline: Pipeline, rule: str) -> None:
    """Lock the checkpoint of the rule's query for this process, and the name of the rule where others share it: another
    driver may have a query for it alone. Raises GuardError when one has either."""
    hold_checkpoint(pipeline.checkpoint(rule))
    hold_checkpoint(f"{pipeline.checkpoints}/{rule}")


def require_not_gone(pipeline: Pipeline, query: str, evidence: str) -> None:
    """Raises GuardError if the query has worked before, as its progress or the file or folder `evidence` says, but its
    checkpoint is gone, or of an earlier time: it would begin anew, or again, and nobody has asked for that."""
    checkpoint = pipeline.checkpoint(query)
    lines = list(progress.read_lines(pipeline.progress, query))
    if progress.begun_batches(checkpoint):
        _require_newest(checkpoint, query, lines)
        return
    counted = bool(lines)
    if counted or (Path(evidence).exists() and not Path(checkpoint).exists()):
        seen = f"{pipeline.progress}/{query}.jsonl" if counted else evidence
        raise GuardError(
            f"{checkpoint}: this checkpoint is gone, but {seen} says that {query} has worked before, so it would begin "
            f"anew unasked. Put the checkpoint back, or start over with --reset {query}.",
            "checkpoint-gone",
        )


def _require_newest(checkpoint: str, query: str, lines: Sequence[Mapping[str, Any]]) -> None:
    planned = progress.planned(checkpoint)
    ends = lines[-1].get("end") or {} if lines else {}
    if any(planned.get(partition, 0) < offset for partition, offset in ends.items()):
        raise GuardError(
            f"{checkpoint}: this checkpoint has come to {planned}, but the last counted batch of {query} ended at "
            f"{ends}: it is an earlier one's. Put the later one back, or start over with --reset {query}.",
            "checkpoint-gone",
        )
