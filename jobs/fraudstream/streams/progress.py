"""What each query has processed: one JSON line per committed micro-batch, `<progress>/<query>.jsonl`;
of rules that share a query a line each, in a file of its own.

A batch may be written twice (a repeated batch); its last line counts. `read` = judged + history + unjudged +
unreadable + ignored holds for every line; of a rule with corrections with `corrected` as one more part.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pyspark import SparkContext
from pyspark.sql.streaming.listener import StreamingQueryListener

from fraudstream import durable
from fraudstream.errors import GuardError

START = "start.json"  # in a checkpoint: where its query began, if not at the topic's beginning
PARTS = ("judged", "history", "unjudged", "unreadable", "ignored")
_DROPPED = ("redelivered", "superseded", "not_kept", "uncorrected")  # by the fold, and counted as ignored


def append_line(folder: str, query: str, line: Mapping[str, Any]) -> None:
    """Add one batch's line to the query's file."""
    path = Path(folder) / f"{query}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"query": query, "at": round(time.time(), 3), **line})
    # What the next start misses it counts anew from the checkpoint.
    durable.append_line(path, text, durably=False)


def forget(folder: str, query: str) -> None:
    """Delete the query's file."""
    (Path(folder) / f"{query}.jsonl").unlink(missing_ok=True)


def read_lines(folder: str, query: str) -> Iterator[dict[str, Any]]:
    """The newest line of every batch of the query, by batch. A line cut short by a crash is passed over: its batch
    is counted again when the query starts."""
    path = Path(folder) / f"{query}.jsonl"
    newest: dict[int, dict[str, Any]] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        newest[line["batch_id"]] = line
    return (newest[batch] for batch in sorted(newest))


def parts_of(entries: Mapping[str, int], folded: Mapping[str, int] | None) -> dict[str, int]:
    """The conservation law's parts from the counts per entry and, for a rule with state, of its fold."""
    if folded is None:
        return {"read": entries["read"], "judged": entries["judge"], **{name: entries[name] for name in PARTS[1:]}}
    outside = {name: entries[name] for name in ("unjudged", "unreadable", "ignored")}
    dropped = {name: folded[name] for name in _DROPPED if name in folded}
    outside["ignored"] += sum(dropped.values())
    entered = {name: folded[name] for name in ("judged", "history", "corrected") if name in folded}
    return {"read": entries["read"], **entered, **outside, **dropped}


class BatchListener(StreamingQueryListener):
    """Writes a line for every committed batch of each rule (Spark reports a query's batch after its commit).

    It is told in Java objects: Spark's own wrapper copies each of a report's fields by a call of its own, which took
    7 % of the driver's CPU time with four queries.
    """

    def __init__(self, folder: str, judged: Mapping[str, Mapping[str, bool]]) -> None:
        """`judged`: query name -> name of each rule that it judges by -> whether the rule has state."""
        self._folder = folder
        self._judged = judged

    @cached_property
    def _jlistener(self) -> Any:
        return SparkContext._jvm.PythonStreamingQueryListenerWrapper(self)  # type: ignore[union-attr]

    def onQueryProgress(self, event: Any) -> None:
        """Write the batch's line, if the event is a batch's (an idle query reports too)."""
        report = json.loads(event.progress().json())
        if report["numInputRows"] > 0:
            for rule, has_state in self._judged.get(report["name"], {}).items():
                append_line(self._folder, rule, batch_line(report, rule, has_state))

    def onQueryStarted(self, event: Any) -> None:
        """Nothing to write."""

    def onQueryIdle(self, event: Any) -> None:
        """Nothing to write."""

    def onQueryTerminated(self, event: Any) -> None:
        """Nothing to write."""

    class Java:
        """What the JVM takes an object of this class for."""

        implements: ClassVar = ["org.apache.spark.sql.streaming.PythonStreamingQueryListener"]


def batch_line(report: Mapping[str, Any], rule: str, has_state: bool) -> dict[str, Any]:
    """A rule's line of a batch from Spark's report of it (StreamingQueryProgress as JSON). `state_bytes` are the
    query's, for all rules that share it."""
    source, stages = report["sources"][0], report["durationMs"]
    entries, folded = counted(report["observedMetrics"], rule)
    return {
        "batch_id": report["batchId"],
        "began_at": report["timestamp"],
        "start": _by_partition(source["startOffset"]),
        "end": _by_partition(source["endOffset"]),
        "duration_ms": stages.get("triggerExecution", report["batchDuration"]),
        "stages_ms": stages,
        "state_bytes": sum(operator["memoryUsedBytes"] for operator in report["stateOperators"]),
        **parts_of(entries, folded if has_state else None),
        **({"alerts": folded["alerts"]} if has_state else {}),
    }


