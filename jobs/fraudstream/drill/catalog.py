"""All faults by name, those of a quick run, and the kills of a storm."""

from __future__ import annotations

from fraudstream.drill import batches, broker, capture, frozen, processes, records, refusals, steps, stores, watch
from fraudstream.drill.fault import Fault

_ALL = (
    *processes.KILLS, *frozen.FROZEN, *steps.STEPS, *records.INPUT, *capture.CAPTURE, *broker.BROKER, *stores.STORED,
    *refusals.REFUSALS, *watch.WATCH, *batches.BATCHES,
)  # fmt: skip
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
# Groups of faults that share a pipeline and a check.
QUICK = (
    "kill_worker kill_connect kill_kafka kill_postgres kill_driver poison copies strange_times added_column",
    "second_driver second_writer broken_rules overlapping rotated_password checkpoint_deleted lost_offsets",
)
_MORE = (
    "checkpoint_damaged refused_starts doctor_names zombie_driver killed_batch deleted_alerts",
    "kill_after_offsets kill_after_kafka kill_after_delta kill_before_commit kill_jvm kill_python broker_away",
    "freeze_connect freeze_kafka freeze_postgres freeze_jvm freeze_python freeze_workers freeze_everything "
    "copy huge_transaction full_disk full_checkpoints full_broker lost_configs",
    "renamed_column advanced_slot lost_slot kill_in_snapshot lost_log",
    "truncated_topic",
    "deleted_topic",
)
FULL = (*QUICK, *_MORE)
# How often each kill comes in a storm, relative to the others.
STORM = {
    "kill_worker": 40, "kill_stack": 26, "kill_connect": 12, "kill_postgres": 10, "kill_kafka": 5, "kill_driver": 3,
    "kill_jvm": 1, "kill_python": 1, "kill_all": 2,
}  # fmt: skip
