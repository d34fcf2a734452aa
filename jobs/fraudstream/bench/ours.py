"""Our own system as the benchmark runs it: detect_fraud with conf/ as it is, but for its topics and its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fraudstream import documents
from fraudstream.config import RULES_FILE, write_variant

ADVICE = "put the file back"


def write_pipeline(path: Path, topic: str, alerts: str, changes: Mapping[str, Any]) -> None:
    """conf/pipeline.yaml with other topics. `changes` are values of other keys ("kafka.source.minPartitions": "8")."""
    write_variant(path, {"kafka.transactions_topic": topic, "kafka.alerts_topic": alerts, **changes})


def write_rules(path: Path, rules: Sequence[str], parameters: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """conf/rules.yaml with these rules alone, all of them live. `parameters` of a rule are put over those there."""
    found = documents.load(RULES_FILE, ADVICE)
    entries = {name: {**found[name], "status": "live"} for name in rules}
    for name, entry in entries.items():
        entry["parameters"] = {**entry.get("parameters", {}), **(parameters or {}).get(name, {})}
    path.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")
