"""All faults by name, those of a quick run, and the kills of a storm."""

from __future__ import annotations

from fraudstream.drill import broker, capture, processes, records, refusals, steps, stores, watch
from fraudstream.drill.fault import Fault

_ALL = (
    *processes.KILLS, *processes.OTHERS, *steps.STEPS, *records.INPUT, *capture.CAPTURE, *broker.BROKER, *stores.STORED,
    *refusals.REFUSALS, *watch.WATCH,
)  # fmt: skip
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
# Groups of faults that share a pipeline and a check.
QUICK = (
    "kill_worker kill_connect kill_kafka kill_postgres kill_driver kill_all",
    "poison copies strange_times added_column broken_rules second_writer second_driver overlapping",
    "rotated_password checkpoint_deleted checkpoint_damaged lost_offsets",
)
_MORE = (
    "kill_after_offsets kill_after_kafka kill_after_delta kill_before_commit kill_jvm kill_python",
    "refused_starts doctor_names zombie_driver freeze_connect freeze_kafka copy huge_transaction full_disk full_broker",
    "advanced_slot lost_slot lost_log",
    "truncated_topic",
    "deleted_topic",
)
FULL = (*QUICK, *_MORE)
# How often each kill comes in a storm, relative to the others.
STORM = {
    "kill_worker": 30, "kill_connect": 25, "kill_postgres": 20, "kill_kafka": 15, "kill_driver": 6, "kill_jvm": 1,
    "kill_python": 1, "kill_all": 2,
}  # fmt: skip
