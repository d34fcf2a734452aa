"""What a round of faults has left behind, by the oracles: the check of the demo, doubles in Delta, the tables' logs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from fraudstream.check.oracle import arrivals
from fraudstream.check.topic import read_topic
from fraudstream.check.verify import verify
from fraudstream.drill.rig import CONNECTOR, Rig
from fraudstream.errors import GuardError
from fraudstream.input.ledger import read_ledger
from fraudstream.stack import guard, lifecycle, postgres
from fraudstream.stack.offsets import OFFSETS
from fraudstream.stack.processes import log_file

_ANY_BYTES = 2**31
_IDS = re.compile(r"\(ids ([0-9, ]+)\)")
# Each of about twenty mistakes is judged over them: of 300,000 records it took three minutes.
_POWER_ROWS = 40_000
# A table, and the columns that no two of its rows may share.
_KEYS = {
    "alerts": ("alert_id",),
    "transactions": ("id",),
    "transaction_changes": ("topic", "partition", "offset"),
    "quarantine": ("topic", "partition", "offset"),
}


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """Changes and alerts lost, doubled in the topic or in Delta; equal copies of alerts in Kafka; failures in words;
    why the check could not have failed (`unproven`), where it could not; and how often what was started again while the
    pipeline caught up (`helped`). None: not looked at."""

    rows: int
    doubled: int
    alerts: int | None = None
    lost: int | None = None
    kafka_copies: int | None = None
    quarantined: int | None = None
    failures: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    helped: dict[str, int] | None = None


def check_tables(rig: Rig) -> Checkup:
    """The check of the tables alone: nothing twice, no gap in a log, as many rows as the log says."""
    doubled = {table: doubles(rig.pipeline.table(table), columns) for table, columns in _KEYS.items()}
    failures = [f"{table}: {count} rows stand there twice" for table, count in doubled.items() if count]
    for table in _KEYS:
        failures += log_gaps(rig.pipeline.table(table)) + log_counts(rig.pipeline.table(table))
    return Checkup(rows=sum(rig.ends().values()), doubled=sum(doubled.values()), failures=failures)


def check_up(rig: Rig) -> Checkup:
    """The check of all that the rig has written since its start; the rig has ended, the stack runs."""
    note_redelivered(rig)
    found = verify(
        rig.settings, rig.pipeline, rig.rules, rig.ledger, profile="exercise", copies=rig.copies, power_rows=_POWER_ROWS
    )
    slot = _slot_failures(rig)
    tables = check_tables(rig)
    rules: dict[str, Any] = found["rules"]
    return Checkup(
        rows=found["topic"]["read"],
        alerts=sum(rule["oracle"] for rule in rules.values()),
        lost=found["capture"]["lost"] + found["mirror"]["different"] + sum(rule["missing"] for rule in rules.values()),
        doubled=found["capture"]["doubled"] + tables.doubled + sum(rule["extra"] for rule in rules.values()),
        kafka_copies=sum(rule["kafka_copies"] for rule in rules.values()),
        quarantined=found["topic"]["quarantined"],
        failures=[*found["failures"], *tables.failures, *slot, *_poison_failures(rig)],
        unproven=found["power"]["reasons"],
    )


def _slot_failures(rig: Rig) -> list[str]:
    """What is wrong with the connector's slot, in words."""
    config = json.loads(lifecycle.TRANSACTIONS.read_text(encoding="utf-8"))["config"]
    name = guard.slot_of(config)[0]
    try:
        guard.require_slot(rig.settings, CONNECTOR, config)
    except GuardError as refusal:
        return [str(refusal)]
    states = {each["name"]: each["wal_status"] for each in postgres.slots(rig.settings)}
    return [] if states.get(name) == "reserved" else [f"slot {name} is {states.get(name, 'gone')}, not reserved"]


def _poison_failures(rig: Rig) -> list[str]:
    """What is wrong, in words, where a message that nobody can read is not in quarantine with its bytes."""
    if not rig.poison:
        return []
    rows = DeltaTable(rig.pipeline.table("quarantine")).to_pyarrow_table(columns=["partition", "offset", "value"])
    kept = {(row["partition"], row["offset"]): row["value"] for row in rows.to_pylist()}
    missing = [place for place, value in rig.poison.items() if kept.get(place) != value]
    return [f"quarantine: {len(missing)} of {len(rig.poison)} poisonous messages are not there: {missing[:5]}"] * bool(
        missing
    )


