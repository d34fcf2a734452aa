"""All faults by name, those of a quick run, and the kills of a storm."""

from __future__ import annotations

from fraudstream.drill import capture, processes, records, stores
from fraudstream.drill.fault import Fault

_ALL = (*processes.KILLS, *processes.OTHERS, *records.INPUT, *capture.CAPTURE, *stores.STORED)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
# Groups of faults that share a pipeline and a check.
QUICK = (
    "kill_worker kill_connect kill_kafka kill_postgres kill_driver kill_jvm kill_all",
    "poison copies strange_times added_column broken_rules second_writer second_driver overlapping copy",
    "rotated_password checkpoint_deleted checkpoint_damaged lost_offsets",
)
_MORE = (
    "kill_python zombie_driver freeze_connect freeze_kafka huge_transaction full_disk",
    "advanced_slot lost_slot lost_log",
    "truncated_topic",
)
FULL = (*QUICK, *_MORE)
# How often each kill comes in a storm, relative to the others.
STORM = {
    "kill_worker": 24, "kill_connect": 20, "kill_kafka": 16, "kill_postgres": 16, "kill_driver": 12, "kill_jvm": 5,
    "kill_python": 4, "kill_all": 3,
}  # fmt: skip
