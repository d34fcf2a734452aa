"""The decision table: which path for which need, said in words with the figures that decide it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fraudstream.compare.drawing import ALERT_PATHS
from fraudstream.compare.figures import BUSY, IDLE, Figures, value

_NAMES = {"poll_id": "polling by id", "poll_updated": "polling by updated_at", "cdc": "CDC"}
_INTERVALS = ("interval 1 s", BUSY, "interval 30 s")


@dataclass(frozen=True)
class Verdict:
    """One line of the table."""

    need: str
    use: str
    because: str


def verdicts(figures: Figures) -> list[Verdict]:
    """The lines whose figures were all measured."""
    found = []
    for line in (_one_a_minute, _every_change, _fresh, _stale, _many_readers, _alerts, _whole_table, _spark, _outage):
        try:
            found.append(line(lambda *place: _need(figures, *place)))
        except _NotMeasured:
            continue
    return found


class _NotMeasured(Exception):
    """A figure that a line needs is not there."""


def _need(figures: Figures, *place: str) -> float:
    found = value(figures, *place)  # type: ignore[call-arg]
    if found is None:
        raise _NotMeasured
    return found


Get = Callable[..., float]


def _one_a_minute(get: Get) -> Verdict:
    cron = 6 * sum(get("cost", IDLE, "cron", name) for name in ("process_cpu_s", "database_cpu_s"))
    hourly = {path: 3.6 * get("cell", IDLE, path, "total_ms_per_s") for path in _NAMES}
    interval = get("cell", IDLE, "all", "interval_s")
    memory = (get("start", "start", "cdc", "broker_rss_kib") + get("start", "start", "cdc", "connect_rss_kib")) / 1024
    cheapest = min({"a cron job": cron, **hourly}.items(), key=lambda each: each[1])[0]
    return Verdict(
        "one row a minute",
        "use a cron job" if cheapest == "a cron job" else f"use {_NAMES[cheapest]}",
        f"CPU seconds an hour: a cron job that asks every 10 minutes {cron:.1f}, a poller that stays and asks every "
        f"{interval:g} s {hourly['poll_id']:.1f}, CDC {hourly['cdc']:.0f}, which also holds {memory:,.0f} MiB for the "
        "broker and Connect",
    )


def _every_change(get: Get) -> Verdict:
    missed = {path: get("cell", BUSY, path, "missed_share") for path in _NAMES}
    kinds = [f"{get('cell', BUSY, 'poll_updated', f'missed_{kind}_share') * 100:.0f} % of the {kind}s"
             for kind in ("update", "delete")]  # fmt: skip
    return Verdict(
        "every change counts: corrections, deletes, states that last for a moment",
        "use CDC" if missed["cdc"] == 0 else "none of them is complete",
        f"missed of all changes at a 5 s interval: CDC {missed['cdc'] * 100:g} %, polling by updated_at "
        f"{missed['poll_updated'] * 100:.1f} % ({' and '.join(kinds)}), polling by id {missed['poll_id'] * 100:.1f} %",
    )


def _fresh(get: Get) -> Verdict:
    p95 = {path: get("cell", "interval 1 s", path, "fresh_p95_ms") for path in ("poll_updated", "cdc")}
    best = min(p95, key=lambda path: p95[path])
    cost = {path: get("cell", "interval 1 s", path, "database_ms_per_s") for path in p95}
    return Verdict(
        "fresh within a second",
        f"use {_NAMES[best]}",
        f"95 % available within {p95['cdc']:,.0f} ms by CDC, {p95['poll_updated']:,.0f} ms by polling every second; "
        f"database CPU {cost['cdc']:.1f} against {cost['poll_updated']:.1f} ms/s",
    )


def _stale(get: Get) -> Verdict:
    total = {path: get("cell", "interval 30 s", path, "total_ms_per_s") for path in ("poll_updated", "cdc")}
    best = min(total, key=lambda path: total[path])
    missed = get("cell", "interval 30 s", "poll_updated", "missed_intermediate_share")
    wrong = get("cell", "interval 30 s", "poll_updated", "ghost_rows")
    return Verdict(
        "half a minute stale is fresh enough, one reader, rows are not deleted",
        f"use {_NAMES[best]}",
        f"CPU of all processes {total['poll_updated']:.1f} ms/s by polling by updated_at every 30 s, "
        f"{total['cdc']:.1f} ms/s by CDC; it overlooks {missed * 100:.0f} % of the changes as states overwritten in "
        f"between, and keeps {wrong:,.0f} deleted rows",
    )


def _many_readers(get: Get) -> Verdict:
    one, eight = ({path: get("cell", cell, path, "database_ms_per_s") for path in _NAMES}
                  for cell in (BUSY, "consumers 8"))  # fmt: skip
    best = min(("poll_updated", "cdc"), key=lambda path: eight[path])
    missed = get("cell", "consumers 8", best, "missed_share")
    whole = get("bulk", "bulk", "spark_jdbc", "tuned_again_database_cpu_s")
    return Verdict(
        "eight readers of the same rows",
        f"use {_NAMES[best]}, if the database's CPU is what must be spared and {missed * 100:.0f} % may be missed"
        if missed
        else f"use {_NAMES[best]}",
        "database CPU with one and with eight readers: "
        + ", ".join(f"{_NAMES[path]} {one[path]:.1f} and {eight[path]:.1f} ms/s" for path in _NAMES)
        + f"; a JDBC job that reads all of a million rows takes {whole:.2f} CPU s of it each time",
    )


def _alerts(get: Get) -> Verdict:
    p50 = {path: get("alerts", "alerts", path, "alert_p50_ms") for path in ALERT_PATHS}
    used, missing = (
        {path: get("alerts", "alerts", path, name) for path in ("cdc", "poll_1s", "poll_5s")}
        for name in ("rules_cpu_ms_per_s", "alerts_missing")
    )
    best = min(p50, key=lambda path: p50[path])
    delays = ", ".join(f"{label} {p50[path]:,.0f} ms" for path, label in ALERT_PATHS.items())
    return Verdict(
        "an alert soon after the commit",
        f"use {ALERT_PATHS[best]}"
        if best.startswith("cdc")
        else "use CDC, or polls if what they overlook may be overlooked",
        f"half of the alerts within: {delays}; of the stream's {get('alerts', 'alerts', 'cdc', 'alerts'):,.0f} alerts "
        f"polling lacked {missing['poll_1s']:,.0f} and {missing['poll_5s']:,.0f}; the rules' processes took "
        f"{used['cdc']:,.0f} ms/s of CPU on Spark, {used['poll_1s']:,.0f} and {used['poll_5s']:,.0f} as pollers",
    )


def _whole_table(get: Get) -> Verdict:
    rates = {"COPY": get("bulk", "bulk", "copy", "rows_per_s"),
             "Spark JDBC": get("bulk", "bulk", "spark_jdbc", "tuned_again_rows_per_s"),
             "a CDC snapshot": get("bulk", "bulk", "cdc", "rows_per_s")}  # fmt: skip
    best = max(rates, key=lambda way: rates[way])
    ratio = rates[best] / rates["a CDC snapshot"]
    return Verdict(
        "the whole table at once, once a day",
        f"use {best}" if best == "a CDC snapshot" else f"use {best} or another bulk read",
        "rows per second: " + ", ".join(f"{way} {rate:,.0f}" for way, rate in rates.items())
        + f"; {best} is {ratio:.0f} times as fast as the snapshot",
    )  # fmt: skip


def _spark(get: Get) -> Verdict:
    start = get("bulk", "bulk", "spark_jdbc", "start_cpu_s")
    peak = get("bulk", "bulk", "spark_jdbc", "peak_kib") / 1024
    poller = get("cell", BUSY, "poll_id", "reader_peak_kib") / 1024
    poll = get("bulk", "bulk", "spark_jdbc", "polls_cpu_s") / 5
    return Verdict(
        "a few rows at a time by JDBC",
        "use psycopg2, not a Spark driver",
        f"a Spark driver takes {start:.0f} CPU seconds to start, {peak:,.0f} MiB at its peak and {poll * 1000:.0f} ms "
        f"of CPU for a poll that brings next to nothing; a psycopg2 poller takes {poller:.0f} MiB",
    )


def _outage(get: Get) -> Verdict:
    away, idle = (get("outage", victim, "all", "outage_s") for victim in ("reader", "connect"))
    missed = {path: get("outage", "reader", path, "missed") for path in _NAMES}
    caught = get("outage", "reader", "cdc", "catch_up_s")
    retained = get("outage", "connect", "all", "slot_retained_bytes") / 2**20
    return Verdict(
        "the reader is away for a while",
        "use CDC" if missed["cdc"] == 0 else "use none without a reconciliation",
        f"after {away:g} s without readers CDC had all of it {caught:.1f} s after its start, missing "
        f"{missed['cdc']:,.0f} changes (polling by updated_at {missed['poll_updated']:,.0f}, by id "
        f"{missed['poll_id']:,.0f}); while Connect was away for {idle:g} s its slot held {retained:.0f} MiB of WAL "
        "back: watch it",
    )
