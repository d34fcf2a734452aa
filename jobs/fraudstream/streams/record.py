"""The record of a rule's versions, `<lake>/rule_versions/<rule>.json`: which of them judges which records.

A change is written here, with the offset of every partition at which it takes effect, before the first batch that knows
of it. A replay reads it, and gives the same alerts with the same ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from fraudstream import alerts
from fraudstream.durable import write_durably
from fraudstream.errors import ConfigError, GuardError
from fraudstream.rulebook.catalog import Rule, parse_rules
from fraudstream.rulebook.labels import Labels
from fraudstream.rulebook.versions import Version, first_alive, has_begun, keeps

Entry = Mapping[str, Any]


def path_of(lake: str, name: str) -> Path:
    """The record's file."""
    return Path(lake, "rule_versions", f"{name}.json")


def entries(lake: str, name: str) -> list[Entry]:
    """The recorded versions in order, each with `version`, `since`, `epoch`, `keeps`, `recorded_at` and the rule's
    `settings`. Raises GuardError for a file that is no record."""
    path = path_of(lake, name)
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []
    except (OSError, ValueError, TypeError) as error:
        raise GuardError(
            f"{path}: no record of the rule's versions ({error}); put the file back, or have the whole topic judged "
            f"anew with --forget {name}.",
            "rule-record",
        ) from error


def settings_of(rule: Rule) -> dict[str, Any]:
    """The part of a rule's entry that its alerts depend on, in plain JSON: `parse_rules` makes the same rule of it."""
    parameters = {name: _written(value) for name, value in rule.parameters.items() if value != Labels()}
    chosen = {key: getattr(rule, key) for key in ("rule", "severity", "snapshot", "corrections")}
    return {**chosen, "status": "shadow" if rule.status == "shadow" else "live", "parameters": parameters}


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _written(each) for name, each in value.items()}
    if isinstance(value, Labels):
        return value.file
    return str(value) if isinstance(value, Decimal) else value


def is_of(entry: Entry, rule: Rule) -> bool:
    """Whether the rule is the one of the entry."""
    return bool(entry["version"] == rule.version and entry["settings"] == settings_of(rule))


def append(lake: str, rule: Rule, since: Mapping[int, int]) -> Entry:
    """Record that `rule` judges the records from `since` on; it is on the disk when this returns. Raises GuardError
    where `next_epoch` does."""
    known = entries(lake, rule.name)
    entry = {
        "version": rule.version,
        "since": {str(partition): offset for partition, offset in sorted(since.items())},
        "epoch": next_epoch(known, rule),
        "keeps": keeps(rule),
        "recorded_at": alerts.now().isoformat(timespec="milliseconds"),
        "settings": settings_of(rule),
    }
    _write(path_of(lake, rule.name), [*known, entry])
    return entry


def next_epoch(known: Sequence[Entry], rule: Rule) -> int:
    """The epoch of `rule` after the known versions: that of the last one if it keeps the same rows, else a new one.
    Raises GuardError where the rule's query could not go on with it."""
    if not known:
        return 0
    before, now = known[-1]["keeps"], keeps(rule)
    if before.get("key") != now.get("key"):
        raise GuardError(
            f"{rule.name}: its key was {before.get('key', 'none (no windows)')} and is now "
            f"{now.get('key', 'none (no windows)')}, which its query cannot change. Give the new rule another name, or "
            f"have the whole topic judged anew with --forget {rule.name}.",
            "version-border",
        )
    return int(known[-1]["epoch"]) + int(before != now)


def versions(lake: str, name: str, position: Mapping[int, int]) -> tuple[Version, ...]:
    """The recorded versions that still judge records from `position` on ({partition: next offset}).

    Raises GuardError for one of them that cannot be had any more: the code of its rule file has changed.
    """
    known = entries(lake, name)
    first = first_alive([since_of(entry) for entry in known], position)
    found = [_version(entry, name, path_of(lake, name)) for entry in known[first:]]
    if found and has_begun(found[0].since, position):
        found[0] = replace(found[0], since={})  # nothing lies before it any more
    return tuple(found)


def require_living(lake: str, name: str, since: Mapping[int, int], position: Mapping[int, int]) -> None:
    """Raises GuardError if the code of a recorded version is gone that would judge records from `position` on, were a
    new version to begin at `since`."""
    known = entries(lake, name)
    for entry in known[first_alive([*map(since_of, known), dict(since)], position) :]:
        _version(entry, name, path_of(lake, name))


def since_of(entry: Entry) -> dict[int, int]:
    """Where the version takes effect, by partition number."""
    return {int(partition): offset for partition, offset in entry["since"].items()}


def rule_of_version(lake: str, name: str, version: str) -> Rule | None:
    """The rule of a recorded version; None if it is not recorded, or the code it was made with is gone."""
    found = [entry for entry in entries(lake, name) if entry["version"] == version and can_be_had(entry, name)]
    return _version(found[-1], name, path_of(lake, name)).rule if found else None


def can_be_had(entry: Entry, name: str) -> bool:
    """Whether the code that the version was made with is still there."""
    try:
        _version(entry, name, Path(name))
    except GuardError:
        return False
    return True


def _version(entry: Entry, name: str, file: Path) -> Version:
    try:
        (rule,) = parse_rules(json.dumps({name: entry["settings"]}), file)
    except ConfigError as error:
        raise GuardError(f"{_unknown(entry, name, file)} ({error})", "version-border") from error
    if rule.version != entry["version"]:
        raise GuardError(_unknown(entry, name, file), "version-border")
    return Version(rule, since_of(entry), int(entry["epoch"]))


def _unknown(entry: Entry, name: str, file: Path) -> str:
    return (
        f"{file}: version {entry['version']} of {name} still has records to judge, but the code of its rule file (or "
        f"its labels) has changed since. Put that code back until they are judged, or have the whole topic judged anew "
        f"with --forget {name}."
    )


def _write(path: Path, found: Sequence[Entry]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps(found, indent=1, ensure_ascii=False).encode("utf-8"))