def keep_evidence(rig: Rig, failures: Sequence[str], name: str) -> None:
    """Keep in the home, for the rows that failures name, what the ledger and the topic have of them, and every offset
    that Connect has stored, as NAME.jsonl; and Connect's last two logs."""
    ids = {int(number) for failure in failures for found in _IDS.findall(failure) for number in found.split(", ")}
    if not ids:
        return
    kafka = rig.pipeline.kafka
    with (rig.home / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for transaction in read_ledger(rig.ledger, lambda text: None):
            changes = [change for change in transaction.changes if len(change) > 1 and change[1] in ids]
            if changes:
                found = {"ledger": transaction.outcome, "at": transaction.at, "changes": changes}
                file.write(json.dumps({**found, "of": len(transaction.changes)}) + "\n")
        for record in read_topic(kafka.bootstrap_servers, rig.topic, kafka.client_options):
            (arrival,) = arrivals([record], _ANY_BYTES)
            if arrival.event is not None and arrival.event.row is not None and arrival.event.row.id in ids:
                place = {"partition": record.partition, "offset": record.offset, "timestamp": record.timestamp}
                file.write(json.dumps({**place, "value": (record.value or b"").decode()}) + "\n")
        for record in read_topic(kafka.bootstrap_servers, OFFSETS, kafka.client_options):
            place = {"stored": record.offset, "timestamp": record.timestamp}
            file.write(json.dumps({**place, "value": (record.value or b"").decode()}) + "\n")
    for log in log_file(rig.settings, "connect").parent.glob("connect.log*"):
        shutil.copy(log, rig.home / f"{name}-{log.name}")


def note_redelivered(rig: Rig) -> None:
    """Add to the copies what capture delivered again after its offset was lost: a change of the same position, no
    further than was written before."""
    if not rig.redelivered_to:
        return
    kafka, seen = rig.pipeline.kafka, set()
    with rig.copies.open("a", encoding="utf-8") as file:
        for arrival in arrivals(read_topic(kafka.bootstrap_servers, rig.topic, kafka.client_options), _ANY_BYTES):
            event = arrival.event
            if event is None or event.row is None or event.lsn is None or event.lsn > rig.redelivered_to:
                continue
            change = (event.lsn, event.op, event.row)
            if change in seen and arrival.offset >= rig.redelivered_from[str(arrival.partition)]:
                file.write(json.dumps({"partition": arrival.partition, "offset": arrival.offset}) + "\n")
            seen.add(change)


def doubles(table: str, columns: tuple[str, ...]) -> int:
    """Rows of a Delta table beyond the first with the same values in these columns."""
    if not DeltaTable.is_deltatable(table):
        return 0
    rows = DeltaTable(table).to_pyarrow_table(columns=list(columns))
    return int(rows.num_rows - rows.group_by(list(columns)).aggregate([]).num_rows)


def log_counts(table: str) -> list[str]:
    """What is wrong, in words, where a Delta table has another number of rows than its log says."""
    if not DeltaTable.is_deltatable(table):
        return []
    found = DeltaTable(table)
    logged = sum(pa.table(found.get_add_actions(flatten=True))["num_records"].to_pylist())
    rows = found.to_pyarrow_dataset().count_rows()
    return [] if rows == logged else [f"{table}: its log says {logged} rows, and it has {rows}"]


def log_gaps(table: str) -> list[str]:
    """What is wrong with a Delta table's log, in words: a version that is missing, or a file that is no commit."""
    files = sorted(Path(table, "_delta_log").glob("*.json"))
    versions = [int(path.stem) for path in files if path.stem.isdigit()]
    if not versions:
        return []
    missing = sorted(set(range(versions[0], versions[-1] + 1)) - set(versions))
    wrong = [f"{table}: version {version} is missing in its log" for version in missing]
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            if not lines or not all(isinstance(json.loads(line), dict) for line in lines):
                raise ValueError("no commit")
        except ValueError:
            wrong.append(f"{path}: not a commit of a Delta table")
    return wrong
