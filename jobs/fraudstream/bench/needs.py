"""What a million events a second needs, and what breaks first, worked out from the figures of a full run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from fraudstream.bench.dataset import FORMS, PROFILES, USERS

TARGET = 1_000_000
_SYSTEM = "ours"
_ONE_CORE, _EXECUTORS = f"{_SYSTEM}_one_core", f"{_SYSTEM}_cluster"
_CORES = 2
"""Of _SYSTEM, and of an executor."""
_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Need:
    """A part of the chain: events a second of `one` of what it is counted in, how many of them the target needs, and
    whether more of them can be had (`scales`); what else is to be said in `note`."""

    part: str
    one: str
    per_second: float
    count: int
    scales: bool
    note: str


def needs(report: Mapping[str, Any], target: int = TARGET) -> list[Need]:
    """The parts of which the report has figures, the one that carries the fewest events first among those of which
    there can be only one. What failed, or found other alerts, has no figures. It takes rates to grow with what they are
    counted in, which the report's own figures for two cores, two executors and two connectors bear out or not."""
    found = [*_rule(report, target), *_capture(report, target), *_alerts(report, target), *_mirror(report, target)]
    return sorted(found, key=lambda need: (need.scales, need.per_second))


def _raced(report: Mapping[str, Any], system: str) -> Mapping[str, Any] | None:
    """The system's entry for the usual data, if it found all alerts."""
    usual = {"system": system, "profile": PROFILES[0], "form": FORMS[0], "users": USERS[0]}
    entries = (entry for entry in report["systems"] if usual.items() <= {name: entry[name] for name in usual}.items())
    return next((entry for entry in entries if entry["equal"] and entry["steady_per_s"]), None)


def _measured(report: Mapping[str, Any], part: str) -> dict[str, Mapping[str, Any]]:
    """The steps of a part that have not failed."""
    return {step: each for step, each in report[part].items() if not each["failures"]}


def _rule(report: Mapping[str, Any], target: int) -> list[Need]:
    raced = _raced(report, _SYSTEM)
    if raced is None:
        return []
    core, growth = raced["steady_per_s"]["median"] / _CORES, _measured(report, "growth")
    grows = growth_factor(growth)
    few = _of_cores(f"a rule with state, {USERS[0]:,} users", core, target, "the broker's share of them included")
    if grows is None:
        return [few]
    said = [f"an event costs {grows:.1f} times as much"]
    if mib := (_best(growth, USERS[-1]) or {}).get("mib_per_million_users"):
        executors = ceil(ceil(target * grows / core) / _CORES)
        said.append(f"{mib:,} MiB of histories, {ceil(mib / executors):,} in each executor")
    return [few, _of_cores(f"the same, {USERS[-1]:,} users with whole histories", core / grows, target, *said)]


def _of_cores(part: str, core: float, target: int, *said: str) -> Need:
    count = ceil(target / core)
    executors = f"{ceil(count / _CORES):,} executors of {_CORES} cores"
    return Need(
        part=part, one="executor core, and a partition for each", per_second=core, count=count, scales=True,
        note="; ".join([executors, *said]),
    )  # fmt: skip


def growth_factor(growth: Mapping[str, Mapping[str, Any]]) -> float | None:
    """How much more an event costs among the most users than among the fewest: batches of the largest size, each with
    the number of buckets that suits it best. None where one of both was not measured."""
    few, many = (_best(growth, users) for users in (USERS[0], USERS[-1]))
    return many["us_per_event"] / few["us_per_event"] if few and many else None


def _best(growth: Mapping[str, Mapping[str, Any]], users: int) -> Mapping[str, Any] | None:
    """The case of so many users in which an event costs least, of the largest batches."""
    largest = max((each["batch"] for each in growth.values()), default=0)
    known = [each for each in growth.values() if each["users"] == users and each["batch"] == largest]
    return min((each for each in known if each["us_per_event"]), key=lambda each: each["us_per_event"], default=None)


