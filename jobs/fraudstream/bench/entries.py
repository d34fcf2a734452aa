"""Results of races as entries of the report: one for each system and data set. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from fraudstream.bench.dataset import FORMS, PROFILES, USERS
from fraudstream.bench.figures import spread
from fraudstream.bench.install import version_of
from fraudstream.bench.stages import of_runs
from fraudstream.bench.systems import RAW_READ, SYSTEMS, lines_of_code

Result = Mapping[str, Any]
_DATA = ("profile", "form", "users", "events")
ENTRY = (*_DATA, "system")
"""What tells an entry from the others."""
_MEDIANS = ("total_per_s", "first_alert_s", "cpu_s_per_million", "rss_mib")


def entries(races: Sequence[Result]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The systems' entries as `ranked`, and those of the raw read."""
    groups: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
    for result in races:
        groups[tuple(result[name] for name in ENTRY)].append(result)
    found = [_entry(group) for group in groups.values()]
    raw = sorted((entry for entry in found if entry["system"] == RAW_READ), key=_place)
    return ranked([entry for entry in found if entry["system"] != RAW_READ], raw), raw


def _entry(group: Sequence[Result]) -> dict[str, Any]:
    """Medians over the repeats; one that failed speaks for all, one that was not run only where none was."""
    ran = [result for result in group if not result.get("absent")] or group
    last, system = ran[-1], SYSTEMS.get(ran[-1]["system"])
    failed = next((result["failed"] for result in ran if result["failed"]), None)
    found = {
        **{name: last[name] for name in ("system", *_DATA)}, "code": last["code"], "at": last["at"], "runs": len(ran),
        **{name: _median(result.get(name) for result in ran) for name in _MEDIANS},
        "steady_per_s": spread(result.get("steady_per_s") for result in ran),
        "failed": failed, "absent": last.get("absent"),
    }  # fmt: skip
    if system is None:
        return found
    unequal = next((result for result in reversed(ran) if not result.get("equal")), last)
    return {
        **found,
        "language": system.language, "fault_tolerant": system.fault_tolerant, "rules": list(system.rules),
        **{name: unequal.get(name) for name in ("alerts", "copies", "missing", "extra", "examples")},
        "equal": failed is None and bool(unequal.get("equal")), "lines_of_code": lines_of_code(system),
        "survives": system.survives, "version": version_of(system),
        "stages_ms": of_runs([result.get("stages_ms", {}) for result in ran]),
    }  # fmt: skip


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 2) if known else None


def ranked(systems: Sequence[dict[str, Any]], raw: Sequence[Result]) -> list[dict[str, Any]]:
    """The systems' entries with their part of the raw read of the same data, data set by data set, the fastest of each
    first."""
    reads = {_data(entry): _steady(entry) for entry in raw if not entry["failed"]}
    for entry in systems:
        read, own = reads.get(_data(entry)), _steady(entry)
        entry["of_raw_read"] = round(own / read, 3) if read and own else None
    return sorted(systems, key=lambda entry: (_place(entry), -(_steady(entry) or 0.0)))


def _data(entry: Result) -> tuple[Any, ...]:
    return tuple(entry[name] for name in _DATA)


def _place(entry: Result) -> tuple[int, ...]:
    return PROFILES.index(entry["profile"]), FORMS.index(entry["form"]), entry["users"], -entry["events"]


def _steady(entry: Result) -> float | None:
    return entry["steady_per_s"]["median"] if entry["steady_per_s"] else None


def scaling(systems: Sequence[Result]) -> dict[str, Any]:
    """Steady rates of a system that was raced on several numbers of users, or of ours on one core, on two, and in two
    executors of a core each; by users and by cores. Of each system those of its longest races, all alerts equal."""
    known = [
        entry for entry in systems
        if (entry["profile"], entry["form"]) == (PROFILES[0], FORMS[0]) and entry["equal"] and entry["steady_per_s"]
    ]  # fmt: skip
    longest = {entry["system"]: entry["events"] for entry in sorted(known, key=lambda entry: entry["events"])}
    users: dict[str, dict[str, Any]] = defaultdict(dict)
    for entry in known:
        if entry["events"] == longest[entry["system"]]:
            users[entry["system"]][f"{entry['users']:,}"] = entry["steady_per_s"]
    return {"users": {name: found for name, found in users.items() if len(found) > 1}, "cores": _cores(users, longest)}


def _cores(users: Mapping[str, Mapping[str, Any]], longest: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    fewest = f"{USERS[0]:,}"
    ways = {"_one_core": "1 core", "": "2 cores", "_cluster": "2 executors"}
    same = {
        name: {way: users[name + end][fewest] for end, way in ways.items()
               if fewest in users.get(name + end, {}) and longest[name + end] == longest[name]}
        for name in users
    }  # fmt: skip
    return {name: found for name, found in same.items() if "1 core" in found}


def named(entry: Result) -> str:
    """The data set in words, without its number of events."""
    return f"{entry['profile']}, {entry['form']}, {entry['users']:,} users"
