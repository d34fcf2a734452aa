"""What a million events a second needs, and what breaks first, worked out from the figures of a full run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from fraudstream.bench.dataset import USERS

TARGET = 1_000_000
_SYSTEM = "ours_large"
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
    there can be only one. It takes rates to grow with what they are counted in, which the report's own figures for two
    cores, two executors and two connectors bear out or not."""
    found = [*_rule(report, target), *_capture(report, target), *_mirror(report, target)]
    return sorted(found, key=lambda need: (need.scales, need.per_second))


def _rule(report: Mapping[str, Any], target: int) -> list[Need]:
    cores = report["scaling"]["cores"].get(_SYSTEM, {})
    if "2 cores" not in cores:
        return []
    core, grows = cores["2 cores"]["median"] / 2, growth_factor(report["growth"])
    few = Need(
        part=f"a rule with state, {USERS[0]:,} users", one="executor core, and a partition for each", per_second=core,
        count=ceil(target / core), scales=True, note="the broker's share of the same cores included",
    )  # fmt: skip
    if grows is None:
        return [few]
    slower = core / grows
    many = Need(
        part=f"the same, {USERS[-1]:,} users with whole histories", one=few.one, per_second=slower,
        count=ceil(target / slower), scales=True, note=f"an event costs {grows:.1f} times as much",
    )  # fmt: skip
    return [few, many]


def growth_factor(growth: Mapping[str, Mapping[str, Any]]) -> float | None:
    """How much more an event costs among the most users than among the fewest: batches of the largest size, each with
    the number of buckets that suits it best. None where one of both was not measured."""
    largest = max((each["batch"] for each in growth.values()), default=0)
    costs = {
        users: min(
            (each["us_per_event"] for each in growth.values()
             if each["users"] == users and each["batch"] == largest and each["us_per_event"]), default=None,
        ) for users in (USERS[0], USERS[-1])
    }  # fmt: skip
    few, many = costs.values()
    return many / few if few and many else None


def _capture(report: Mapping[str, Any], target: int) -> list[Need]:
    tuned = report["capture"].get("tuned")
    if not tuned or not tuned["events_per_s"]:
        return []
    rate, cpu = tuned["events_per_s"]["median"], tuned["cpu_s_per_million"]
    # A slot is served by one process, and decodes the whole log whatever its publication keeps.
    slot = 1e6 / cpu["postgres"]
    connectors, broker = ceil(target / rate), 1e6 / cpu["kafka"]
    stored = target * tuned["bytes_per_event"] / _MB
    return [
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


def _mirror(report: Mapping[str, Any], target: int) -> list[Need]:
    known = [each for each in report["mirror"].values() if each["rows_per_s"]]
    if not known:
        return []
    largest = max(known, key=lambda each: (each["table_rows"], -each["rows_per_s"]))
    rate = largest["rows_per_s"]
    return [
        Need(
            part=f"the mirror, {largest['table_rows']:,} rows", one="writer of a table", per_second=rate,
            count=ceil(target / rate), scales=False,
            note="a table has one writer; more of them are more tables, each with its rows",
        )
    ]  # fmt: skip


def doubled(report: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(what, events a second before, after) of what the run had once and twice."""
    cores, capture = report["scaling"]["cores"].get(_SYSTEM, {}), report["capture"]
    pairs = [
        ("cores of one executor", cores.get("1 core"), cores.get("2 cores")),
        ("executors of one core, against one with one", cores.get("1 core"), cores.get("2 executors")),
        ("connectors, each with half of the rows", *(
            capture.get(step, {}).get("events_per_s") for step in ("tuned", "two connectors")
        )),
    ]  # fmt: skip
    return [(name, before["median"], after["median"]) for name, before, after in pairs if before and after]