def _capture(report: Mapping[str, Any], target: int) -> list[Need]:
    tuned = _measured(report, "capture").get("tuned")
    if not tuned or not tuned["events_per_s"]:
        return []
    rate, written, cpu = tuned["events_per_s"]["median"], tuned["written_per_s"]["median"], tuned["cpu_s_per_million"]
    # A slot is served by one process, and decodes the whole log whatever its publication keeps.
    slot = 1e6 / cpu["postgres"]
    connectors, broker = ceil(target / rate), 1e6 / cpu["kafka"]
    stored = target * tuned["bytes_per_event"] / _MB
    return [
        Need(
            part="PostgreSQL taking the rows", one="connection that writes", per_second=written,
            count=ceil(target / written), scales=True,
            note="by COPY in transactions of 1,000; how many connections a database can take was not tried",
        ),
        Need(
            part="the connector", one="connector, with the rows of a filter", per_second=rate, count=connectors,
            scales=True, note=f"each a slot: {connectors} processes that each decode the whole log",
        ),
        Need(
            part="decoding PostgreSQL's log", one="process for each slot of a database", per_second=slot,
            count=ceil(target / slot), scales=False, note="more of them are more databases, each with its rows",
        ),
        Need(
            part="taking the records", one="core of the brokers", per_second=broker, count=ceil(target / broker),
            scales=True, note=f"{stored:,.0f} MB/s to disk, and as much to each rule's query",
        ),
    ]  # fmt: skip


def _alerts(report: Mapping[str, Any], target: int) -> list[Need]:
    raced, tuned = _raced(report, _SYSTEM), _measured(report, "capture").get("tuned")
    if not raced or not raced["alerts"] or not tuned or not tuned["events_per_s"]:
        return []
    events = raced["events"] / raced["alerts"]
    rate = 1e6 / tuned["cpu_s_per_million"]["kafka"] * events
    return [
        Need(
            part="taking the alerts", one="core of the brokers", per_second=rate, count=ceil(target / rate),
            scales=True,
            note=f"one in {events:,.0f} events, {target / events:,.0f}/s; that they are sent counts with the rule",
        ),
        *_archive(report, target, events),
    ]  # fmt: skip


def _archive(report: Mapping[str, Any], target: int, events: float) -> list[Need]:
    """For an alert in so many events."""
    known = [each for each in _measured(report, "mirror").values() if each["alerts"]]
    if not known:
        return []
    largest = max(known, key=lambda each: each["table_rows"])
    rate = largest["rows_per_s"] * events
    return [
        Need(
            part=f"the archive, {largest['table_rows']:,} alerts", one="writer of a table", per_second=rate,
            count=ceil(target / rate), scales=False, note="in batches of its trigger; larger ones take more",
        )
    ]  # fmt: skip


def _mirror(report: Mapping[str, Any], target: int) -> list[Need]:
    known = [each for each in _measured(report, "mirror").values() if not each["alerts"]]
    if not known:
        return []
    # At such a rate batches are large.
    largest = max(known, key=lambda each: (each["batch_rows"], each["table_rows"], -each["rows_per_s"]))
    rate = largest["rows_per_s"]
    return [
        Need(
            part=f"the mirror, {largest['table_rows']:,} rows, batches of {largest['batch_rows']:,}",
            one="writer of a table", per_second=rate, count=ceil(target / rate), scales=False,
            note="a table has one writer; more of them are more tables, each with its rows",
        )
    ]  # fmt: skip


def doubled(report: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(what, events a second before, after) of what the run had once and twice, and did not fail."""
    one, two, executors = (
        raced["steady_per_s"] if (raced := _raced(report, name)) else None for name in (_ONE_CORE, _SYSTEM, _EXECUTORS)
    )
    capture = _measured(report, "capture")
    tuned, halves = (capture.get(step, {}).get("events_per_s") for step in ("tuned", "two connectors"))
    pairs = [
        ("cores of one executor", one, two),
        ("executors of one core, against one with one", one, executors),
        ("connectors, each with half of the rows", tuned, halves),
    ]
    return [(name, before["median"], after["median"]) for name, before, after in pairs if before and after]