def counted(metrics: Mapping[str, Any], rule: str) -> tuple[dict[str, int], dict[str, int]]:
    """The counts by entry, and those of the rule's fold (none without state), of a query's observed metrics."""
    entries, folded = (
        {name: int(value or 0) for name, value in metrics.get(kind, {}).items()} for kind in ("input", "fold")
    )
    own = metric_of(rule, "")
    return entries, {name.removeprefix(own): value for name, value in folded.items() if name.startswith(own)}


def metric_of(rule: str, count: str) -> str:
    """The name of a rule's count among the metrics "fold" of its query."""
    return f"{rule}:{count}"


def _by_partition(topics: Mapping[str, Mapping[str, int]] | None) -> dict[str, int]:
    return {partition: number for topic in (topics or {}).values() for partition, number in topic.items()}


def offsets_by_partition(offset: str) -> dict[str, int]:
    """{partition: next offset} of Spark's Kafka source offset `{"topic": {"0": 12}}`."""
    return _by_partition(json.loads(offset))


def by_number(offsets: Mapping[str, int]) -> dict[int, int]:
    """The offsets by partition number."""
    return {int(partition): offset for partition, offset in offsets.items()}


def unrecorded_batches(folder: str, query: str, checkpoint: str) -> list[int]:
    """Committed batches of the query's checkpoint that have no line: the driver died between commit and report."""
    recorded = {line["batch_id"] for line in read_lines(folder, query)}
    return sorted(set(committed_batches(checkpoint)) - recorded)


def committed_batches(checkpoint: str) -> list[int]:
    """Numbers of the batches that the checkpoint's commit log still names."""
    commits = Path(checkpoint) / "commits"
    return sorted(int(path.name) for path in commits.glob("*") if path.name.isdigit())


def position(checkpoint: str) -> dict[str, int]:
    """{partition: next offset} behind the last committed batch; before the first one, where the query is to begin
    (empty: at the topic's beginning)."""
    batches = committed_batches(checkpoint)
    return batch_offsets(checkpoint, batches[-1]) if batches else start_of(checkpoint)


def planned(checkpoint: str) -> dict[str, int]:
    """{partition: next offset} behind the last batch begun, committed or not; before the first one as `position`."""
    begun = begun_batches(checkpoint)
    return batch_offsets(checkpoint, begun[-1]) if begun else start_of(checkpoint)


def begun_batches(checkpoint: str) -> list[int]:
    """Numbers of the batches, committed or not, that the checkpoint's offset log still names."""
    return sorted(int(path.name) for path in (Path(checkpoint) / "offsets").glob("*") if path.name.isdigit())


def start_of(checkpoint: str) -> dict[str, int]:
    """{partition: offset} at which the query began; empty for the topic's beginning."""
    path = Path(checkpoint, START)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def store_start(checkpoint: str, start: Mapping[int, int]) -> None:
    """Keep with a new checkpoint the offsets at which its query begins."""
    path = Path(checkpoint, START)
    written = path.with_suffix(".new")
    written.write_text(json.dumps({str(partition): offset for partition, offset in start.items()}), encoding="utf-8")
    written.rename(path)


def batch_offsets(checkpoint: str, batch: int) -> dict[str, int]:
    """{partition: next offset} that the checkpoint's offset log has for the end of `batch`; empty before batch 0.
    Raises GuardError where its file is torn."""
    path = Path(checkpoint) / "offsets" / str(batch)
    if not path.exists():
        return {}
    try:
        return offsets_by_partition(path.read_text(encoding="utf-8").splitlines()[2])
    except (IndexError, ValueError, AttributeError) as error:
        query = Path(checkpoint).name
        raise GuardError(
            f"{path} does not say where batch {batch} ended; put the file back, or start the query over with "
            f"--reset {query}.",
            "checkpoint-damaged",
        ) from error


def record_missing(folder: str, query: str, checkpoint: str, recount: Callable[[int], dict[str, int]]) -> list[int]:
    """Write the missing lines of committed batches, each counted again by `recount`; returns their numbers."""
    missing = unrecorded_batches(folder, query, checkpoint)
    for batch in missing:
        ends = {"start": batch_offsets(checkpoint, batch - 1), "end": batch_offsets(checkpoint, batch)}
        append_line(folder, query, {"batch_id": batch, **ends, "recounted": True, **recount(batch)})
    return missing
