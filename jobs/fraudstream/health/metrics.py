"""The facts in Prometheus' text format (version 0.0.4). What is unknown has no sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from fraudstream.health.findings import Finding

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Facts = Mapping[str, Any]
Samples = Iterable[tuple[tuple[str, ...], float | None]]
"""Values of the labels, and the figure."""


class Metric(NamedTuple):
    """`name` without the prefix fraudstream_."""

    name: str
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    help: str
    samples: Callable[[Facts], Samples]


def text(facts: Facts, findings: Sequence[Finding]) -> str:
    """All metrics."""
    known = {**facts, "findings": findings}
    return "".join(_block(metric, known) for metric in METRICS)


def _block(metric: Metric, facts: Facts) -> str:
    name = f"fraudstream_{metric.name}"
    lines = [f"# HELP {name} {_escaped(metric.help)}", f"# TYPE {name} {metric.kind}"]
    for values, figure in metric.samples(facts):
        pairs = ",".join(f'{label}="{_quoted(value)}"' for label, value in zip(metric.labels, values, strict=True))
        lines += [f"{name}{{{pairs}}} {_number(figure)}" if pairs else f"{name} {_number(figure)}"] * (
            figure is not None
        )
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _number(figure: float | None) -> str:
    return repr(int(figure)) if isinstance(figure, bool | int) else repr(figure)


def _each(part: str, value: Callable[[Mapping[str, Any]], float | None]) -> Callable[[Facts], Samples]:
    """A sample for each entry of the facts' `part`, by its name."""
    return lambda facts: [((name,), value(each)) for name, each in facts[part].items()]


def _field(part: str, name: str) -> Callable[[Facts], Samples]:
    return _each(part, lambda each: each[name])


def _query(name: str) -> Callable[[Facts], Samples]:
    return _field("queries", name)


def _has_failed(query: Mapping[str, Any]) -> bool:
    return "failed" in query["state"]


def _slots(value: Callable[[Mapping[str, Any]], float | None]) -> Callable[[Facts], Samples]:
    return lambda facts: [((slot["name"],), value(slot)) for slot in facts["slots"]]


def _nested(part: str, name: str) -> Callable[[Facts], Samples]:
    """A sample for each key of the dictionary `name` of each entry."""
    return lambda facts: [((key, inner), n) for key, each in facts[part].items() for inner, n in each[name].items()]


def _connector_runs(each: Mapping[str, Any]) -> bool:
    return each["connector"] == "RUNNING" and set(each["tasks"]) == {"RUNNING"}


def _canary(name: str) -> Callable[[Facts], Samples]:
    return lambda facts: [((), facts["canary"][name])] if facts["canary"] else []


def _quarantined(facts: Facts) -> Samples:
    mirror = facts["queries"].get("mirror_transactions")
    return [((), mirror["parts"].get("unreadable", 0))] if mirror else []


def _found(facts: Facts) -> Samples:
    names = sorted({(each.name, each.severity, each.part) for each in facts["findings"]})
    return [(name, 1) for name in names]


METRICS: tuple[Metric, ...] = (
    Metric("facts_timestamp_seconds", "gauge", (), "when the facts below were gathered", lambda f: [((), f["at"])]),
    Metric("healthy", "gauge", (), "1 if nothing is found", lambda f: [((), not f["findings"])]),
    Metric("finding", "gauge", ("name", "severity", "part"), "1 for each finding of the doctor", _found),
    Metric("component_up", "gauge", ("component",), "1 if it runs and answers",
           _each("components", lambda each: each["state"] == "running")),
    Metric("component_memory_bytes", "gauge", ("component",), "memory of it and its children",
           _each("components", lambda each: each.get("memory_bytes"))),
    Metric("connector_running", "gauge", ("connector",), "1 if it and its task run",
           _each("connectors", _connector_runs)),
    Metric("connector_failed_tasks", "gauge", ("connector",), "tasks that have failed",
           _each("connectors", lambda each: each["tasks"].count("FAILED"))),
    Metric("slot_active", "gauge", ("slot",), "1 if it is read", _slots(lambda slot: slot["active"])),
    Metric("slot_lost", "gauge", ("slot",), "1 if PostgreSQL has removed log that it needs",
           _slots(lambda slot: slot["wal_status"] == "lost")),
    Metric("slot_retained_wal_bytes", "gauge", ("slot",), "log that PostgreSQL keeps for it",
           _slots(lambda slot: slot["retained_bytes"])),
    Metric("slot_left_wal_bytes", "gauge", ("slot",), "log that may be written before it is lost",
           _slots(lambda slot: slot["left_bytes"])),
    Metric("slot_cap_wal_bytes", "gauge", ("slot",), "max_slot_wal_keep_size", _slots(lambda slot: slot["cap_bytes"])),
    Metric("slot_inactive_seconds", "gauge", ("slot",), "since it was last read",
           _slots(lambda slot: 0.0 if slot["active"] else slot["inactive_s"])),
    Metric("heartbeat_age_seconds", "gauge", ("connector",), "since the connector last wrote its heartbeat",
           lambda f: [((name,), age) for name, age in f["heartbeats"].items()]),
    Metric("topic_offsets", "gauge", ("topic",), "offsets from its beginning to its end", _field("topics", "offsets")),
    Metric("topic_bytes", "gauge", ("topic",), "its size on the broker's disk", _field("topics", "bytes")),
    Metric("driver_up", "gauge", (), "1 if the queries' application lives and is not frozen",
           lambda f: [((), f["driver"]["alive"] and not f["driver"]["frozen"])]),
    Metric("query_running", "gauge", ("query",), "1 if it runs", _each("queries", lambda q: q["state"] == "running")),
    Metric("query_failed", "gauge", ("query",), "1 if it has failed", _each("queries", _has_failed)),
    Metric("query_lag_offsets", "gauge", ("query",), "offsets to the end of its topic", _query("lag_records")),
    Metric("query_lag_seconds", "gauge", ("query",), "age of the first record that it has not processed",
           _query("lag_s")),
    Metric("query_last_batch_timestamp_seconds", "gauge", ("query",), "end of its last batch with records",
           _query("last_at")),
    Metric("query_last_batch_duration_seconds", "gauge", ("query",), "length of its last batch",
           _query("batch_s")),
    Metric("query_state_bytes", "gauge", ("query",), "its state in memory, all rules' that share it",
           _query("state_bytes")),
    Metric("query_checkpoint_bytes", "gauge", ("query",), "its checkpoint on disk, all rules' that share it",
           _query("checkpoint_bytes")),
    Metric("query_batches_total", "counter", ("query",), "batches with records", _query("batches")),
    Metric("query_read_total", "counter", ("query",), "records read", _query("read")),
    Metric("query_records_total", "counter", ("query", "outcome"), "records by what became of them",
           _nested("queries", "parts")),
    Metric("query_dropped_total", "counter", ("query", "reason"), "changes of rows that a rule ignored",
           _nested("queries", "dropped")),
    Metric("quarantined_total", "counter", (), "messages that cannot be read", _quarantined),
    Metric("alerts_total", "counter", ("rule",), "alerts in the lake without the canary's", _field("alerts", "total")),
    Metric("table_files", "gauge", ("table",), "files of its newest version", _field("tables", "files")),
    Metric("table_small_files", "gauge", ("table",), "of these, files under 1 MiB", _field("tables", "small_files")),
    Metric("table_bytes", "gauge", ("table",), "size of its newest version", _field("tables", "bytes")),
    Metric("disk_free_bytes", "gauge", ("folder",), "room on each disk of stack, lake, checkpoints and progress",
           lambda f: [((folder,), free) for folder, free in f["disks"].items()]),
    Metric("canary_arrived_timestamp_seconds", "gauge", (), "when a canary last came out as an alert in time",
           _canary("arrived_at")),
    Metric("canary_latency_seconds", "gauge", (), "from the last canary's commit to its alert", _canary("latency_s")),
)  # fmt: skip
